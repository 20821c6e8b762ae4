"""A model of another pipeline's comes in where it is safetensors; a pickle is told how to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows import models
from flows.data import loaders
from flows.data.dataset import DataSpec
from flows.operations.adopt import adopt
from flows.registry import mlflow_registry, registration
from flows.state.errors import RegistryError
from flows.state.files import digest_file
from flows.state.paths import Home
from flows.state.settings import prepare_environment

Refusal = Callable[..., Any]
HOW = {"architecture": "damp:cnn", "data": "digits", "data_root": None}


@pytest.fixture
def registry(home: Home, empty_registry: Path) -> Iterator[Home]:
    home.root.mkdir()
    shutil.copy(empty_registry, home.mlflow_db)
    prepare_environment(home.root)
    yield home
    mlflow_registry._client.cache_clear()


def logged(home: Home, folder: Path, name: str = "shop") -> None:
    """A version as another pipeline leaves it: a folder of files and no tag of damp's."""
    with mlflow_registry.opened(home) as opened:
        opened.client.create_registered_model(name)
        opened.client.create_model_version(name, source=folder.as_uri(), await_creation_for=0)


@pytest.fixture
def safetensors(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    dataset = loaders.load(DataSpec(name="digits"))
    network = models.build("damp:cnn", dataset.classes, dataset.input_shape)
    models.save_weights(network, folder / "net.safetensors", {})
    (folder / "MLmodel").write_text("flavors: {}\n")
    return folder


def test_safetensors_come_in_byte_for_byte(registry: Home, safetensors: Path) -> None:
    logged(registry, safetensors)
    adopted = adopt(registry, "shop/1", name="shop-audited", **HOW)
    assert adopted.sha256 == digest_file(safetensors / "net.safetensors")
    resolved = registration.resolve(registry, "shop-audited@champion")
    assert (resolved.sha256, resolved.architecture) == (adopted.sha256, "damp:cnn")
    assert 0 <= adopted.test_accuracy <= 1


def test_a_pickle_is_never_opened_and_its_export_command_is_shown(
    registry: Home, tmp_path: Path, refused: Refusal
) -> None:
    folder = tmp_path / "pickled"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "model.pth").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    logged(registry, folder)
    with refused(RegistryError, "mlflow.pytorch.load_model('models:/shop/1')", "save_model"):
        adopt(registry, "shop/1", name="shop-audited", **HOW)
    assert not (Path.cwd() / "opened").exists()
    assert not list(registry.models.glob("*"))


def test_what_cannot_be_meant_is_refused_before_anything_is_written(
    registry: Home, safetensors: Path, refused: Refusal
) -> None:
    logged(registry, safetensors)
    with refused(RegistryError, "give the model another one with --name"):
        adopt(registry, "shop/1", name="shop", **HOW)
    with refused(RegistryError, "NAME/VERSION"):
        adopt(registry, "shop", name="other", **HOW)
    (safetensors / "other.safetensors").write_bytes(b"x")
    with refused(RegistryError, "several weights: net.safetensors, other.safetensors"):
        adopt(registry, "shop/1", name="other", **HOW)
    assert not list(registry.models.glob("*"))
