"""From weights to a model version: run, inputs, model, outputs, version; what is there is kept.

Killed between any two calls, the next try finds what is complete and makes the rest. The version
comes last and with all its tags in one transaction, so a version that exists is whole.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import tracking
from flows.errors import RegistryError
from flows.layout import Home
from flows.packing import WEIGHTS, Spec, pack
from flows.store import digest_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

VERSIONS = "mlflow.modelVersions"
"""The tag by which MLflow's pages lead from a model to its versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to register.

    Attributes:
        name: Of the registered model.
        title: Of the run, for people.
        identity: Tags that no other version has: a second call finds the first by them.
        tags: The other tags of the version and of its run.
        weights: safetensors file.
        spec: What must be known beside the weights.
        parent: Id of the MLflow model that this one was made from; None for a base model.
        data_name: Of the data set.
        data: Role ("before", "after", "training") to `<md5>.dir`.
        artifacts: Files that the run keeps, by their own names.
    """

    name: str
    title: str
    identity: Mapping[str, str]
    tags: Mapping[str, str]
    weights: Path
    spec: Spec
    parent: str | None
    data_name: str
    data: Mapping[str, str]
    artifacts: tuple[Path, ...] = ()

    def all_tags(self) -> dict[str, str]:
        return {**self.spec.tags(), **self.tags, **self.identity}


def find(client: MlflowClient, name: str, identity: Mapping[str, str]) -> ModelVersion | None:
    """The version of a registered model that has these tags; the oldest where there are several."""
    found = client.search_model_versions(f"name = '{name}' and {_tagged(identity)}")
    return min(found, key=lambda version: int(version.version), default=None)


def make(client: MlflowClient, home: Home, job: Job) -> ModelVersion:
    """The version that a job asks for, with its model, run and lineage."""
    experiment = tracking.experiment(client, home)
    run = _run(client, experiment, job)
    _log_inputs(client, run, job)
    model = _model(client, experiment, run, job)
    _log_output(client, run, model)
    for file in job.artifacts:
        client.log_artifact(run.info.run_id, str(file))
    client.set_terminated(run.info.run_id)
    _make_name(client, job.name)
    with tracking.as_default(client):
        return client.create_model_version(
            job.name,
            source=f"models:/{model.model_id}",
            run_id=run.info.run_id,
            tags=job.all_tags(),
            await_creation_for=0,
        )


def link(client: MlflowClient, version: ModelVersion) -> None:
    """Let the model's page lead to the version."""
    model = client.get_logged_model(model_id(version))
    told = json.dumps([{"name": version.name, "version": str(version.version)}])
    if model.tags.get(VERSIONS) != told:
        client.set_logged_model_tags(model.model_id, {VERSIONS: told})


def model_id(version: ModelVersion) -> str:
    """Id of the MLflow model behind a version; `version.model_id` is empty on SQL stores."""
    scheme, _, found = str(version.source).partition(":/")
    if scheme != "models" or not found.startswith("m-") or not found[2:].isalnum():
        raise RegistryError(
            f"Version {version.version} of '{version.name}' was not registered by damp: its source "
            f"is {version.source}. Give its weights to damp as a file."
        )
    return found


def _run(client: MlflowClient, experiment: str, job: Job) -> Run:
    found = client.search_runs([experiment], _tagged(job.identity), max_results=1)
    if found:
        return client.get_run(found[0].info.run_id)  # a search leaves out the model inputs
    return client.create_run(experiment, run_name=job.title, tags=job.all_tags())


def _log_inputs(client: MlflowClient, run: Run, job: Job) -> None:
    from mlflow.entities import Dataset as Entity
    from mlflow.entities import DatasetInput, InputTag, LoggedModelInput

    data = [
        DatasetInput(
            Entity(
                name=job.data_name,
                digest=digest,
                source_type="dvc",
                source=json.dumps({"version": digest}),
            ),
            [InputTag("mlflow.data.context", role)],
        )
        for role, digest in job.data.items()
    ]
    taken = [taken.model_id for taken in run.inputs.model_inputs] if run.inputs else []
    parent = [LoggedModelInput(job.parent)] if job.parent and job.parent not in taken else []
    client.log_inputs(run.info.run_id, datasets=data, models=parent)


def _log_output(client: MlflowClient, run: Run, model: LoggedModel) -> None:
    from mlflow.entities import LoggedModelOutput

    made = [made.model_id for made in run.outputs.model_outputs] if run.outputs else []
    if model.model_id not in made:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 0)])


def _model(client: MlflowClient, experiment: str, run: Run, job: Job) -> LoggedModel:
    """The run's model with its files; one that a kill left half-written is replaced."""
    for found in client.search_logged_models(
        [experiment], filter_string=f"source_run_id = '{run.info.run_id}'"
    ):
        if _is_whole(found, job.weights):
            return found
        client.delete_logged_model(found.model_id)
    made = client.create_logged_model(
        experiment, name=job.name, source_run_id=run.info.run_id, tags=job.all_tags()
    )
    with tempfile.TemporaryDirectory() as folder:
        pack(Path(folder), job.weights, job.spec, made.model_id)
        client.log_model_artifacts(made.model_id, folder)
    return client.finalize_logged_model(made.model_id, "READY")


def _is_whole(model: LoggedModel, weights: Path) -> bool:
    from mlflow.entities import LoggedModelStatus

    kept = weights_of(model)
    ready = model.status == LoggedModelStatus.READY and kept.is_file()
    return ready and digest_file(kept) == digest_file(weights)


def weights_of(model: LoggedModel) -> Path:
    """Where a model's weights lie on this machine.

    Raises:
        RegistryError: They lie elsewhere.
    """
    from mlflow.utils.file_utils import local_file_uri_to_path

    if not model.artifact_location.startswith("file:"):
        raise RegistryError(
            f"The files of {model.model_id} lie at {model.artifact_location}; damp reads them only "
            "from this machine. Download the weights and give them as a file."
        )
    return Path(local_file_uri_to_path(model.artifact_location)) / WEIGHTS


def _make_name(client: MlflowClient, name: str) -> None:
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, tags={"damp": "true"})


def _tagged(tags: Mapping[str, str]) -> str:
    """A search for all of these tags; the values are digests, numbers and identifiers."""
    return " and ".join(f"tags.`{key}` = '{_plain(value)}'" for key, value in tags.items())


def _plain(value: Any) -> str:
    if "'" in str(value):
        raise RegistryError(f"{value!r} cannot be searched for: it holds a quotation mark.")
    return str(value)
