"""MLflow's database under the state folder, opened by one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from flows.errors import RegistryError
from flows.layout import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "damp"


@contextmanager
def opened(home: Home) -> Iterator[MlflowClient]:
    """A client for this home's database, with no other damp process in it.

    A fresh SQLite file is made by migrations that fail where two processes run them, and what damp
    registers takes several calls.

    Raises:
        RegistryError: MLflow refused one of the calls made with the client.
    """
    home.locks.mkdir(parents=True, exist_ok=True)
    with FileLock(home.locks / "mlflow.lock"):
        from mlflow.exceptions import MlflowException

        try:
            yield _client(home.mlflow_db.absolute())
        except MlflowException as problem:
            raise RegistryError(
                f"MLflow refused on {home.mlflow_db}: {problem.message} Nothing that was "
                "registered before has changed; run the same command again."
            ) from problem


def uri(database: Path) -> str:
    """The database as MLflow names it."""
    return f"sqlite:///{database.absolute()}"


def experiment(client: MlflowClient, home: Home) -> str:
    """Id of the experiment that all of damp's runs are in; made where it is missing."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    artifacts = (home.root.absolute() / "mlartifacts").as_uri()
    return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))


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


@lru_cache(maxsize=4)
def _client(database: Path) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri(database), registry_uri=uri(database))
