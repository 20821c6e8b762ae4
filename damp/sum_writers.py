"""Make the layers that write a sum write against a class, until its separability is natural.

One term of rank f is added to what all writers of a sum z read together, branch and skip alike:

    z  <-  z - D u       u = r'(h - m)

r reads in the writers' pooled inputs h how much of each class there is: 1 at its prototype, 0 at
the mean retain prototype m and at the other classes to forget. D is found in a few rounds on cached
rows: the sum after the term is known without evaluating any layer again, position by position.

Source: docs/method.md, "Writers that stop".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from damp.natural_share import RowGeometry
from damp.parts import in_parts
from damp.residuals import whitened_subspace
from damp.sums import Sum, Writer

ROUNDS = 8
"""Corrections at most; each is arithmetic on cached rows."""

ENOUGH = 0.03
"""Share of s above the goal at which a class is there."""

FLOOR = 0.5
"""Least response that a feature is taken to have, as a share of the median: behind closed gates it
hardly responds, and would be pushed without bound."""

WEAK = 1e-3
"""Factor of a writer, as a share of its median, below which a channel of the sum is left alone."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SumRows:
    """What a sum and its writers hold for some rows.

    Attributes:
        values: z, (n, C) or (n, C, H, W).
        inputs: Per writer, its input where the middle of its kernel lies, (n, D, P), P positions of
            the sum.
        labels: (n,).
    """

    values: Tensor
    inputs: tuple[Tensor, ...]
    labels: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Writing:
    """The term that was found for one sum.

    Attributes:
        reads: r, (sum of D, f).
        reference: m of the joint input, (sum of D,).
        writes: D, in units of the sum, (C, f).
        values: z with the term, as in `SumRows`.
        before, after: s of each class on the rows that stop, (f,).
        rounds: Corrections that were made.
    """

    reads: Tensor
    reference: Tensor
    writes: Tensor
    values: Tensor
    before: Tensor
    after: Tensor
    rounds: int


def middle_inputs(layer: nn.Module, inputs: Tensor) -> Tensor:
    """What the middle position of a layer's kernel reads at each output position, (n, D, P).

    >>> middle_inputs(nn.Conv2d(2, 3, 1, stride=2), torch.ones(1, 2, 4, 4)).shape
    torch.Size([1, 2, 4])
    """
    if not isinstance(layer, nn.Conv2d):
        return inputs[..., None]
    padded = padded_inputs(layer, inputs)
    spans = []
    for size, kernel, step, stride in zip(
        padded.shape[-2:], layer.kernel_size, layer.dilation, layer.stride, strict=True
    ):
        outputs = (size - step * (kernel - 1) - 1) // stride + 1
        first = step * (kernel // 2)
        spans.append(slice(first, first + stride * (outputs - 1) + 1, stride))
    return padded[:, :, spans[0], spans[1]].flatten(2)


def padded_inputs(layer: nn.Conv2d, inputs: Tensor) -> Tensor:
    """What a convolution pads its inputs to, (n, I, H + ..., W + ...)."""
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return functional.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)


def find_writing(place: Sum, rows: SumRows, forget: Sequence[int], goals: Tensor) -> Writing:
    """D such that the separability of each class behind the rectifier is its goal.

    Directions come from every second row of each class, the stop from the others.

    Args:
        place: The sum.
        rows: What it and its writers hold.
        forget: Classes to forget.
        goals: s* of each, (f,).
    """
    estimating = alternate(rows.labels)  # (n,)
    labels, held = rows.labels[estimating], rows.labels[~estimating]
    joint = torch.cat([part.double().mean(2) for part in rows.inputs], 1)  # (n, sum of D)
    geometry = RowGeometry.from_rows(joint[estimating], labels, forget)
    dual = whitened_subspace(geometry.residuals, geometry.metric).dual  # (D, k)
    gap = geometry.targets - geometry.reference  # (f, D)
    # (D, k) @ pinv((f, D) @ (D, k)): 1 on a class's own prototype, 0 on the others', (D, f)
    reads = dual @ torch.linalg.pinv(gap @ dual)
    held_by = class_held(rows.inputs, reads, geometry.reference)  # u, (n, f, P)
    values = rows.values.double().clone()
    writes = values.new_zeros(values.shape[1], len(forget))
    weak = weak_channels(place.writers)

    def step_from(values: Tensor, share: Tensor) -> Tensor:
        step = torch.zeros_like(writes)
        behind = RowGeometry.from_rows(place.pooled(values[estimating]), labels, forget)
        for number, label in enumerate(forget):
            own = estimating & (rows.labels == label)
            towards = behind.residuals[number]  # (C,)
            follow = _follow(place, values[own], held_by[own, number])  # (C,)
            step[:, number] = share[number] * towards / follow
        step[weak] = 0.0
        return step

    way = approach(
        values,
        writes,
        goals,
        step_from=step_from,
        written=lambda values, step: values - spread_term(step, held_by, values),
        separability=lambda values: _separability(place, values[~estimating], held, forget),
        rounds=ROUNDS,
    )
    return Writing(
        reads=reads,
        reference=geometry.reference,
        writes=way.change,
        values=way.values,
        before=way.before,
        after=way.after,
        rounds=way.rounds,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Way:
    """How far corrections have brought classes to their goals.

    Attributes:
        change: The sum of the steps that were kept.
        values: z with them.
        before, after: s of each class, (f,).
        rounds: Steps that were kept.
    """

    change: Tensor
    values: Tensor
    before: Tensor
    after: Tensor
    rounds: int


def approach(
    values: Tensor,
    change: Tensor,
    goals: Tensor,
    *,
    step_from: Callable[[Tensor, Tensor], Tensor],
    written: Callable[[Tensor, Tensor], Tensor],
    separability: Callable[[Tensor], Tensor],
    rounds: int,
) -> Way:
    """Corrections of a sum until each class is at its goal; what leads away is halved.

    Args:
        values: z.
        change: Nothing yet, in the shape of a step.
        goals: s* of each class, (f,).
        step_from: The step that moves each class by a share (f,) of its residual at z.
        written: z after a step.
        separability: s of each class at z, (f,).
        rounds: Steps that are tried at most.
    """
    first = current = separability(values)
    best, kept, length = missed_by(first, goals), 0, 1.0
    for _ in range(rounds):
        share = (1 - goals / current.clamp_min(1e-12)).clamp_min(0)  # a, (f,)
        if float(share.max()) < ENOUGH:
            break
        step = step_from(values, length * share)
        candidate = written(values, step)
        reached = separability(candidate)
        missed = missed_by(reached, goals)
        if missed < best:
            best, kept, current = missed, kept + 1, reached
            change, values = change + step, candidate
        else:  # too far: what lies between answers otherwise than a short nudge does
            length /= 2
    return Way(change=change, values=values, before=first, after=current, rounds=kept)


def alternate(labels: Tensor) -> Tensor:
    """Every second row of each class, (n,), bool.

    >>> alternate(torch.tensor([0, 0, 1, 0, 1])).tolist()
    [True, False, True, True, False]
    """
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        chosen[(labels == label).nonzero().flatten()[::2]] = True
    return chosen


def class_held(inputs: Sequence[Tensor], reads: Tensor, reference: Tensor) -> Tensor:
    """u = r'(x - m) at each position of the sum, (n, f, P)."""
    start, total = 0, torch.zeros((), dtype=reads.dtype)
    for part in inputs:
        own = reads[start : start + part.shape[1]]  # (D, f)
        total = total + torch.einsum("ndp,df->nfp", part.double(), own)
        start += part.shape[1]
    return total - (reads.T @ reference)[:, None]


def spread_term(writes: Tensor, held_by: Tensor, like: Tensor) -> Tensor:
    """D u, shaped as the sum: (C, f) and (n, f, P)."""
    return torch.einsum("cf,nfp->ncp", writes, held_by).reshape(like.shape)


def _follow(place: Sum, values: Tensor, held_by: Tensor) -> Tensor:
    """How far each feature moves per unit written, mean over a class's rows and positions, (C,)."""
    flat = values.flatten(2) if values.ndim > 2 else values[..., None]  # (n, C, P)
    follow = (slopes(place, flat) * held_by[:, None]).mean((0, 2))  # (C,)
    moving = follow[follow > 0]
    floor = FLOOR * float(moving.median()) if len(moving) else 1.0
    return follow.clamp_min(floor)


def slopes(place: Sum, values: Tensor) -> Tensor:
    """g' of a sum's rectifier by differences, as large as the values."""
    step = 1e-4 * float(values.std().clamp_min(torch.finfo(values.dtype).tiny))

    def differences(part: Tensor) -> Tensor:
        return (place.rectifier(part + step) - place.rectifier(part - step)) / (2 * step)

    return in_parts(differences, values)


def _separability(place: Sum, values: Tensor, labels: Tensor, forget: Sequence[int]) -> Tensor:
    return RowGeometry.from_rows(place.pooled(values), labels, forget).separability


def missed_by(separability: Tensor, goals: Tensor) -> float:
    """Sum over classes of |log(s / s*)|: as far above counts as far below."""
    tiny = 1e-6
    ratio = separability.clamp_min(tiny) / goals.clamp_min(tiny)
    return float(ratio.log().abs().sum())


def weak_channels(writers: Sequence[Writer]) -> Tensor:
    """Channels that some writer cannot move, (C,), bool."""
    sizes = torch.stack([writer.factor.abs() for writer in writers])  # (w, C)
    return (sizes < WEAK * sizes.median(1, keepdim=True).values).any(0)


def fold_writing(writers: Sequence[Writer], writing: Writing) -> None:
    """Into the weights: W[:, :, mid] -= (D / k) r', and D r'm / k into the first writer's bias."""
    start = 0
    for number, writer in enumerate(writers):
        operator = writer.operator
        operator.ensure_biases()
        factor = writer.factor.double()
        # channels that were left alone have D = 0: any factor but 0 will do
        scaled = writing.writes / torch.where(factor == 0, 1.0, factor)[:, None]  # (O, f)
        weight = operator.weight()  # (O, D, K), sharing memory
        width = weight.shape[1]
        change = scaled @ writing.reads[start : start + width].T  # (O, D)
        middle = middle_position(operator.layer)
        edited = weight[:, :, middle].double() - change.to(weight.device)
        weight[:, :, middle] = edited.to(weight)
        if number == 0:
            (bias,) = operator.biases()
            if bias is not None:
                gained = scaled @ (writing.reads.T @ writing.reference)  # (O,)
                bias.copy_(bias.double() + gained.to(bias.device))
        start += width


def middle_position(layer: nn.Module) -> int:
    """The middle of a kernel among its positions, in the order of the flattened weight.

    >>> middle_position(nn.Conv2d(1, 1, 3)), middle_position(nn.Linear(2, 2))
    (4, 0)
    """
    if not isinstance(layer, nn.Conv2d):
        return 0
    height, width = layer.kernel_size
    return (height // 2) * width + width // 2
