"""Closed-form methods of others, written anew from their papers, to compare with.

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

from benchmarks.baselines import kodge, leace, ssd
from damp.running import Batches

__all__ = ["METHODS", "Method"]


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
