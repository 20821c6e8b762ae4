"""References ahead of time: a request is enough, its model's weights are not needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.data.dataset import DataSpec
from flows.operations import prepare_references
from flows.state.paths import Home

REQUEST = """\
apiVersion: damp/v1
kind: ErasureRequest
subject_request_id: 5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11
regulation: other
submitted_time: 2026-11-20T08:00:00Z
scope: {type: class, selector: {index: 3}}
model: {file: away.safetensors, architecture: "damp:cnn"}
data: {name: digits}
recipe: digits
policy: demo-v1
"""


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    file = tmp_path / "request.yaml"
    file.write_text(REQUEST)
    return file


def test_a_request_is_enough(home: Home, asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: dict[str, Any] = {}
    monkeypatch.setattr(prepare_references, "train", lambda home, **given: trained.update(given))
    prepare_references.train_for_file(home, asked)
    assert trained == {
        "spec": DataSpec(name="digits"),
        "recipe": "digits",
        "architecture": "damp:cnn",
        "forget": [3],
        "retired": [],
        "count": 5,
    }
    assert "away.safetensors is not there" in prepare_references.assumed(home, asked)


def test_of_weights_that_are_there_nothing_is_assumed(home: Home, asked: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(1)}, asked.parent / "away.safetensors")
    assert prepare_references.assumed(home, asked) == ""
