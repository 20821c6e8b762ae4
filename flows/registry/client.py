"""MLflow's registry: a database under the state folder, or a server of the team's.

The database is opened by one damp process at a time; so is a server, as far as the locks reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from flows.servers import endpoints, local_services, processes
from flows.state import locks
from flows.state.errors import RegistryError, ServerError
from flows.state.paths import Home
from flows.state.settings import settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "damp"


@contextmanager
def opened(home: Home) -> Iterator[MlflowClient]:
    """A client for this home's registry, with no other damp process in it.

    A fresh SQLite file is made by migrations that fail where two processes run them, and what damp
    registers takes several calls.

    Raises:
        RegistryError: MLflow refused one of the calls made with the client.
        ServerError: The server does not answer, is of another version, or was lost on the way.
    """
    where = endpoints.mlflow_server() or _server_here(home) or home.mlflow_uri
    with locks.exclusive(home, "mlflow"):
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield _client(where)
        except (MlflowException, SQLAlchemyError) as problem:
            told = str(getattr(problem, "message", problem)).strip().splitlines()[0]
            if _by_a_server() and _is_lost(where, told):
                raise ServerError(
                    f"The MLflow server at {_without_password(where)} or its database was lost on "
                    f"the way: {told} Start it again; the same command, or the next run of the "
                    "schedule, goes on."
                ) from problem
            raise RegistryError(
                f"MLflow refused on {_without_password(where)}: {told} {_remedy(told)}"
            ) from problem


def exists(home: Home) -> bool:
    """Whether there can be a registered model at all."""
    return _by_a_server() or home.mlflow_db.is_file()


def _by_a_server() -> bool:
    """Whether the registry is a server's, and not the file under the state folder."""
    told = settings()
    return told.mlflow_uri is not None or told.mlflow_database_url is not None


def _server_here(home: Home) -> str | None:
    """The server of `damp up`, where a database of its own holds the registry.

    Raises:
        ServerError: It does not run: the file beside it would be another registry.
    """
    if settings().mlflow_database_url is None:
        return None
    found = local_services.running(home, "mlflow")
    if found is None:
        raise ServerError(
            "`mlflow_database_url` names the database of the MLflow server of `damp up`, which "
            "does not run here. Start it, or name the server that does (`mlflow_uri`)."
        )
    return found.url


def experiment(client: MlflowClient, home: Home) -> str:
    """Id of the experiment that all of damp's runs are in; made where it is missing.

    A server keeps artifacts where it was told to and hands them through; without one they lie
    under the state folder.
    """
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    if _by_a_server():
        return str(client.create_experiment(EXPERIMENT))
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


def _is_lost(url: str, told: str) -> bool:
    """Whether a server, or the database behind it, is gone: then nobody has refused anything."""
    return not processes.answers(f"{url}/health") or "OperationalError" in told


def _remedy(told: str) -> str:
    """What to do about the faults that a database has of its own."""
    kept = "Nothing that was registered before has changed;"
    if "locked" in told:
        return f"{kept} another program holds the database: end it, then run the command again."
    if "schema" in told or "revision" in told:
        return (
            f"{kept} another version of MLflow has made or migrated it: work with that version, or "
            "restore the copy from before (docs/operations.md, upgrades)."
        )
    return f"{kept} mend that and run the same command again."


def _without_password(where: str) -> str:
    scheme, rest = where.split("://", 1)
    return f"{scheme}://{rest.rpartition('@')[2]}"


@lru_cache(maxsize=4)
def _client(where: str) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=where, registry_uri=where)
