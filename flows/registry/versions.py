"""From weights to a model version: run, inputs, model, outputs, version; what is there is kept.

Killed between any two calls, the next try finds what is complete and makes the rest. The version
comes last and with all its tags in one transaction, so a version that exists is whole.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.registry import client as tracking
from flows.registry.packing import WEIGHTS, Spec, pack
from flows.state.errors import RegistryError
from flows.state.files import digest_file
from flows.state.paths import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

NOTE = "mlflow.note.content"
"""The tag that holds a run's description."""
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
        metrics: Figures that the pages compare versions by.
        description: Of run and version, for people; Markdown.
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
    metrics: Mapping[str, float] = field(default_factory=dict)
    description: str = ""

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
    _tell(client, run, job)
    client.set_terminated(run.info.run_id)
    _make_name(client, job.name)
    with tracking.as_default(client):
        return client.create_model_version(
            job.name,
            source=f"models:/{model.model_id}",
            model_id=model.model_id,  # a server compares it with the source
            run_id=run.info.run_id,
            tags=job.all_tags(),
            description=job.description,
            await_creation_for=0,
        )


def _tell(client: MlflowClient, run: Run, job: Job) -> None:
    """What people see first on the run's page; the same at every try, so it is there once."""
    from mlflow.entities import Metric, RunTag

    told = [Metric(name, value, run.info.start_time, 0) for name, value in job.metrics.items()]
    client.log_batch(run.info.run_id, metrics=told, tags=[RunTag(NOTE, job.description)])


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

    from flows.registry.dvc_source import SCHEME, DVCDatasetSource

    data = [
        DatasetInput(
            Entity(
                name=job.data_name,
                digest=digest,
                source_type=SCHEME,
                source=DVCDatasetSource(job.data_name, digest).to_json(),
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
        if _is_whole(client, found, job.weights):
            return found
        client.delete_logged_model(found.model_id)
    made = client.create_logged_model(
        experiment, name=job.name, source_run_id=run.info.run_id, tags=job.all_tags()
    )
    with tempfile.TemporaryDirectory() as folder:
        pack(Path(folder), job.weights, job.spec, made.model_id)
        client.log_model_artifacts(made.model_id, folder)
    return client.finalize_logged_model(made.model_id, "READY")


def _is_whole(client: MlflowClient, model: LoggedModel, weights: Path) -> bool:
    from mlflow.entities import LoggedModelStatus

    if model.status != LoggedModelStatus.READY:
        return False
    with tempfile.TemporaryDirectory() as folder:
        kept = weights_of(client, model, Path(folder))
        return kept is not None and digest_file(kept) == digest_file(weights)


def weights_of(client: MlflowClient, model: LoggedModel, folder: Path) -> Path | None:
    """A model's weights: where they lie on this machine, or fetched into `folder`; None if gone."""
    return fetched(client, model.artifact_location, WEIGHTS, folder)


def fetched(client: MlflowClient, location: str, name: str, folder: Path) -> Path | None:
    """A file below an artifact location: where it lies, or fetched into `folder`; None if gone.

    Raises:
        RegistryError: The location is none that damp reads: its own machine, or what the MLflow
            server hands through.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.utils.file_utils import local_file_uri_to_path

    scheme = location.partition(":")[0]
    if scheme == "file":
        file = Path(local_file_uri_to_path(location)) / name
        return file if file.is_file() else None
    if scheme != "mlflow-artifacts":
        raise RegistryError(
            f"Files lie at {location}; damp reads them only from this machine or through the "
            "MLflow server (`mlflow server --artifacts-destination`). Give the weights as a file."
        )
    folder.mkdir(parents=True, exist_ok=True)
    store = get_artifact_repository(location, tracking_uri=client.tracking_uri)
    try:
        return Path(store.download_artifacts(name, str(folder)))
    except MlflowException:
        return None  # the server has no such file: who asked says what that means


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
