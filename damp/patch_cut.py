"""Cut classes out of what a convolution reads, in the space of its unfolded patches.

A cut of channels sees a class only where its mean over the image differs. The patches that a
convolution reads, averaged in the four quarters of the map, also show in which arrangement and
where; and a cut of them folds into the kernel exactly, at padded borders too, since padding is part
of a patch.

Source: docs/method.md, "A patch cut"; the mixture of `damp.residuals` in another space.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from damp.accumulator import BLOCK, Accumulator, RowOrder
from damp.collection import accumulation_device, group_numbers
from damp.errors import NoSamples, Unsupported
from damp.hooks import Watch
from damp.measuring import preserve_state, skip_operator
from damp.operators import Operator, Skipped, find
from damp.plans import below_gate
from damp.residuals import GATE, Subspace, mixture_weights, relative, whitened_subspace
from damp.running import Batches, evaluating, exemplar, read_batches
from damp.statistics import Statistics
from damp.tracing import trace
from damp.whitening import WIDEST, Whole

CELLS = 4
"""Quarters of the map, in which patches are averaged: 2 x 2."""

RANK = 4
"""Directions taken away for each class, at most."""

STRENGTH = 0.2
"""Share of each direction that is taken away: a light cut, for what is trained above it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCut:
    """What was done to one convolution.

    Attributes:
        name: Of the layer.
        strength: Share of each direction that was taken away.
        separability: s_j^2 per direction, before the cut.
        relative_change: |W' - W| / |W|, Frobenius norms.
        residual: |d_f| / |mu_f|, the largest over classes and quarters.
        samples: Rows that the statistics were taken from.
    """

    name: str
    strength: float
    separability: tuple[float, ...]
    relative_change: float
    residual: float
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PatchPlan:
    """What to take away from patches q, ordered as `torch.nn.functional.unfold` has them.

    Attributes:
        subspace: Directions, (P, k).
        reference: m, mean of the retain prototypes over classes and quarters, (P,).
        residual: |d_f| / |mu_f|, the largest over classes and quarters.
    """

    subspace: Subspace
    reference: Tensor
    residual: float


def cut_patches(
    model: nn.Module,
    name: str,
    batches: Batches,
    *,
    forget: Sequence[int],
    strength: float = STRENGTH,
    retired: Sequence[int] = (),
) -> PatchCut | Skipped:
    """Cut classes out of what one convolution reads, in place; one pass, no gradient.

        W <- W (I - T)     b <- b + W T m     T = strength basis dual'

    W is one row per output over channels and kernel positions, (O, P). At strength a the residual
    of the forget prototype, and with it s, is left with 1 - a of its length in each quarter.

    Args:
        model: Gives logits; it is read in evaluation mode up to the convolution.
        name: Of a Conv2d without groups, as `damp.operators.find` names it.
        batches: Pairs of inputs and labels.
        forget: Classes to forget.
        strength: Share of each direction that is taken away, from 0 to 1.
        retired: Classes whose samples are passed over.
    Returns:
        What was done; or the layer that stays as it is, and why.
    Raises:
        Unsupported: the model has no operator of that name.
        NoSamples: no sample of a class to forget, or none to keep.
    """
    operator = next((op for op in find(model)[0] if op.name == name), None)
    if operator is None:
        raise Unsupported(f"The model has no operator {name!r}: name one of damp.operators.find.")
    with preserve_state(model, None):
        classes = _classes(model, operator, batches)
        if isinstance(classes, str):
            return skip_operator(operator, classes)
        statistics = patch_statistics(
            model, operator, batches, forget, classes=classes, retired=retired
        )
        plan = patch_plan(statistics, forget)
        if isinstance(plan, str):
            return skip_operator(operator, plan)
        change = fold_patches(operator, plan, strength)
    return PatchCut(
        name=name,
        strength=strength,
        separability=tuple(plan.subspace.separability.tolist()),
        relative_change=change,
        residual=plan.residual,
        samples=int(statistics.counts.sum()) // CELLS,
    )


def _classes(model: nn.Module, operator: Operator, batches: Batches) -> int | str:
    """The model's number of classes, or why the patches of an operator cannot be cut."""
    if not isinstance(operator.layer, nn.Conv2d) or operator.groups > 1 or operator.sharing:
        return "its patches cannot be cut: it is no two-dimensional convolution of its own weight"
    patch = operator.parameter[0].numel()
    if patch > WIDEST:
        return f"its patches cannot be cut: they have {patch} entries, above {WIDEST}"
    first = next(read_batches(batches, exemplar(model)), None)
    if first is None:
        raise NoSamples("There is no batch: give at least one pair (inputs, labels).")
    traced = trace(model, [operator], first[0])
    use = traced.uses.get(operator.name)
    if use is None:
        return f"its patches cannot be cut: {traced.skipped[0].reason}"
    if use.calls > 1 or not bool(use.bias_applied.all()):
        return "its patches cannot be cut: it is called more than once, or its bias is not applied"
    return traced.classes


class _StopForward(Exception):  # noqa: N818 - it is a signal, not an error
    """The wanted input is there."""


def layer_inputs(
    model: nn.Module, operator: Operator, batches: Batches, retired: Sequence[int] = ()
) -> Iterator[tuple[Tensor, Tensor]]:
    """An operator's inputs and their labels, batch by batch; each forward pass ends there."""
    captured: list[Tensor] = []

    def keep(_: Operator, inputs: Tensor, __: Tensor | None) -> None:
        captured.append(inputs.detach())
        raise _StopForward

    with evaluating(model), torch.no_grad():
        for inputs, labels in read_batches(batches, exemplar(model), retired):
            with Watch([operator], keep), suppress(_StopForward):
                model(inputs)
            yield captured.pop(), labels


def patches_in_quarters(layer: nn.Module, inputs: Tensor) -> Tensor:
    """What a convolution reads, averaged in the quarters of its output map, (B, CELLS, P).

    >>> layer = nn.Conv2d(1, 1, 3, padding=1)
    >>> patches_in_quarters(layer, torch.ones(2, 1, 4, 4)).shape
    torch.Size([2, 4, 9])
    """
    if not isinstance(layer, nn.Conv2d):
        raise Unsupported(f"A {type(layer).__name__} reads no patches: name a Conv2d.")
    # padded as the layer itself pads, whatever its mode
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = functional.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)
    height, width = (
        (size - step * (kernel - 1) - 1) // stride + 1
        for size, step, kernel, stride in zip(
            padded.shape[-2:], layer.dilation, layer.kernel_size, layer.stride, strict=True
        )
    )
    patches = functional.unfold(
        padded, layer.kernel_size, dilation=layer.dilation, stride=layer.stride
    )  # (B, P, height * width)
    quarters = functional.adaptive_avg_pool2d(patches.unflatten(2, (height, width)), 2)
    return quarters.flatten(2).mT  # (B, CELLS, P)


def patch_statistics(
    model: nn.Module,
    operator: Operator,
    batches: Batches,
    forget: Sequence[int],
    *,
    classes: int,
    retired: Sequence[int] = (),
) -> Statistics:
    """Streamed sums of patches; quarter j of class c counts as class `CELLS * c + j`. One pass.

    Second moments of the classes to keep are kept quarter by quarter, so that they can be taken
    about each quarter's own mean; those of the classes to forget are together.
    """
    groups = [*(_quarter(range(classes), j, forget) for j in range(CELLS)), _all(forget)]
    numbers = group_numbers(tuple(groups), CELLS * classes)
    sums: Accumulator | None = None
    waiting = torch.zeros(0, dtype=torch.int64)
    for inputs, labels in layer_inputs(model, operator, batches, retired):
        rows = patches_in_quarters(operator.layer, inputs).flatten(0, 1)  # (B * CELLS, P)
        device = accumulation_device(rows.device)
        if sums is None:
            sums = Accumulator(rows.shape[1], 1, tuple(groups), CELLS * classes, device)
        sums.add(rows)
        own = CELLS * labels[:, None] + torch.arange(CELLS)  # (B, CELLS)
        waiting = torch.cat([waiting, own.flatten()])
        while len(waiting) >= BLOCK:
            sums.add_block(
                RowOrder.from_labels(waiting[:BLOCK], numbers, len(groups), device), BLOCK
            )
            waiting = waiting[BLOCK:]
    if sums is None:
        raise NoSamples("There is no batch: give at least one pair (inputs, labels).")
    if len(waiting):
        order = RowOrder.from_labels(waiting, numbers, len(groups), sums.sums.device)
        sums.add_block(order, len(waiting))
    return sums.freeze()


def _quarter(classes: Iterable[int], quarter: int, without: Sequence[int] = ()) -> tuple[int, ...]:
    return tuple(CELLS * label + quarter for label in classes if label not in without)


def _all(classes: Iterable[int]) -> tuple[int, ...]:
    return tuple(CELLS * label + quarter for label in classes for quarter in range(CELLS))


def patch_plan(statistics: Statistics, forget: Sequence[int]) -> PatchPlan | str:
    """Directions that only the forget classes hold, over all quarters; or why there are none.

    In quarter j the residual is d_fj = mu_fj - t_fj, with t_fj the nearest mixture of that
    quarter's retain prototypes in one metric: that of S, the mean over quarters of the retain
    covariance about the quarter's own mean. The residuals of all quarters are whitened and
    decomposed together, and the `RANK` largest directions for each class are taken.

    Raises:
        NoSamples: no sample of a class to forget, or none to keep.
    """
    present = statistics.present
    missing = [label for label in forget if CELLS * label not in present]
    kept = sorted({place // CELLS for place in present} - set(forget))
    if missing or not kept:
        what = f"of class {missing[0]}" if missing else "of a class to keep"
        raise NoSamples(f"No sample {what}: a cut needs training rows of both.")
    quarters = [_quarter(kept, quarter) for quarter in range(CELLS)]
    if not all(statistics.varies(quarter) for quarter in quarters):
        return "the samples to keep are all alike at its input"
    spreads = [statistics.covariance(quarter) for quarter in quarters]
    total = torch.stack([spread.matrix for spread in spreads if isinstance(spread, Whole)])
    metric = Whole(matrix=total.mean(0)).metric()  # S, (P, P)
    targets = [statistics.prototypes(_quarter(forget, quarter)) for quarter in range(CELLS)]
    retain = [statistics.prototypes(quarter) for quarter in quarters]
    residuals = torch.cat(
        [
            goal - mixture_weights(goal, hull, metric) @ hull
            for goal, hull in zip(targets, retain, strict=True)
        ]
    )  # (CELLS * f, P)
    shares = relative(residuals, torch.cat(targets))
    if not (shares > GATE).any():
        return below_gate(shares)
    subspace = whitened_subspace(residuals, metric)
    rank = RANK * len(forget)
    return PatchPlan(
        subspace=Subspace(
            basis=subspace.basis[:, :rank],
            dual=subspace.dual[:, :rank],
            separability=subspace.separability[:rank],
        ),
        reference=torch.stack([hull.mean(0) for hull in retain]).mean(0),
        residual=float(shares.max()),
    )


def fold_patches(operator: Operator, plan: PatchPlan, strength: float) -> float:
    """W <- W (I - T), b <- b + W T m in float64, cast once; returns |W' - W| / |W|.

    Exact at every position: what pads a patch is part of it.
    """
    operator.ensure_biases()
    weight = operator.parameter.detach()
    # (O, P), channels then kernel positions, as unfold has them; of its own where that is float64
    rows = weight.double().flatten(1).clone()
    read = strength * (rows @ plan.subspace.basis)  # W basis diag(a), (O, k)
    change = read @ plan.subspace.dual.T  # W T, (O, P)
    weight.copy_((rows - change).reshape(weight.shape))
    for bias in operator.biases():
        if bias is not None:
            bias.copy_(bias.double() + change @ plan.reference)
    return float(change.norm() / rows.norm().clamp_min(torch.finfo(torch.float64).tiny))
