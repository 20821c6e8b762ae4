"""Cheats that take a training are trained once: the model is kept by what decides it."""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path

from benchmarks.validity import data
from benchmarks.validity.cheats import Candidate, Case, Cheat
from benchmarks.validity.nets import Setting
from benchmarks.validity.source_digest import source_digest
from flows.models import weights


@cache
def _code() -> str:
    """Digest of what makes cheats."""
    folder = Path(inspect.getfile(Cheat)).parent
    return source_digest(sorted(folder.glob("*.py")))


def made(setting: Setting, event: str, cheat: Cheat, case: Case) -> Candidate:
    """The candidate; one that was trained and is of the plain architecture comes from the cache.

    Wrappers are made anew: a file of tensors does not say how they are put together.
    """
    if not cheat.trained:
        return cheat.make(case)
    path = data.cache() / "cheats" / f"{event}-{cheat.name}-{_code()}.safetensors"
    if path.exists():
        network, _ = weights.load_weights(
            path,
            architecture=setting.architecture,
            classes=case.dataset.classes,
            input_shape=case.dataset.input_shape,
        )
        return Candidate(model=network.eval())
    candidate = cheat.make(case)
    plain = case.build().state_dict()
    held = candidate.model.state_dict()
    if {n: v.shape for n, v in plain.items()} == {n: v.shape for n, v in held.items()}:
        path.parent.mkdir(parents=True, exist_ok=True)
        weights.save_weights(candidate.model, path, {})
    return candidate
