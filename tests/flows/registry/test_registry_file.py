"""The registry read as a file answers what MLflow's own client answers, and only where it may."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flows.registry import mlflow_registry, registry_file
from flows.registry.interface import NewVersion, ReadRegistry
from flows.registry.mlflow_registry import MlflowRegistry
from flows.registry.packing import WEIGHTS, Spec
from flows.registry.registry_file import RegistryFile
from flows.registry.tags import VersionTags
from flows.state.errors import RegistryError
from flows.state.paths import Home
from flows.state.settings import prepare_environment

SPEC = Spec(architecture="damp:cnn", classes=10, input_shape=(1, 8, 8))
DIGESTS = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def home(home: Home, empty_registry: Path) -> Iterator[Home]:
    """Two names; the first has three versions, one of them deleted, and two aliases."""
    home.root.mkdir()
    shutil.copy(empty_registry, home.mlflow_db)
    prepare_environment(home.root)
    weights = home.root / "w.safetensors"
    weights.write_bytes(b"weights")
    with mlflow_registry.opened(home) as registry:
        for name, digest in (("it-s", DIGESTS[0]), *(("digits", each) for each in DIGESTS)):
            registry.register(new(name, digest, weights))
        registry.set_alias("digits", "champion", 3)
        registry.set_alias("digits", "before", 1)
        registry.client.delete_model_version("digits", "2")
    yield home
    mlflow_registry._client.cache_clear()


def new(name: str, digest: str, weights: Path) -> NewVersion:
    tags = VersionTags(kind="base", weights_sha256=digest, data_version=f"{'0' * 32}.dir")
    return NewVersion(
        name=name,
        title=name,
        identity=tags,
        tags=tags,
        weights=weights,
        spec=SPEC,
        parent=None,
        data_name="digits",
        data={"training": f"{'0' * 32}.dir"},
    )


def answers(registry: ReadRegistry, folder: Path) -> list[object]:
    """All that a reading registry can be asked."""
    versions = [v for name in ("digits", "it-s", "none") for v in registry.versions(name)]
    models = [registry.logged_model(v.logged_model_id()) for v in versions]
    return [
        sorted(registry.models(), key=lambda model: model.name),
        [registry.model(name) for name in ("digits", "it-s", "none")],
        versions,
        [registry.versions_of_weights(digest) for digest in (*DIGESTS, "d" * 64)],
        models,
        [registry.model_file(m, name, folder) for m in models for name in (WEIGHTS, "gone")],
    ]


def test_it_answers_what_mlflow_answers(home: Home, tmp_path: Path) -> None:
    with mlflow_registry.opened(home) as asked:
        assert isinstance(asked, MlflowRegistry)
        wanted = answers(asked, tmp_path)
    with mlflow_registry.read(home) as file:
        assert isinstance(file, RegistryFile)
        assert answers(file, tmp_path) == wanted
    assert [v.number for v in wanted[2]] == [1, 3, 1]  # type: ignore[attr-defined]


def test_a_deleted_model_is_refused_as_mlflow_refuses_it(home: Home) -> None:
    with mlflow_registry.opened(home) as asked:
        gone = asked.versions("digits")[0].logged_model_id()
        asked.client.delete_logged_model(gone)
        with pytest.raises(RegistryError) as wanted:
            asked.logged_model(gone)
    with mlflow_registry.read(home) as file, pytest.raises(RegistryError) as caught:
        file.logged_model(gone)
    assert str(caught.value) == str(wanted.value)


def test_a_schema_that_is_not_known_is_left_to_mlflow(home: Home) -> None:
    with closing(sqlite3.connect(home.mlflow_db)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'another'")
    with registry_file.opened(home.mlflow_db) as file:
        assert file is None


def test_reading_changes_no_byte_and_makes_no_file(home: Home, tmp_path: Path) -> None:
    before = home.mlflow_db.read_bytes(), sorted(home.root.iterdir())
    with registry_file.opened(home.mlflow_db) as file:
        assert file is not None
        answers(file, tmp_path)
        with pytest.raises(sqlite3.OperationalError):
            file._connection.execute("DELETE FROM model_versions")
    assert (home.mlflow_db.read_bytes(), sorted(home.root.iterdir())) == before
    with registry_file.opened(home.root / "none.db") as none:
        assert none is None
    assert not (home.root / "none.db").exists()


def test_files_elsewhere_are_refused() -> None:
    with pytest.raises(RegistryError, match="s3://bucket"):
        registry_file._local("s3://bucket/models")
