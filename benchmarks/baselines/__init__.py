"""Three methods of others as the older benchmarks call them; `damp.methods` has them all.

    from benchmarks.baselines import METHODS

    edited = METHODS["kodge"](model, batches, forget=[3])

Each takes a classifier and the same batches as `damp.forget`, and gives back an edited copy of the
plain architecture, all outputs in place: who wants to compare outputs retires them. What must be
tuned is a keyword. `leace` erases at every operator's input, `leace_features` only at the head's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from torch import nn

from damp.methods.closed import kodge, leace, ssd
from damp.running import Batches

__all__ = ["METHODS", "Method", "kodge", "leace", "ssd"]


class Method(Protocol):
    """What every baseline can be called as."""

    def __call__(
        self, model: nn.Module, batches: Batches, *, forget: list[int], **settings: float
    ) -> nn.Module: ...


METHODS: Mapping[str, Method] = {
    "leace": leace.forget,
    "leace_features": partial(leace.forget, only_features=True),
    "kodge": kodge.forget,
    "ssd": ssd.forget,
}
