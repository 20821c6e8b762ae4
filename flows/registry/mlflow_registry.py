"""MLflow behind `Registry`: a database under the state folder, or a server of the team's.

The one file that calls MLflow's client. The database is opened by one damp process at a time; so is
a server, as far as the locks reach.

A version is made in the order run, inputs, model, outputs, version. Killed between any two calls,
the next try takes what is complete and makes the rest. The version comes last and with all its tags
in one transaction, so a version that exists is whole.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flows.registry import registry_file
from flows.registry.interface import (
    LoggedModel,
    ModelVersion,
    NewVersion,
    OpenRun,
    ReadRegistry,
    RegisteredModel,
)
from flows.registry.packing import WEIGHTS, files_below, pack
from flows.registry.tags import EVENT, VersionTags
from flows.servers import auth, endpoints, local_services, processes
from flows.state import locks
from flows.state.errors import RegistryError, ServerError
from flows.state.files import digest_file
from flows.state.paths import Home
from flows.state.settings import settings

if TYPE_CHECKING:
    from mlflow import MlflowClient, entities
    from mlflow.entities import model_registry

EXPERIMENT = "damp"
NOTE = "mlflow.note.content"
"""The tag that holds a run's description."""
VERSIONS = "mlflow.modelVersions"
"""The tag by which MLflow's pages lead from a model to its versions."""
Answer = TypeVar("Answer")
PAGE = 1000
"""Most answers of one search; the next page is asked for."""


@contextmanager
def opened(home: Home) -> Iterator[MlflowRegistry]:
    """This home's registry, with no other damp process in it.

    A fresh SQLite file is made by migrations that fail where two processes run them, and what damp
    registers takes several calls.

    Raises:
        RegistryError: MLflow refused one of the calls.
        ServerError: The server does not answer, is of another version, or was lost on the way.
    """
    where = endpoints.mlflow_server() or _server_here(home) or home.mlflow_uri
    with locks.exclusive(home, "mlflow"):
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield MlflowRegistry(_client(where), artifacts=_artifacts(home))
        except (MlflowException, SQLAlchemyError) as problem:
            reason = str(getattr(problem, "message", problem)).strip().splitlines()[0]
            if where != home.mlflow_uri and _is_lost(where, reason):
                raise ServerError(
                    f"The MLflow server at {_without_password(where)} or its database was lost on "
                    f"the way: {reason} Start it again; the same command, or the next run of the "
                    "schedule, goes on."
                ) from problem
            raise RegistryError(
                f"MLflow refused on {_without_password(where)}: {reason} {_remedy(reason)}"
            ) from problem


@contextmanager
def read(home: Home) -> Iterator[ReadRegistry]:
    """The same to look a model up: a database of this folder's is read without MLflow.

    Raises:
        RegistryError, ServerError: As `opened`.
    """
    if not _by_a_server() and _server_here(home) is None:
        with locks.exclusive(home, "mlflow"), registry_file.opened(home.mlflow_db) as file:
            if file is not None:
                yield file
                return
    with opened(home) as registry:
        yield registry


def exists(home: Home) -> bool:
    """Whether there can be a registered model at all."""
    return _by_a_server() or home.mlflow_db.is_file()


class MlflowRegistry:
    """MLflow's tracking store and model registry; `Registry` says what each method does.

    Args:
        client: MLflow's.
        artifacts: URI of the folder that a new experiment keeps its files in; None leaves it to
            the server.
    """

    def __init__(self, client: MlflowClient, *, artifacts: str | None = None) -> None:
        self.client = client
        self._artifacts = artifacts

    def models(self) -> list[RegisteredModel]:
        return [
            _registered_model(model)
            for model in _pages(
                lambda token: self.client.search_registered_models(
                    max_results=PAGE, page_token=token
                )
            )
        ]

    def model(self, name: str) -> RegisteredModel | None:
        model = _unless_missing(lambda: self.client.get_registered_model(name))
        return None if model is None else _registered_model(model)

    def versions(self, name: str) -> list[ModelVersion]:
        return sorted(self._search(f"name = {_quoted(name)}"), key=lambda v: v.number)

    def versions_of_weights(self, sha256: str) -> list[ModelVersion]:
        versions = self._search(_tagged(VersionTags(weights_sha256=sha256)))
        return sorted(versions, key=lambda v: (v.name, v.number))

    def logged_model(self, model_id: str) -> LoggedModel:
        model = _unless_missing(lambda: self.client.get_logged_model(model_id))
        if model is None:
            raise RegistryError(f"MLflow has no model {model_id}. {registry_file.RESTORE}")
        return _logged_model(model)

    def location(self, version: ModelVersion) -> str:
        uri = self.client.get_model_version_download_uri(version.name, str(version.number))
        if not uri.startswith("runs:/"):
            return str(uri)
        run_id, _, path = uri.removeprefix("runs:/").partition("/")
        run = _unless_missing(lambda: self.client.get_run(run_id))
        if run is None:
            raise RegistryError(f"MLflow has no run {run_id}. {registry_file.RESTORE}")
        return f"{run.info.artifact_uri}/{path}"

    def files(self, location: str, folder: Path) -> Mapping[str, Path]:
        from mlflow.exceptions import MlflowException
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        scheme = _scheme(location)
        if scheme != "file":
            _check_handed_through(location, scheme)
            folder.mkdir(parents=True, exist_ok=True)
            store = get_artifact_repository(location, tracking_uri=self.client.tracking_uri)
            try:
                store.download_artifacts("", str(folder))
            except MlflowException as problem:
                raise RegistryError(f"The files at {location} cannot be fetched.") from problem
            return files_below(folder)
        return files_below(_local_path(location))

    def model_file(self, model: LoggedModel, name: str, folder: Path) -> Path | None:
        return self._file(model.location, name, folder)

    def run_file(self, run_id: str, name: str, folder: Path) -> Path | None:
        run = _unless_missing(lambda: self.client.get_run(run_id))
        if run is None:
            raise RegistryError(f"MLflow has no run {run_id or 'of it'}. {registry_file.RESTORE}")
        return self._file(run.info.artifact_uri, name, folder)

    def add_run_file(self, run_id: str, file: Path) -> None:
        self.client.log_artifact(run_id, str(file))

    def register(self, new: NewVersion) -> ModelVersion:
        version = self._find(new)
        if version is None:
            version = self._create(new)
        self._link(version)
        return version

    def set_alias(self, name: str, alias: str, number: int) -> None:
        self.client.set_registered_model_alias(name, alias, str(number))

    def set_tags(self, version: ModelVersion, tags: VersionTags) -> None:
        for key, value in tags.to_tags().items():
            self.client.set_model_version_tag(version.name, str(version.number), key, value)

    def open_runs(self) -> list[OpenRun]:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return []
        runs = _pages(
            lambda token: self.client.search_runs(
                [experiment.experiment_id],
                "attributes.status = 'RUNNING'",
                max_results=PAGE,
                page_token=token,
            )
        )
        return [OpenRun(run_id=r.info.run_id, event=r.data.tags.get(EVENT)) for r in runs]

    def end_run(self, run_id: str) -> None:
        self.client.set_terminated(run_id, status="KILLED")

    def experiment(self) -> str:
        """Id of the experiment that all of damp's runs are in; made where it is missing.

        A server keeps artifacts where it was set up to and hands them through; without one they lie
        under the state folder.
        """
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return str(experiment.experiment_id)
        return str(self.client.create_experiment(EXPERIMENT, artifact_location=self._artifacts))

    def _search(self, query: str) -> list[ModelVersion]:
        return [
            _version(version)
            for version in _pages(
                lambda token: self.client.search_model_versions(
                    query, max_results=PAGE, page_token=token
                )
            )
        ]

    def _find(self, new: NewVersion) -> ModelVersion | None:
        """The version that has the identity; the oldest where there are several."""
        versions = self._search(f"name = {_quoted(new.name)} and {_tagged(new.identity)}")
        return min(versions, key=lambda version: version.number, default=None)

    def _create(self, new: NewVersion) -> ModelVersion:
        """The version with its model, run and lineage."""
        experiment = self.experiment()
        run = self._run(experiment, new)
        self._log_inputs(run, new)
        model = self._model(experiment, run, new)
        self._log_output(run, model)
        for file in new.artifacts:
            self.add_run_file(run.info.run_id, file)
        self._describe(run, new)
        self.client.set_terminated(run.info.run_id)
        if self.model(new.name) is None:
            self.client.create_registered_model(new.name, tags={"damp": "true"})
        with as_default(self.client):
            version = self.client.create_model_version(
                new.name,
                source=f"models:/{model.model_id}",
                model_id=model.model_id,  # a server compares it with the source
                run_id=run.info.run_id,
                tags=new.tags.to_tags(),
                description=new.description,
                await_creation_for=0,
            )
        return _version(version)

    def _run(self, experiment: str, new: NewVersion) -> entities.Run:
        runs = self.client.search_runs([experiment], _tagged(new.identity), max_results=1)
        if runs:
            return self.client.get_run(runs[0].info.run_id)  # a search leaves out the model inputs
        return self.client.create_run(experiment, run_name=new.title, tags=new.tags.to_tags())

    def _log_inputs(self, run: entities.Run, new: NewVersion) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput

        from flows.registry.dvc_source import SCHEME, DVCDatasetSource

        datasets = [
            DatasetInput(
                Dataset(
                    name=new.data_name,
                    digest=digest,
                    source_type=SCHEME,
                    source=DVCDatasetSource(new.data_name, digest).to_json(),
                ),
                [InputTag("mlflow.data.context", role)],
            )
            for role, digest in new.data.items()
        ]
        logged = [each.model_id for each in run.inputs.model_inputs] if run.inputs else []
        parents = [LoggedModelInput(new.parent)] if new.parent and new.parent not in logged else []
        self.client.log_inputs(run.info.run_id, datasets=datasets, models=parents)

    def _log_output(self, run: entities.Run, model: entities.LoggedModel) -> None:
        from mlflow.entities import LoggedModelOutput

        logged = [each.model_id for each in run.outputs.model_outputs] if run.outputs else []
        if model.model_id not in logged:
            self.client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 0)])

    def _model(self, experiment: str, run: entities.Run, new: NewVersion) -> entities.LoggedModel:
        """The run's model with its files; one that a kill left half-written is replaced."""
        for model in self.client.search_logged_models(
            [experiment], filter_string=f"source_run_id = '{run.info.run_id}'"
        ):
            if self._is_whole(model, new.weights):
                return model
            self.client.delete_logged_model(model.model_id)
        model = self.client.create_logged_model(
            experiment, name=new.name, source_run_id=run.info.run_id, tags=new.tags.to_tags()
        )
        with tempfile.TemporaryDirectory() as folder:
            pack(Path(folder), new.weights, new.spec, model.model_id)
            self.client.log_model_artifacts(model.model_id, folder)
        return self.client.finalize_logged_model(model.model_id, "READY")

    def _is_whole(self, model: entities.LoggedModel, weights: Path) -> bool:
        from mlflow.entities import LoggedModelStatus

        if model.status != LoggedModelStatus.READY:
            return False
        with tempfile.TemporaryDirectory() as folder:
            kept = self._file(model.artifact_location, WEIGHTS, Path(folder))
            return kept is not None and digest_file(kept) == digest_file(weights)

    def _describe(self, run: entities.Run, new: NewVersion) -> None:
        """What people see first on the run's page; the same at every try, so it is there once."""
        from mlflow.entities import Metric, RunTag

        start = run.info.start_time
        metrics = [Metric(name, value, start, 0) for name, value in new.metrics.items()]
        tags = [RunTag(NOTE, new.description)]
        self.client.log_batch(run.info.run_id, metrics=metrics, tags=tags)

    def _link(self, version: ModelVersion) -> None:
        """Let the model's page lead to the version."""
        model = self.client.get_logged_model(version.logged_model_id())
        link = json.dumps([{"name": version.name, "version": str(version.number)}])
        if model.tags.get(VERSIONS) != link:
            self.client.set_logged_model_tags(model.model_id, {VERSIONS: link})

    def _file(self, location: str, name: str, folder: Path) -> Path | None:
        """A file below an artifact location: where it lies, or fetched; None if gone.

        Raises:
            RegistryError: The location is none that damp reads: its own machine, or what the MLflow
                server hands through.
        """
        from mlflow.exceptions import MlflowException
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        scheme = _scheme(location)
        if scheme == "file":
            file = _local_path(location) / name
            return file if file.is_file() else None
        _check_handed_through(location, scheme)
        folder.mkdir(parents=True, exist_ok=True)
        store = get_artifact_repository(location, tracking_uri=self.client.tracking_uri)
        try:
            return Path(store.download_artifacts(name, str(folder)))
        except MlflowException:
            return None  # the server has no such file: who asked says what that means


@contextmanager
def as_default(client: MlflowClient) -> Iterator[None]:
    """Make the client's database the process's own for a moment.

    MLflow looks a version's source `models:/m-...` up in the process's default database, whatever
    client asks, and its pages link a version to its model only by such a source.
    """
    import mlflow

    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(client.tracking_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None unsets it


# What MLflow answers, in our types


def _registered_model(model: model_registry.RegisteredModel) -> RegisteredModel:
    aliases = {alias: int(version) for alias, version in model.aliases.items()}
    return RegisteredModel(name=model.name, aliases=aliases)


def _version(version: model_registry.ModelVersion) -> ModelVersion:
    return ModelVersion(
        name=version.name,
        number=int(version.version),
        source=str(version.source),
        model_id=registry_file.model_id(str(version.source)),  # its own is empty on SQL stores
        run_id=version.run_id or "",
        raw_tags=dict(version.tags),
        stage=version.current_stage if version.current_stage in registry_file.STAGES else "",
    )


def _logged_model(model: entities.LoggedModel) -> LoggedModel:
    return LoggedModel(
        model_id=model.model_id,
        run_id=model.source_run_id or "",
        location=model.artifact_location,
    )


def _pages(search: Callable[[str | None], Any]) -> Iterator[Any]:
    """All that a search answers: MLflow hands it out page by page."""
    token: str | None = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return


def _unless_missing(ask: Callable[[], Answer]) -> Answer | None:
    """What MLflow answers; None where it says that there is no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as problem:
        if problem.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _tagged(tags: VersionTags) -> str:
    """A search for all of these tags."""
    return " and ".join(f"tags.`{key}` = {_quoted(value)}" for key, value in tags.to_tags().items())


def _quoted(text: str) -> str:
    """A text in MLflow's search language, which has no escapes."""
    mark = next((mark for mark in "'\"" if mark not in text), None)
    if mark is None:
        raise RegistryError(
            f"{text!r} cannot be searched for: it holds both quotation marks. Rename it."
        )
    return f"{mark}{text}{mark}"


# Where files lie


def _scheme(location: str) -> str:
    """How a location is reached; a plain path is a file's."""
    scheme, colon, _ = location.partition(":")
    return scheme if colon and "/" not in scheme else "file"


def _local_path(location: str) -> Path:
    from mlflow.utils.file_utils import local_file_uri_to_path

    return Path(local_file_uri_to_path(location))


def _check_handed_through(location: str, scheme: str) -> None:
    """Refuse a location that is neither this machine's nor the MLflow server's."""
    if scheme != "mlflow-artifacts":
        raise RegistryError(
            f"Files lie at {location}; damp reads them only from this machine or through the "
            "MLflow server (`mlflow server --artifacts-destination`). Give the weights as a file."
        )


# Where the registry is, and what its failures mean


def _by_a_server() -> bool:
    """Whether the registry is a server's, and not the file under the state folder."""
    chosen = settings()
    return chosen.mlflow_uri is not None or chosen.mlflow_database_url is not None


def _artifacts(home: Home) -> str | None:
    return None if _by_a_server() else (home.root.absolute() / "mlartifacts").as_uri()


def _server_here(home: Home) -> str | None:
    """The server of `damp up`, where it runs: one process holds the database, and all ask it.

    Raises:
        ServerError: It does not run, and a database of its own holds the registry: the file beside
            it would be another one.
    """
    service = local_services.running(home, "mlflow")
    if settings().mlflow_database_url is None:
        if service is None or not processes.answers(service.health):
            return None
    elif service is None:
        raise ServerError(
            "`mlflow_database_url` names the database of the MLflow server of `damp up`, which "
            "does not run here. Start it, or name the server that does (`mlflow_uri`)."
        )
    endpoints.hand_to_mlflow(auth.auth_string(home.root))
    return service.url


def _is_lost(url: str, reason: str) -> bool:
    """Whether a server, or the database behind it, is gone: then nobody has refused anything."""
    return not processes.answers(f"{url}/health") or "OperationalError" in reason


def _remedy(reason: str) -> str:
    """What to do about the faults that a database has of its own."""
    kept = "Nothing that was registered before has changed;"
    if "locked" in reason:
        return f"{kept} another program holds the database: end it, then run the command again."
    if "schema" in reason or "revision" in reason:
        return (
            f"{kept} another version of MLflow has made or migrated it: work with that version, or "
            "restore the copy from before (docs/operations.md, upgrades)."
        )
    return f"{kept} fix that and run the same command again."


def _without_password(where: str) -> str:
    scheme, rest = where.split("://", 1)
    return f"{scheme}://{rest.rpartition('@')[2]}"


@lru_cache(maxsize=4)
def _client(where: str) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=where, registry_uri=where)
