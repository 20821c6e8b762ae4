"""Where a class is written: the sums before a rectifier, and the layers that add to them.

What an operator reads is, in most networks, the pooled output of a rectifier: X = pool(g(z)). The
sum z is written by one layer, or by the branch and the skip of a residual block. Which layers, and
with what factor (a batch norm in evaluation mode scales), is measured on seven samples: a layer
writes z if moving its bias moves z by the same amount at every position of every sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from damp.hooks import Watch
from damp.layouts import SAMPLES, small_batch
from damp.operators import Operator
from damp.parts import in_parts
from damp.running import evaluating
from damp.tracing import OperatorUse

RECTIFIERS = (
    functional.relu,
    functional.relu_,
    torch.relu,
    torch.relu_,
    Tensor.relu,
    Tensor.relu_,
    functional.gelu,
    functional.silu,
    functional.hardswish,
    functional.leaky_relu,
    functional.elu,
    functional.relu6,
)
"""Element by element, as the models in use call them."""

PROBE = 0.5
"""By how much biases are moved, as a share of the sum's own spread: large beside rounding."""

AGREEMENT = 1e-3
"""Largest deviation, as a share of the largest shift, at which a factor counts as constant."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Writer:
    """A layer that adds to a sum.

    Attributes:
        operator: Which.
        factor: By how much the sum moves with its outputs, (C,).
    """

    operator: Operator
    factor: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sum:
    """A sum z, (B, C) or (B, C, H, W), through whose rectifier all passes that a head reads.

    Attributes:
        place: Which call of a rectifier takes it, from 0.
        rectifier: g, with its settings.
        channels: C.
        writers: Layers that add to it, in the order of the calls; empty until `with_writers`.
        side: Cells a side in which its reader takes the map, each being the mean of its positions:
            1 for all that pool the whole map.
    """

    place: int
    rectifier: Callable[[Tensor], Tensor]
    channels: int
    writers: tuple[Writer, ...] = ()
    side: int = 1

    @property
    def name(self) -> str:
        """Name of its first writer."""
        return self.writers[0].operator.name if self.writers else f"rectifier {self.place}"

    def pooled(self, values: Tensor) -> Tensor:
        """X = mean over the positions of each cell of g(z), (B, C * side^2)."""
        return self.behind(values, lambda after: cell_means(after, self.side))

    def behind(self, values: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
        """What is read of g(z), row by row; g(z) itself is never there for all rows at once."""
        return in_parts(lambda part: read(self.rectifier(part)), values)


def cell_means(after: Tensor, side: int) -> Tensor:
    """Maps (B, C, H, W) as (B, C * side^2), in the order of `flatten`; vectors as they are.

    >>> cell_means(torch.arange(4.0).reshape(1, 1, 2, 2), 1).tolist()
    [[1.5]]
    """
    if after.ndim == 2:
        return after
    if side == 1:
        return after.flatten(2).mean(2)
    return functional.adaptive_avg_pool2d(after, side).flatten(1)


@dataclass(frozen=True, slots=True, eq=False)
class RectifierCall:
    """One call: what went in, and the rectifier with its settings."""

    values: Tensor
    rectifier: Callable[[Tensor], Tensor]


class Rectifiers(TorchFunctionMode):
    """While this context is open, the inputs of rectifiers are kept, and one may be replaced.

    Args:
        places: Calls whose inputs are kept, from 0; None keeps all.
        replaced: Call whose input is replaced, and by what.
    """

    def __init__(
        self, places: Sequence[int] | None = None, replaced: tuple[int, Tensor] | None = None
    ) -> None:
        super().__init__()
        self.places = places
        self.replaced = replaced
        self.calls: dict[int, RectifierCall] = {}
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by torch in place of `func`."""
        kwargs = kwargs or {}
        if func in RECTIFIERS and args:
            if self.replaced is not None and self.replaced[0] == self.count:
                args = (self.replaced[1].clone(), *args[1:])
            if self.places is None or self.count in self.places:
                rectifier = _bound(func, args, kwargs)
                self.calls[self.count] = RectifierCall(args[0].detach().clone(), rectifier)
            self.count += 1
        return func(*args, **kwargs)


def _bound(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
    """The rectifier with its settings, never in place."""
    settings = {key: value for key, value in kwargs.items() if key not in ("inplace", "input")}
    # F.relu(x, True) works in place: the other rectifiers' second argument is a number
    rest = tuple(value for value in args[1:] if not isinstance(value, bool))

    def apply(values: Tensor) -> Tensor:
        result: Tensor = func(values.clone(), *rest, **settings)
        return result

    return apply


@torch.no_grad()
def find_sums(
    model: nn.Module, head: OperatorUse, inputs: Tensor, count: int, *, in_cells: bool = False
) -> list[Sum] | str:
    """The last `count` sums, or as many as there are, through which all passes that a head reads.

    Whether all passes is measured: with one sum replaced by that of other samples, the head's input
    is that of the other samples.

    Args:
        model: It runs in evaluation mode and is left as it was.
        head: How the model uses its last operator.
        inputs: A batch, (B, ...), at least one sample.
        count: How many are wanted.
        in_cells: Whether a head counts that reads the last map in cells, not as one mean.
    Returns:
        In forward order, the last being what the head reads, pooled; or why there is none.
    """
    name = head.operator.name
    rows, _ = small_batch(inputs)
    # the same samples in another order: every sample's sum is replaced by another one's
    turned = rows.roll(1, 0)
    with evaluating(model):
        calls, pooled = _run(model, head, rows)
        others, goal = _run(model, head, turned)
        if torch.allclose(pooled, goal):
            return f"what {name!r} reads does not depend on the samples"
        sums: list[Sum] = []
        for place in sorted(calls, reverse=True):
            call = calls[place]
            side = 1 if sums else _side(call, pooled, in_cells=in_cells)
            if side is None:
                continue
            if sums:
                swapped = (place, others[place].values)
                _, output = _run(model, head, rows, Rectifiers(replaced=swapped))
                if not _alike(output, goal):
                    continue
            if call.values.ndim in (2, 4):
                channels = call.values.shape[1]
                sums.append(
                    Sum(place=place, rectifier=call.rectifier, channels=channels, side=side)
                )
            if len(sums) == count:
                break
    if not sums:
        return f"{name!r} does not read the pooled output of one rectifier"
    return sums[::-1]


@torch.no_grad()
def with_writers(
    model: nn.Module,
    place: Sum,
    head: OperatorUse,
    uses: Mapping[str, OperatorUse],
    inputs: Tensor,
) -> Sum | str:
    """A sum with the layers that add to it, or why it cannot be written.

    Args:
        model: It runs in evaluation mode and is left as it was.
        place: The sum.
        head: How the model uses its last operator.
        uses: How the model uses its operators, in the order of the calls.
        inputs: A batch, (B, ...), at least one sample.
    """
    rows, _ = small_batch(inputs)
    with evaluating(model):
        calls, _ = _run(model, head, rows)
        values = calls[place.place].values
        writers = [
            Writer(operator=use.operator, factor=factor)
            for use in uses.values()
            if use.operator.outputs == place.channels and _plain(use)
            for factor in _factor(model, head, rows, use.operator, place.place, values)
        ]
    if not writers:
        return "no layer of its own weight and bias adds to it by a factor for each channel"
    return replace(place, writers=tuple(writers))


def _plain(use: OperatorUse) -> bool:
    """Whether a layer's weight, bias and kernel are its own and used once."""
    operator = use.operator
    kind = isinstance(operator.layer, nn.Linear | nn.Conv2d)
    own = operator.groups == 1 and not operator.sharing and operator.part.count is None
    return kind and own and use.calls == 1 and bool(use.bias_applied.all())


def _run(
    model: nn.Module, head: OperatorUse, rows: Tensor, rectifiers: Rectifiers | None = None
) -> tuple[dict[int, RectifierCall], Tensor]:
    """What every rectifier got, and the head's pooled input, (B, D)."""
    kept: list[Tensor] = []

    def keep(_: Operator, inputs: Tensor, __: Tensor | None) -> None:
        pooled = head.layout.pooled(inputs.detach(), head.operator.part.axis, SAMPLES)
        if pooled is not None:
            kept.append(pooled)

    rectifiers = Rectifiers() if rectifiers is None else rectifiers
    with rectifiers, Watch([head.operator], keep):
        model(rows)
    return rectifiers.calls, kept[0]


def _side(call: RectifierCall, pooled: Tensor, *, in_cells: bool) -> int | None:
    """Cells a side in which a head reads the output of a rectifier; None where it does not."""
    values = call.values
    if values.ndim not in (2, 4) or len(values) != len(pooled):
        return None
    side = isqrt(pooled.shape[1] // values.shape[1]) if in_cells and values.ndim == 4 else 1
    if side < 1 or values.shape[1] * side**2 != pooled.shape[1]:
        return None
    return side if _alike(cell_means(call.rectifier(values), side), pooled) else None


def _alike(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def _factor(
    model: nn.Module,
    head: OperatorUse,
    rows: Tensor,
    operator: Operator,
    place: int,
    values: Tensor,
) -> Iterator[Tensor]:
    """The factor per channel, (C,), where an operator's bias moves the sum; else nothing."""
    generator = torch.Generator().manual_seed(0)
    size = PROBE * float(values.std().clamp_min(torch.finfo(values.dtype).tiny))
    measured = []
    for _ in range(2):
        # signs differ between the probes, so that what one channel moves in another shows
        signs = torch.randint(0, 2, (operator.outputs,), generator=generator) * 2 - 1
        nudge = (size * signs).to(values)
        with _moved_bias(operator, nudge):
            calls, _ = _run(model, head, rows)
        shift = calls[place].values - values
        shift = shift.flatten(2) if shift.ndim > 2 else shift[..., None]  # (B, C, P)
        factor = shift.double().mean((0, 2)) / nudge
        error = (shift - (factor * nudge)[:, None]).abs().max()
        if float(error) > AGREEMENT * float(shift.abs().max().clamp_min(size)):
            return
        measured.append(factor)
    gap = float((measured[0] - measured[1]).abs().max())
    largest = float(measured[0].abs().max())
    if largest > 0 and gap <= AGREEMENT * largest:
        yield ((measured[0] + measured[1]) / 2).cpu()


@contextmanager
def _moved_bias(operator: Operator, nudge: Tensor) -> Iterator[None]:
    """The operator's bias moved for a while; one that is missing is there for a while."""
    name = operator.part.bias
    original = operator.layer._parameters.get(name)
    before = torch.zeros_like(nudge) if original is None else original.detach()
    operator.layer._parameters[name] = nn.Parameter(before + nudge, requires_grad=False)
    try:
        yield
    finally:
        operator.layer._parameters[name] = original
