"""A registry's database that is locked, full, read-only or of another version is named as such."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest

from flows import models
from flows.orchestration import parking
from flows.registry import gate, mlflow_registry, registration
from flows.servers import local_services, processes
from flows.state.errors import RegistryError, ServerError
from flows.state.paths import Home
from flows.state.settings import prepare_environment, settings
from tests.flows.conftest import mounted
from tests.flows.intake.test_refusals import files_no_longer_than
from tests.flows.state.test_settings import server


@pytest.fixture
def registry(home: Home, empty_registry: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "CRITICAL")
    home.root.mkdir()
    shutil.copy(empty_registry, home.mlflow_db)
    prepare_environment(home.root)
    yield home
    mlflow_registry._client.cache_clear()


def written(home: Home) -> None:
    with mlflow_registry.opened(home) as registry:
        registry.client.create_registered_model("digits")


@contextmanager
def refused(home: Home, *words: str) -> Iterator[None]:
    with pytest.raises(RegistryError) as caught:
        yield
    message = str(caught.value)
    assert message.startswith(f"MLflow refused on sqlite:///{home.mlflow_db}: ")
    assert "Nothing that was registered before has changed" in message
    for word in words:
        assert word in message


def test_a_whole_database_takes_what_is_written(registry: Home) -> None:
    """The control of everything below."""
    written(registry)


def test_where_a_server_of_ones_own_holds_the_registry_the_file_is_not_taken_for_it(
    registry: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAMP_MLFLOW_DATABASE_URL", "postgresql+psycopg2://damp@127.0.0.1:1/mlflow")
    settings.cache_clear()
    with pytest.raises(ServerError, match="does not run here"):
        written(registry)


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_server_of_damp_up_is_asked_and_the_files_stay_readable_without_it(
    registry: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = registry.root / "model.safetensors"
    models.save_weights(models.build("damp:cnn", 10, (1, 8, 8)), weights, {})
    service = local_services._start(registry, "mlflow", processes.free_port())
    try:
        local_services._wait(registry, service)
        with mlflow_registry.opened(registry) as opened:
            assert opened.client.tracking_uri == service.url
        registration.register_base(
            registry,
            name="digits",
            weights=weights,
            architecture="damp:cnn",
            classes=10,
            input_shape=(1, 8, 8),
            data_version="a" * 32 + ".dir",
            data_name="digits",
        )
        assert [check.problems for check in gate.audit_registry(registry)] == [()]
    finally:
        local_services._stop(registry, "mlflow")
    with mlflow_registry.opened(registry) as opened:
        assert opened.client.tracking_uri == registry.mlflow_uri
    assert registration.resolve(registry, "digits@champion").weights.is_relative_to(registry.root)
    assert [check.problems for check in gate.audit_registry(registry)] == [()]


def test_a_server_that_dies_on_the_way_has_refused_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    home.root.mkdir()
    prepare_environment(home.root)
    with ExitStack() as stack:
        url = stack.enter_context(server(version("mlflow")))
        monkeypatch.setenv("DAMP_MLFLOW_URI", url)
        settings.cache_clear()

        def asked() -> None:
            with mlflow_registry.opened(home) as registry:
                stack.close()  # the server ends here
                registry.models()

        with pytest.raises(ServerError, match=r"was lost on the way") as caught:
            asked()
    assert isinstance(caught.value, parking.PASSING)  # left for the next run, not parked
    mlflow_registry._client.cache_clear()


def test_a_database_of_another_version_of_mlflow_is_not_touched(registry: Home) -> None:
    with closing(sqlite3.connect(registry.mlflow_db)) as database:
        database.execute("update alembic_version set version_num = 'fedcba987654'")
        database.commit()
    before = registry.mlflow_db.read_bytes()
    with refused(registry, "another version of MLflow has made or migrated it"):
        written(registry)
    assert registry.mlflow_db.read_bytes() == before


def test_a_database_that_another_program_holds_is_named(registry: Home) -> None:
    written(registry)
    with closing(sqlite3.connect(registry.mlflow_db)) as other:
        other.execute("begin exclusive")
        with (
            refused(registry, "locked", "another program holds the database"),
            mlflow_registry.opened(registry) as opened,
        ):
            opened.client.create_registered_model("faces")
    with mlflow_registry.opened(registry) as opened:  # it is free again
        opened.client.create_registered_model("faces")


def test_a_disk_that_is_full_is_named(registry: Home) -> None:
    written(registry)
    size = registry.mlflow_db.stat().st_size
    with (
        refused(registry),
        mlflow_registry.opened(registry) as opened,
        files_no_longer_than(size // 2),
    ):
        opened.client.create_registered_model("faces")
    with mlflow_registry.opened(registry) as opened:
        assert [model.name for model in opened.models()] == ["digits"]


WRITE = """
import sys
from pathlib import Path
from flows.orchestration import parking; from flows.registry import mlflow_registry
from flows.state.errors import RegistryError, ServerError
from flows.state.paths import Home
try:
    with mlflow_registry.opened(Home(Path(sys.argv[1]))) as registry:
        registry.client.create_registered_model("digits")
except RegistryError as error:
    print(error)
"""


def test_a_read_only_database_is_named(registry: Home, tmp_path: Path) -> None:
    """By a process of its own: MLflow keeps the database open until its process ends."""
    for folder in mounted(tmp_path / "frozen", "size=16m"):
        shutil.move(registry.mlflow_db, folder / "mlflow.db")
        registry.mlflow_db.symlink_to(folder / "mlflow.db")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        command = [sys.executable, "-c", WRITE, str(registry.root)]
        message = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert message.startswith(f"MLflow refused on sqlite:///{registry.mlflow_db}: ")
    assert "readonly database" in message


def test_a_pickle_that_mlflow_itself_has_logged_is_to_be_exported_as_safetensors(
    registry: Home, tmp_path: Path
) -> None:
    """The files of an ordinary PyTorch model: they are there, and damp does not open them."""
    from flows.registry import registration

    folder = tmp_path / "theirs"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors:\n  pytorch: {model_data: data}\n")
    (folder / "data" / "model.pth").write_bytes(b"\x80\x02.")
    with mlflow_registry.opened(registry) as opened:
        client = opened.client
        model = client.create_logged_model(opened.experiment(), name="theirs")
        client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, "READY")
        client.create_registered_model("theirs")
        with mlflow_registry.as_default(client):
            client.create_model_version(
                "theirs", source=f"models:/{model.model_id}", model_id=model.model_id
            )
    with pytest.raises(RegistryError) as caught:
        registration.resolve(registry, "theirs/1")
    assert "gone" not in str(caught.value)
    for word in ("damp adopt", "save_model(", "damp request --model model.safetensors"):
        assert word in str(caught.value)
