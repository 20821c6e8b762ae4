"""Where a network narrows to the input of one layer, and the part of it above that place.

A *waist* is a layer through whose input alone the logits depend on the images: what lies above it
can run on inputs that were kept, and be trained on them, without the part below. No code of the
model is read for that: the model runs, and a layer is a waist where another batch's input, put in
its place, gives that batch's logits whatever images go in at the bottom.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from damp.operators import find
from damp.outputs import logits_of
from damp.running import evaluating

CLOSE = 1e-4
"""Largest difference of logits, in shares of their largest size, that is rounding."""
ROWS = 4
"""Samples by which a waist is recognised."""
SEED = 0
"""Of the images that go in at the bottom meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waist:
    """A layer that is the only way from the images to the logits.

    Attributes:
        name: Of the layer, "conv3" or "layer4".
        operators: Names of the operators at or above it, in the order of module definition.
        parameters: Names of the parameters that the logits depend on from its input on.
        layers: Names of the layers that are called from its input on.
    """

    name: str
    operators: tuple[str, ...]
    parameters: tuple[str, ...]
    layers: tuple[str, ...]


class _Reached(Exception):  # noqa: N818 - a signal that the forward pass may stop, not an error
    """The input of the layer is there, and nothing above it has to run."""


class Top(nn.Module):
    """The part of a network above a waist, as a network of its own.

    Its parameters are those of the network, trainable above the waist and frozen below it. The part
    below stays in evaluation mode, and runs on one row that says nothing.

    Args:
        model: The whole network; it is changed by what is done to the top.
        waist: Of this network.
        row: Any one input, (1, ...): only its shape counts.
    """

    def __init__(self, model: nn.Module, waist: Waist, row: Tensor) -> None:
        super().__init__()
        self.model = model
        self.waist = waist
        self.register_buffer("row", _blank(row[:1]), persistent=False)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in waist.parameters)

    def train(self, mode: bool = True) -> Top:
        """Training mode above the waist alone: no running statistic below it moves."""
        super().train(False)
        self.training = mode
        for name in self.waist.layers:
            self.model.get_submodule(name).training = mode
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Logits, (B, C), of the waist's inputs, (B, ...)."""
        with _instead(self.model.get_submodule(self.waist.name), features):
            return logits_of(self.model(self.get_buffer("row")), len(features))


def waists(model: nn.Module, inputs: Tensor) -> tuple[Waist, ...]:
    """The waists at which an operator begins, in the order of the forward pass.

    Args:
        model: Comes back as it was.
        inputs: A few samples, (B, ...).
    Returns:
        One for each tensor that is a way through; none where the network has no such place. Where
        a parameter is used both above and below, the place is none.
    """
    rows = inputs[:ROWS]
    operators = [operator.name for operator in find(model)[0]]
    tops: list[Waist] = []
    with evaluating(model), _trainable(model):
        expected = _logits(model, rows).detach()  # (B, C)
        for name in _candidates(model, rows, operators):
            waist = _waist(model, name, rows, expected, operators)
            if waist is not None:
                tops.append(waist)
    return tuple(tops)


def features(model: nn.Module, name: str, inputs: Tensor) -> Tensor:
    """The input of a layer for some images; nothing above it runs.

    Args:
        model: It runs in evaluation mode, without gradients.
        name: Of a layer that is called with one tensor.
        inputs: (B, ...).
    Returns:
        (B, ...), as the layer reads it.
    """
    kept: list[Tensor] = []

    def stop(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        kept.append(arguments[0].detach())
        raise _Reached

    handle = model.get_submodule(name).register_forward_pre_hook(stop)
    try:
        with evaluating(model), torch.no_grad():
            model(inputs)
    except _Reached:
        pass
    finally:
        handle.remove()
    return kept[0]


@contextmanager
def _instead(layer: nn.Module, features: Tensor) -> Iterator[None]:
    """While this is open, the layer reads these features, whatever it is called with."""

    def put(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return (features, *arguments[1:])

    handle = layer.register_forward_pre_hook(put)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _trainable(model: nn.Module) -> Iterator[None]:
    """All parameters with gradients for a while, so that it can be seen what depends on which."""
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in before:
        parameter.requires_grad_(parameter.is_floating_point())
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter, wanted in before:
            parameter.requires_grad_(wanted)


def _blank(row: Tensor) -> Tensor:
    """An image of noise in the shape of another, the same for every call."""
    generator = torch.Generator().manual_seed(SEED)
    return torch.randn(row.shape, generator=generator, dtype=torch.float32).to(row)


def _logits(model: nn.Module, rows: Tensor) -> Tensor:
    return logits_of(model(rows), len(rows))


def _candidates(model: nn.Module, rows: Tensor, operators: Sequence[str]) -> list[str]:
    """Layers that hold an operator, are called once and with one tensor, by their inputs once."""
    calls: dict[str, list[Tensor | None]] = {}

    def record(name: str) -> Any:
        def note(_: nn.Module, arguments: tuple[Any, ...]) -> None:
            one = arguments[0] if len(arguments) == 1 else None
            alone = isinstance(one, Tensor) and len(one) == len(rows)
            calls.setdefault(name, []).append(one if alone else None)

        return note

    named = [(name, layer) for name, layer in model.named_modules() if name]
    handles = [layer.register_forward_pre_hook(record(name)) for name, layer in named]
    try:
        _logits(model, rows)
    finally:
        for handle in handles:
            handle.remove()
    chosen: list[str] = []
    distinct: list[Tensor] = []
    for name, own in calls.items():
        value = own[0]
        if len(own) > 1 or value is None or not _holds(name, operators):
            continue
        # a container and its first layer read one
        if not any(value is other for other in distinct):
            chosen.append(name)
            distinct.append(value)
    return chosen


def _holds(layer: str, operators: Sequence[str]) -> bool:
    return any(name == layer or name.startswith(f"{layer}.") for name in operators)


def _waist(
    model: nn.Module, name: str, rows: Tensor, expected: Tensor, operators: Sequence[str]
) -> Waist | None:
    """The waist at a layer, None where it is none."""
    reached = _reading(model, name, rows)  # (B, ...), with its graph
    value = reached.detach()
    below, above, answered = _calls(model, name, rows, value)
    if answered is None or not _alike(answered, expected):
        return None
    upper, lower = _behind(model, answered), _behind(model, reached)
    if upper & lower or set(below) & set(above):
        return None  # one weight on both sides: it cannot be renewed above and stay below
    holding = tuple(o for o in operators if any(p.startswith(f"{o}.") for p in upper) or not o)
    return Waist(
        name=name,
        operators=holding or tuple(o for o in operators if _within_any(o, above)),
        parameters=tuple(n for n, _ in model.named_parameters() if n in upper),
        layers=tuple(above),
    )


def _within_any(operator: str, layers: Sequence[str]) -> bool:
    return any(operator == layer or operator.startswith(f"{layer}.") for layer in layers)


def _reading(model: nn.Module, name: str, rows: Tensor) -> Tensor:
    """The input of a layer, with what it was computed from."""
    kept: list[Tensor] = []

    def keep(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        kept.append(arguments[0])

    handle = model.get_submodule(name).register_forward_pre_hook(keep)
    try:
        model(rows)
    finally:
        handle.remove()
    return kept[0]


def _calls(
    model: nn.Module, name: str, rows: Tensor, value: Tensor
) -> tuple[list[str], list[str], Tensor | None]:
    """Layers called before and from this one on, and the logits of the features put there."""
    below: list[str] = []
    above: list[str] = []
    named = [(other, layer) for other, layer in model.named_modules() if other]

    def note(other: str) -> Any:
        def add(_: nn.Module, __: Any) -> None:
            (above if other == name or above else below).append(other)

        return add

    handles = [layer.register_forward_pre_hook(note(other)) for other, layer in named]
    try:
        with _instead(model.get_submodule(name), value):
            output = model(_blank(rows[:1]))
            answered = logits_of(output, len(rows))
    except Exception:  # noqa: BLE001 - whatever the model raises on one row below, it is no waist
        answered = None
    finally:
        for handle in handles:
            handle.remove()
    # a container is called before what it holds: one that was open at the waist is on no side
    opened = {other for other in below if name.startswith(f"{other}.")}
    return [other for other in below if other not in opened], above, answered


def _alike(one: Tensor, other: Tensor) -> bool:
    size = other.abs().max().clamp_min(torch.finfo(other.dtype).tiny)
    return one.shape == other.shape and bool(((one - other).abs().max() / size) < CLOSE)


def _behind(model: nn.Module, value: Tensor) -> set[str]:
    """Names of the parameters that a value was computed from."""
    if value.grad_fn is None:
        return set()
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    gradients = torch.autograd.grad(
        value.sum(), [parameter for _, parameter in named], allow_unused=True, retain_graph=True
    )
    return {
        name for (name, _), gradient in zip(named, gradients, strict=True) if gradient is not None
    }
