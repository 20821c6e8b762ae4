"""The inventory against the disk: no file with the old weights or forgotten rows is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file

from flows.data import dvc_metadata, dvc_workspace, loaders
from flows.data.dataset import DataSpec
from flows.models import trainings
from flows.operations import purge
from flows.records import inventory
from flows.state.paths import Attempt, Home
from tests.flows.running import Office, opened, submitted

pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")


def files_below(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.resolve(), path.read_bytes()


def with_weights(home: Home, weights: Path) -> set[Path]:
    """Files anywhere below with the bytes of each of the tensors, whatever surrounds them."""
    tensors = [tensor.numpy().tobytes() for tensor in load_file(weights).values()]
    return {path for path, held in files_below(home.root) if all(t in held for t in tensors)}


def with_rows(home: Home, label: int) -> set[Path]:
    """Files anywhere below with the bytes of some training row of the class."""
    data = loaders.load(DataSpec(name="digits"))
    rows = [row.numpy().tobytes() for row in data.train_inputs[data.train_labels == label][:10]]
    return {path for path, held in files_below(home.root) if any(row in held for row in rows)}


def covered(home: Home, event: str) -> set[Path]:
    """Files that the inventory names, with the objects of DVC's cache that go with a version."""
    scope = purge.scope_of(home, event)
    artefacts = inventory.inventory(home, scope)
    versions = {
        dvc_workspace.workspace(home) / each.location.removeprefix("data version ")
        for each in artefacts
        if each.artefact == "training rows of the class"
    }
    named = [*inventory.files(artefacts), *versions]
    files = {p.resolve() for path in named for p in ([path] if path.is_file() else path.rglob("*"))}
    gone = dvc_metadata.forgotten(home, scope.data_before, scope.data_after)
    return files | {dvc_metadata.cached(home, md5).resolve() for md5 in gone}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return opened(tmp_path_factory.mktemp("office"))


def _kill_a_training(home: Home, weights: Path) -> None:
    """Leave the state of a training behind, as one that is killed at its last epoch does."""
    kept = trainings._Kept(home.trainings / "base-0.pt")
    kept.last = float("-inf")
    kept.save(lambda: {"epoch": 1, "model": load_file(weights)})


@pytest.mark.timeout(1800)
def test_no_file_with_old_weights_or_forgotten_rows_is_missing(office: Office) -> None:
    """One event on a file of the user's own, one on a registered model."""
    home = office.home
    (base,) = home.models.glob("*.safetensors")
    own = home.root.parent / "own.safetensors"
    shutil.copy(base, own)
    shutil.move(base, home.root.parent / "moved-away")
    by_file = submitted(
        office, 8, {"file": "own.safetensors", "architecture": "damp:cnn", "name": "ours"}
    )
    by_registry = submitted(office, 3)
    assert office.damp("run").returncode in (0, 2)

    _kill_a_training(home, Attempt(home, by_registry, 1).before)
    statement = purge.scope_of(home, by_file)
    assert statement.name == "ours"
    for event, label in ((by_file, 8), (by_registry, 3)):
        before = Attempt(home, event, 1).before
        weights, rows = with_weights(home, before), with_rows(home, label)
        assert len(weights) >= 2  # pinned, and registered
        assert home.trainings / "base-0.pt" in weights or event == by_file
        assert len(rows) >= 1
        assert weights - covered(home, event) == set()
        assert rows - covered(home, event) == set()

    from compliance.signing import envelope

    signed = envelope.decoded(Attempt(home, by_file, 1).statement)["predicate"]["propagation"]
    listed = {(row["artefact"], row["location"]) for row in signed}
    assert ("model before, in the registry", "ours version 1") in listed
    assert ("model before, the file that was named", str(own.resolve())) in listed
    now = {(each.artefact, each.location) for each in inventory.inventory(home, statement)}
    assert ("model before, in the registry", "ours version 1") in now
    assert any("models retrained for other requests" in each for each, _ in now)
