"""What cannot be carried out is refused in one message, with its exit code, and leaves no trace."""

from __future__ import annotations

import json
import pickle
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from compliance.ledger import Ledger
from flows.intake import requests
from flows.models import architectures, weights
from flows.state import locks
from flows.state.paths import Home
from tests.flows import fitting
from tests.flows.conftest import Damp, contents

ID = "5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11"
CLASSES, SHAPE = 10, (1, 8, 8)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that recognise digits."""
    path = tmp_path_factory.mktemp("trained") / "model.safetensors"
    weights.save_weights(fitting.digits(), path, {})
    return path


@pytest.fixture
def folder(tmp_path: Path, trained: Path) -> Path:
    """A model that fits digits, and nothing else."""
    place = tmp_path / "requester"
    place.mkdir()
    shutil.copy(trained, place / "model.safetensors")
    return place


SUBMITTED = datetime.now(UTC).replace(microsecond=0)


def request(**changed: Any) -> dict[str, Any]:
    """A request that can be carried out, but for what is changed."""
    return {
        "apiVersion": "damp/v1",
        "kind": "ErasureRequest",
        "subject_request_id": ID,
        "regulation": "gdpr",
        "submitted_time": SUBMITTED.isoformat(),
        "scope": {"type": "class", "selector": {"index": 3}},
        "model": {"file": "model.safetensors", "architecture": "damp:cnn"},
        "data": {"name": "digits"},
        "recipe": "digits",
        "policy": "demo-v1",
        **changed,
    }


def forgetting(*classes: Any) -> dict[str, Any]:
    return {"scope": {"type": "class", "selector": {"indices": list(classes)}}}


def written(folder: Path, content: dict[str, Any]) -> Path:
    file = folder / "request.yaml"
    file.write_text(json.dumps(content))  # JSON is YAML
    return file


def test_a_request_that_can_be_carried_out_is_accepted(damp: Damp, folder: Path) -> None:
    """The control of every refusal below."""
    result = damp("submit", written(folder, request()), "--json")
    assert result.code == 0
    assert result.json()["id"] == ID
    assert result.json()["new"] is True


REQUESTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "an unknown class": (forgetting(3, 12), ["class 12", "[0, 1, 2"]),
    "all classes": (forgetting(*range(10)), ["at least two classes must stay"]),
    "all but one": (forgetting(*range(9)), ["at least two classes must stay"]),
    "an unknown key": ({"surprise": 1}, ["surprise"]),
    "a class by name": (forgetting("Anna"), ["index", "never by its name"]),
    "a date without zone": ({"submitted_time": "2026-09-20T08:00:00"}, ["zone", "Z for UTC"]),
    "a missing file": ({"model": {"file": "no.safetensors", "architecture": "damp:cnn"}}, ["no.s"]),
    "a pickle by name": ({"model": {"file": "m.pt", "architecture": "damp:cnn"}}, ["pickle"]),
    "another architecture": (
        {"model": {"file": "model.safetensors", "architecture": "damp:vit"}},
        ["does not fit damp:vit", "lacks", "too many"],
    ),
    "no such architecture": (
        {"model": {"file": "model.safetensors", "architecture": "cnn"}},
        ["'cnn' is no architecture", "damp:cnn"],
    ),
    "no such recipe": ({"recipe": "diggits"}, ["'diggits' is no recipe", "digits"]),
    "no such policy": ({"policy": "lenient"}, ["no such policy", "default-v1"]),
    "no such data": ({"data": {"name": "digitz"}}, ["no known data set", "digits"]),
    "no registry": ({"model": {"registry": "digits@champion"}}, ["no registry", "damp train"]),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_refused(name: str, damp: Damp, folder: Path, tmp_path: Path) -> None:
    changed, words = REQUESTS[name]
    file = written(folder, request(**changed))
    before = contents(tmp_path)
    damp("submit", file).refused(*words)
    assert contents(tmp_path) == before


def test_too_few_samples_for_the_policy_are_refused_before_work_starts(
    damp: Damp, folder: Path, tmp_path: Path
) -> None:
    from compliance.documents.policy import load_policy

    asking = load_policy("demo-v1").model_copy(update={"minimum_samples": {"forget_test": 5000}})
    (folder / "strict.yaml").write_text(asking.model_dump_json())
    file = written(folder, request(policy="strict.yaml"))
    before = contents(tmp_path)
    damp("submit", file).refused("class 3 has", "test samples", "needs 5000")
    assert contents(tmp_path) == before


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _cut_in_the_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def _with_nan(path: Path) -> None:
    network = architectures.build("damp:cnn", CLASSES, SHAPE)
    next(network.parameters()).data.fill_(float("nan"))
    weights.save_weights(network, path, {})


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weight": [1.0]}, protocol=4))


def _saved_by_torch(path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, path)


def _of_other_classes(path: Path) -> None:
    weights.save_weights(architectures.build("damp:cnn", 7, SHAPE), path, {})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_truncated, ["damaged", "Fetch it again"]),
        (_cut_in_the_header, ["cut short"]),
        (_with_nan, ["not finite"]),
        (_pickled, ["is a pickle", "safetensors"]),
        (_saved_by_torch, ["is a pickle", "safetensors"]),
        (_of_other_classes, ["does not fit damp:cnn", "other shapes"]),
    ],
)
def test_weights_that_cannot_be_used_are_refused_at_the_door(
    spoil: Callable[[Path], None], words: list[str], damp: Damp, folder: Path, tmp_path: Path
) -> None:
    spoil(folder / "model.safetensors")
    file = written(folder, request())
    before = contents(tmp_path)
    damp("submit", file).refused("model.safetensors", *words)
    assert contents(tmp_path) == before


def pictures(folder: Path, classes: int, each: int = 30) -> Path:
    place = folder / "pictures"
    for label in range(classes):
        (place / f"class-{label}").mkdir(parents=True)
        for number in range(each):
            shade = (label * 80 + number) % 256
            Image.new("L", (8, 8), shade).save(place / f"class-{label}" / f"{number:03d}.png")
    return place


def test_images_that_cannot_be_read_are_refused_and_named(
    damp: Damp, folder: Path, tmp_path: Path
) -> None:
    torn = pictures(folder, 3) / "class-1" / "007.png"
    torn.write_bytes(torn.read_bytes()[:20])
    file = written(folder, request(data={"name": "imagefolder:pictures"}, **forgetting(1)))
    before = contents(tmp_path)
    damp("submit", file).refused("class-1/007.png")
    assert contents(tmp_path) == before


def test_a_folder_with_one_class_is_refused(damp: Damp, folder: Path, tmp_path: Path) -> None:
    pictures(folder, 1)
    file = written(folder, request(data={"name": "imagefolder:pictures"}, **forgetting(0)))
    before = contents(tmp_path)
    damp("submit", file).refused("pictures", "two")
    assert contents(tmp_path) == before


def test_the_same_request_again_has_the_same_answer_and_no_second_effect(
    damp: Damp, folder: Path, tmp_path: Path
) -> None:
    first = damp("submit", written(folder, request()), "--json").json()
    before = contents(tmp_path / "state")
    otherwise = request(
        submitted_time=SUBMITTED.astimezone(timezone(timedelta(hours=2))).isoformat(),
        **forgetting(3),
    )
    again = damp("submit", written(folder, otherwise), "--json")
    assert again.code == 0
    assert again.json() == first | {"new": False, "forecast": None}  # nothing is looked at again
    assert contents(tmp_path / "state") == before


def test_an_id_with_other_content_is_refused(damp: Damp, folder: Path, tmp_path: Path) -> None:
    damp("submit", written(folder, request()))
    file = written(folder, request(**forgetting(4)))
    before = contents(tmp_path)
    damp("submit", file).refused(ID, "other content", "new UUIDv4")
    assert contents(tmp_path) == before


def test_a_request_that_was_changed_after_its_receipt_is_refused(damp: Damp, folder: Path) -> None:
    file = written(folder, request())
    damp("submit", file)
    damp("keys", "new")
    kept = Home(folder.parent / "state").request(ID)
    kept.write_text(json.dumps(request(**forgetting(4))))
    damp("run").refused("is not the request that the ledger received", "Restore")


def test_a_run_without_a_key_is_refused_before_work_starts(damp: Damp, folder: Path) -> None:
    damp("submit", written(folder, request()))
    before = contents(folder.parent)
    damp("run").refused("sign as executor", "damp keys new")
    assert contents(folder.parent) == before


def test_an_event_on_a_model_that_another_one_holds_waits_its_turn(
    damp: Damp, folder: Path, home: Home
) -> None:
    damp("submit", written(folder, request()))
    damp("keys", "new")
    before = contents(folder.parent)
    with locks.lineage(home, requests.lineage_of(home, ID)):
        damp("run").refused("Another event is running on model", "damp status", code=4)
        damp("run", "--event", ID, "--json").refused("Another event", code=4)
    assert contents(folder.parent) == before


def test_an_unknown_event_is_refused(damp: Damp) -> None:
    damp("run", "--event", ID).refused(f"no event {ID}", "damp status")


def test_a_state_folder_on_a_read_only_disk_is_refused(
    damp: Damp, folder: Path, read_only_disk: Path
) -> None:
    file = written(folder, request())
    damp("--home", read_only_disk / "state", "submit", file).refused("Read-only file system")


def test_a_state_folder_below_a_file_is_refused(
    damp: Damp, folder: Path, below_a_file: Path
) -> None:
    file = written(folder, request())
    damp("--home", below_a_file, "submit", file).refused(str(below_a_file))


def test_a_full_disk_is_reported_and_leaves_no_event(
    damp: Damp, folder: Path, tiny_disk: Path
) -> None:
    (tiny_disk / "filler").write_bytes(b"0" * (64 << 10))
    file = written(folder, request())
    damp("--home", tiny_disk / "state", "submit", file).refused("No space left on device")
    assert damp("--home", tiny_disk / "state", "status", "--json").json() == []


@contextmanager
def files_no_longer_than(limit: int) -> Iterator[None]:
    """Writing beyond `limit` bytes fails in the middle, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("bytes_left", [0, 100, 700])
def test_a_disk_that_fills_up_while_it_is_written_leaves_old_or_new(
    bytes_left: int, damp: Damp, folder: Path, home: Home
) -> None:
    file = written(folder, request())
    with files_no_longer_than(bytes_left):
        result = damp("submit", file)
    if result.code:
        result.refused("File too large")
    assert not home.ledger.exists() or not Ledger(home.ledger).verify().problem
    assert damp("submit", file, "--json").json()["id"] == ID
    assert [event["id"] for event in damp("status", "--json").json()] == [ID]
