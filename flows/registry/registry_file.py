"""MLflow's database under the state folder, read as the SQLite file that it is.

MLflow's client takes three seconds of processor time to import, most of it for stores, schedulers
and tables that reading a version needs nothing of. Commands that only look a model up read the file
itself, as `ReadRegistry` says. Only a schema that is known is read: of a database that another
version of MLflow has made or migrated, and of every server, MLflow's client is asked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from flows.registry.interface import LoggedModel, ModelVersion, RegisteredModel
from flows.registry.tags import VersionTags
from flows.state.errors import RegistryError

REVISIONS = frozenset({"dc11669786a5"})
"""Schemas that this file reads: Alembic revisions of MLflow 3.17."""
WORKSPACE = "default"
DELETED = "Deleted_Internal"
"""The stage in which MLflow keeps a version that was deleted."""
STAGES = ("Production", "Staging")
"""Legacy stages by which a version is loaded (`models:/digits/Production`)."""
RESTORE = "It was deleted: restore the copy of the registry that has it."


@contextmanager
def opened(database: Path) -> Iterator[RegistryFile | None]:
    """The registry in a file; None where its schema is not known, or it is no database at all."""
    try:
        connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        yield None  # MLflow's client says what is wrong with it
        return
    try:
        yield RegistryFile(connection) if _revision(connection) in REVISIONS else None
    finally:
        connection.close()


def _revision(connection: sqlite3.Connection) -> str | None:
    try:
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error:
        return None
    return str(rows[0][0]) if len(rows) == 1 else None


class RegistryFile:
    """The reading half of a registry; `ReadRegistry` says what each method does.

    Args:
        connection: To a database whose schema is one of `REVISIONS`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def models(self) -> list[RegisteredModel]:
        rows = self._rows("SELECT name FROM registered_models WHERE workspace = ?", WORKSPACE)
        return [self._model(str(name)) for (name,) in rows]

    def model(self, name: str) -> RegisteredModel | None:
        rows = self._rows(
            "SELECT name FROM registered_models WHERE workspace = ? AND name = ?", WORKSPACE, name
        )
        return self._model(name) if rows else None

    def versions(self, name: str) -> list[ModelVersion]:
        return [self._version(row) for row in self._versions() if row[0] == name]

    def versions_of_weights(self, sha256: str) -> list[ModelVersion]:
        ((key, value),) = VersionTags(weights_sha256=sha256).to_tags().items()
        tagged = self._rows(
            "SELECT name, version FROM model_version_tags "
            "WHERE workspace = ? AND key = ? AND value = ?",
            WORKSPACE,
            key,
            value,
        )
        return [self._version(row) for row in self._versions() if (row[0], row[1]) in tagged]

    def logged_model(self, model_id: str) -> LoggedModel:
        rows = self._rows(
            "SELECT model_id, source_run_id, artifact_location FROM logged_models "
            "WHERE model_id = ? AND lifecycle_stage = 'active'",
            model_id,
        )
        if not rows:
            raise RegistryError(f"MLflow has no model {model_id}. {RESTORE}")
        ((own, run, location),) = rows
        return LoggedModel(model_id=str(own), run_id=run or "", location=str(location))

    def model_file(self, model: LoggedModel, name: str, folder: Path) -> Path | None:
        file = _local(model.location) / name
        return file if file.is_file() else None

    def _model(self, name: str) -> RegisteredModel:
        rows = self._rows(
            "SELECT alias, version FROM registered_model_aliases WHERE workspace = ? AND name = ?",
            WORKSPACE,
            name,
        )
        return RegisteredModel(name=name, aliases={str(a): int(v) for a, v in rows})

    def _versions(self) -> Sequence[tuple[Any, ...]]:
        """Every version that was not deleted, by name and number."""
        return self._rows(
            "SELECT name, version, source, run_id, current_stage FROM model_versions "
            "WHERE workspace = ? AND current_stage != ? ORDER BY name, version",
            WORKSPACE,
            DELETED,
        )

    def _version(self, row: tuple[Any, ...]) -> ModelVersion:
        name, number, source, run, stage = row
        tags = self._rows(
            "SELECT key, value FROM model_version_tags WHERE workspace = ? AND name = ? "
            "AND version = ?",
            WORKSPACE,
            name,
            number,
        )
        return ModelVersion(
            name=name,
            number=int(number),
            source=str(source),
            model_id=model_id(str(source)),
            run_id=run or "",
            raw_tags={str(key): str(value) for key, value in tags},
            stage=stage if stage in STAGES else "",
        )

    def _rows(self, query: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as problem:
            raise RegistryError(
                f"MLflow's database cannot be read: {problem}. Run the command again; if it stays, "
                "restore a copy (docs/operations.md, backup)."
            ) from problem


def model_id(source: str) -> str | None:
    """The logged model behind a version's source; None where it is from elsewhere."""
    scheme, _, named = source.partition(":/")
    return named if scheme == "models" and named.startswith("m-") and named[2:].isalnum() else None


def _local(location: str) -> Path:
    """Where files of this machine lie.

    Raises:
        RegistryError: They lie elsewhere.
    """
    parts = urlsplit(location)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme:
        raise RegistryError(
            f"Files lie at {location}; damp reads them only from this machine or through the "
            "MLflow server (`mlflow server --artifacts-destination`). Give the weights as a file."
        )
    return Path(location)
