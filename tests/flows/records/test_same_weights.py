"""Weights are recognised by their tensors, whatever the file is called and says besides."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from flows.records import same_weights
from flows.state.files import digest_file

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4)}


def find_names(folder: Path, digest: str) -> set[str]:
    files = same_weights.below(folder)
    return {path.name for path, _ in same_weights.holding(files, {digest})}


def test_a_file_with_another_name_and_other_metadata_is_the_same_weights(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "before.safetensors")
    save_file(TENSORS, tmp_path / "harmless.bin", metadata={"one": "key more"})
    save_file(dict(reversed(TENSORS.items())), tmp_path / "turned", metadata={"damp": "x"})
    save_file(TENSORS | {"b": torch.zeros(4)}, tmp_path / "edited.safetensors")
    (tmp_path / "no weights.json").write_text("{}")
    digest = digest_file(tmp_path / "before.safetensors")
    assert find_names(tmp_path, digest) == {"before.safetensors", "harmless.bin", "turned"}


def test_what_only_begins_like_weights_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes((20).to_bytes(8, "little") + b"{")
    (tmp_path / "no header").write_bytes((4).to_bytes(8, "little") + b"{[]}")
    (tmp_path / "text").write_bytes((2).to_bytes(8, "little") + b"{}")
    (tmp_path / "odd").write_bytes((9).to_bytes(8, "little") + b'{"a": 12}')
    assert find_names(tmp_path, "0" * 64) == set()
