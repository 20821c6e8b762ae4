"""How many rows a method runs through the network, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)


@dataclass(slots=True, kw_only=True)
class Passes:
    """Rows that went through a whole network.

    Attributes:
        forward: Rows whose outputs were computed.
        backward: Rows whose outputs were differentiated.
    """

    forward: int = 0
    backward: int = 0


_current: ContextVar[Passes | None] = ContextVar("passes", default=None)
"""What is counted into; None outside, and while a method counts for itself."""


@contextmanager
def counting() -> Iterator[Passes]:
    """Count what runs inside: each outermost call of any module, by its rows.

    A part of a network that is called by itself counts as if it were whole.

    >>> import torch
    >>> with counting() as passes:
    ...     _ = nn.Sequential(nn.Linear(2, 2), nn.ReLU())(torch.ones(5, 2)).sum().backward()
    >>> passes
    Passes(forward=5, backward=5)
    """
    passes, depth = Passes(), [0]

    def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        depth[0] += 1

    def leave(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        depth[0] -= 1
        if depth[0] or _current.get() is None or not inputs or not isinstance(output, Tensor):
            return
        rows = len(inputs[0])
        passes.forward += rows
        if output.requires_grad:
            output.register_hook(lambda _: _add_backward(passes, rows))

    token = _current.set(passes)
    handles = [
        register_module_forward_pre_hook(enter),
        register_module_forward_hook(leave, always_call=True),
    ]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()
        _current.reset(token)


def _add_backward(passes: Passes, rows: int) -> None:
    passes.backward += rows


@contextmanager
def counted_as(*, forward: int = 0, backward: int = 0) -> Iterator[None]:
    """Count so many rows for what runs inside, whose calls no hook can read."""
    passes = _current.get()
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)
    if passes is not None:
        passes.forward += forward
        passes.backward += backward
