"""Models of files get names of their own in the registry."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from compliance.documents.request import Request, parse_request
from compliance.formats.errors import RequestError
from flows.intake import model_names
from flows.models import architectures, weights
from flows.state.errors import EventError
from flows.state.files import write_atomically
from flows.state.paths import Home
from flows.steps.predicate import registered_name


def request(**model: Any) -> Request:
    return parse_request(json.dumps(content(**model)))


def content(**model: Any) -> dict[str, Any]:
    return {
        "apiVersion": "damp/v1",
        "kind": "ErasureRequest",
        "subject_request_id": str(uuid.uuid4()),
        "regulation": "gdpr",
        "submitted_time": "2026-09-20T08:00:00Z",
        "scope": {"type": "class", "selector": {"index": 3}},
        "model": {"file": "model.safetensors", "architecture": "damp:cnn"} | model,
        "data": {"name": "digits"},
        "recipe": "digits",
        "policy": "demo-v1",
    }


def name_of(sha256: str, **model: Any) -> str:
    accepted: Any = SimpleNamespace(request=request(**model))
    facts: Any = SimpleNamespace(registry=None, file=SimpleNamespace(sha256=sha256))
    return registered_name(accepted, facts)


def test_a_model_has_the_requests_name_or_one_of_its_file_and_bytes() -> None:
    assert name_of("a" * 64, name="faces-v2") == "faces-v2"
    assert name_of("a" * 64, file="models/my net (1).safetensors") == "my-net-1-aaaaaaaa"
    assert name_of("a" * 64) == "model-aaaaaaaa"
    assert name_of("b" * 64) == "model-bbbbbbbb"  # two files of one name
    assert name_of("a" * 64, file="é.safetensors") == "model-aaaaaaaa"


def test_a_request_without_a_name_keeps_its_digest() -> None:
    assert "name" not in request().content()["model"]
    assert request(name="faces").content()["model"]["name"] == "faces"


@pytest.mark.parametrize("name", ["", "a/b", "a@b", "a b", "x" * 101, "-a"])
def test_a_name_that_cannot_be_registered_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="letters, digits"):
        request(name=name)


def test_a_registered_model_takes_no_name() -> None:
    wanted = content() | {"model": {"registry": "digits@champion", "name": "other"}}
    with pytest.raises(RequestError, match="leave `name` out"):
        parse_request(json.dumps(wanted))


def saved(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    weights.save_weights(architectures.build("damp:cnn", 10, (1, 8, 8)), path, {})
    return path


def test_a_name_that_an_earlier_request_gives_to_other_weights_is_refused(
    home: Home, tmp_path: Path
) -> None:
    one, two = saved(tmp_path / "model.safetensors", 0), saved(tmp_path / "other.safetensors", 1)
    earlier = content(name="faces")
    event = earlier["subject_request_id"]
    write_atomically(home.request(event), json.dumps(earlier).encode())
    place = json.dumps({"folder": str(tmp_path)}).encode()
    write_atomically(home.event(event) / "origin.json", place)
    model_names.refuse_taken(home, request(name="faces"), one)
    with pytest.raises(EventError, match="Another model has the name 'faces'"):
        model_names.refuse_taken(home, request(name="faces"), two)
    model_names.refuse_taken(home, request(name="shapes"), two)


def test_a_name_that_is_registered_for_other_weights_is_refused(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.registry import registration
    from tests.flows.registry import memory_registry

    monkeypatch.setattr(model_names, "read_registry", memory_registry.opened)
    monkeypatch.setattr(model_names, "registry_exists", memory_registry.exists)
    monkeypatch.setattr(registration, "open_registry", memory_registry.opened)
    one, two = saved(tmp_path / "model.safetensors", 0), saved(tmp_path / "other.safetensors", 1)
    registration.register_base(
        home,
        name="faces",
        weights=one,
        architecture="damp:cnn",
        classes=10,
        input_shape=(1, 8, 8),
        data_version="0" * 32 + ".dir",
        data_name="digits",
    )
    model_names.refuse_taken(home, request(name="faces"), one)
    with pytest.raises(EventError, match="Another model has the name 'faces'"):
        model_names.refuse_taken(home, request(name="faces"), two)
