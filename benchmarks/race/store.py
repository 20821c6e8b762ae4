"""Results kept by what decides them, so that a run goes on where another ended.

Keys hold no digest of source files: a comment must not cost an hour. `VERSION` is raised where a
change makes other figures.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from damp.operators import add_missing_biases

Facts = Mapping[str, Any]
VERSION = 1


class Store:
    """A folder of results.

    Args:
        folder: Made when the first result is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, kind: str, facts: Facts, ending: str) -> Path:
        """Where a result lies, or would."""
        return self.folder / kind / f"{key(facts)}{ending}"

    def result(self, kind: str, facts: Facts, make: Callable[[], Any] | None = None) -> Any:
        """What was kept for these facts; what `make` gives where nothing was, None without it."""
        path = self.path(kind, facts, ".json")
        if path.is_file():
            return json.loads(path.read_text())["result"]
        if make is None:
            return None
        value = make()
        self._write(path, json.dumps({"facts": facts, "result": value}, sort_keys=True).encode())
        # as it will be read the next time: tuples are lists, keys are texts
        return json.loads(path.read_text())["result"]

    def model(self, facts: Facts, empty: nn.Module) -> tuple[nn.Module, dict[str, str]] | None:
        """A network kept for these facts, with its notes; None where there is none."""
        path = self.path("models", facts, ".safetensors")
        if not path.is_file():
            return None
        tensors = load_file(path)
        add_missing_biases(empty, tensors)
        empty.load_state_dict(tensors)
        with safe_open(path, "pt") as file:
            notes = dict(file.metadata() or {})
        return empty.eval(), notes

    def keep_model(self, facts: Facts, model: nn.Module, notes: Mapping[str, str]) -> None:
        """Keep a network's weights with notes."""
        path = self.path("models", facts, ".safetensors")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        tensors = {k: v.detach().contiguous().clone() for k, v in model.state_dict().items()}
        save_file(tensors, partial, dict(notes))
        partial.replace(path)

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_bytes(content)
        partial.replace(path)


def key(facts: Facts) -> str:
    """Digest of all that decides a result."""
    text = json.dumps({"version": VERSION, **facts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
