"""Results kept by the content that they come from, so that a run goes on where another ended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.method.data import CACHE

Facts = Mapping[str, Any]


def kept(kind: str, facts: Facts, make: Callable[[], Any]) -> Any:
    """What `make` gave for these facts, from the cache if it has been made.

    Args:
        kind: Folder of the cache.
        facts: All that decides the result, as JSON.
        make: Gives something that JSON can hold.
    """
    text = json.dumps(facts, sort_keys=True)
    path = CACHE / kind / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
    if path.is_file():
        return json.loads(path.read_text())["result"]
    result = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"facts": facts, "result": result}))
    partial.replace(path)
    return result


def fingerprint(model: nn.Module) -> str:
    """Digest of all weights and buffers."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


@lru_cache
def source(places: tuple[str, ...]) -> str:
    """Digest of Python files and of those in folders, named from the root of the repository."""
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for path in sorted(_files(root / place for place in places)):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:32]


def _files(places: Iterable[Path]) -> Iterable[Path]:
    for place in places:
        yield from place.rglob("*.py") if place.is_dir() else (place,)
