"""Fold an edit of the inputs into weight and bias, so that no layer is added.

The edited layer acts on x as the original acts on x - T (x - m), T = basis diag(a) dual'. `paper`
leaves the bias alone, which is m = 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from damp.operators import Operator
from damp.plans import OperatorPlan
from damp.residuals import Subspace

ENTRIES = 1 << 17
"""Weight entries that are held in float64 at once: a megabyte, which stays in a core's cache."""


def fold(weight: Tensor, subspace: Subspace, strength: Tensor) -> Tensor:
    """W (I - T) at every kernel position, (O, D, K) -> (O, D, K).

    >>> plane = Subspace(basis=torch.eye(2)[:, :1], dual=torch.eye(2)[:, :1],
    ...                  separability=torch.ones(1))
    >>> fold(torch.ones(1, 2, 1), plane, torch.tensor([.75])).flatten()
    tensor([0.2500, 1.0000])
    """
    # one product per output: W - dual (W T)', (O, D, k) @ (O, k, K)
    return torch.baddbmm(
        weight,
        subspace.dual.expand(len(weight), -1, -1),
        removed(weight, subspace, strength),
        alpha=-1,
    )


def removed(weight: Tensor, subspace: Subspace, strength: Tensor) -> Tensor:
    """What a weight reads of each direction, (O, D, K) -> (O, k, K): W T = removed' dual'."""
    return torch.matmul((subspace.basis * strength).T, weight)  # (k, D) @ (O, D, K)


def shift(weight: Tensor, subspace: Subspace, strength: Tensor, reference: Tensor) -> Tensor:
    """W T m, summed over kernel positions, (O,): what the bias gains."""
    held = subspace.dual.T @ reference * strength  # diag(a) dual' m, (k,)
    # the same m at every kernel position: exact inside, at a padded border it is not
    return weight.sum(-1) @ (subspace.basis @ held)


def cut(
    operator: Operator, plans: Sequence[OperatorPlan | None], bias_applied: Tensor | None = None
) -> float:
    """Edit an operator in place: worked out in float64, a strip of rows at a time, cast once.

    Args:
        operator: Its layer gets a bias where it had none, unless no plan has a reference.
        plans: One per block of features; None leaves that block's readers alone.
        bias_applied: Outputs to which the model adds the operator's bias, (O,), bool; where an
            edit needs a bias the others stay as they are. None: all outputs.
    Returns:
        |W' - W| / |W|, Frobenius norms.
    """
    weight = operator.weight()  # (O, d, K)
    change = torch.zeros(len(weight), dtype=torch.float64, device=weight.device)
    moved = total = torch.zeros((), dtype=torch.float64, device=weight.device)
    share = len(weight) // operator.groups  # outputs per block of features
    for place, plan in enumerate(plans):
        for rows in _strips(place * share, (place + 1) * share, weight[0].numel()):
            original = weight[rows].double()  # (o, d, K)
            total = total + original.norm() ** 2
            if plan is not None:
                mask = None if bias_applied is None else bias_applied[rows]
                edited, change[rows] = _edited(original, plan, mask)
                moved = moved + (edited - original).norm() ** 2
                _write(operator, rows, edited)
    if any(plan is not None and plan.reference is not None for plan in plans):
        _move_biases(operator, change)
    # a weight of zeros has not moved: 0 / tiny
    return float((moved / total.clamp_min(torch.finfo(torch.float64).tiny)).sqrt())


def _strips(start: int, stop: int, width: int) -> Iterator[slice]:
    """Rows from `start` to `stop` in strips of at most `ENTRIES` weights, at least one row each."""
    height = max(ENTRIES // width, 1)
    for first in range(start, stop, height):
        yield slice(first, min(first + height, stop))


def _edited(
    original: Tensor, plan: OperatorPlan, bias_applied: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Rows after an edit, (o, d, K), and what their biases gain, (o,)."""
    edited = fold(original, plan.subspace, plan.strength)
    if plan.reference is None:
        return edited, original.new_zeros(len(original))
    gained = shift(original, plan.subspace, plan.strength, plan.reference)
    if bias_applied is None or bool(bias_applied.all()):
        return edited, gained
    # an output whose bias cannot take W T m would be shifted for every sample: it stays
    mask = bias_applied.to(original.device)
    return torch.where(mask[:, None, None], edited, original), gained * mask


def _write(operator: Operator, rows: slice, values: Tensor) -> None:
    start = operator.part.start
    place = operator.parameter.detach()[start + rows.start : start + rows.stop]
    place.copy_(values.reshape(place.shape))


def _move_biases(operator: Operator, change: Tensor) -> None:
    """Add to the bias of each module that holds the weight."""
    operator.ensure_biases()
    for bias in operator.biases():
        if bias is not None:
            bias.copy_(bias.to(change) + change)  # added in float64, cast once
