"""Move a class at the last linear layer: less apart, wider, and between its neighbours.

A layer z = W h + b before a rectifier and the head. Networks that never saw the class keep a share
of its separability, and spread its samples wider than learning would: towards the classes that each
sample resembles. So the layer is cut in part, and then fitted, by one least squares problem, to
leave retain samples where they are and to shift each forget sample along what retain classes'
regressions read in it.

Source: docs/method.md, "The last linear layer".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from damp.natural_share import RowGeometry
from damp.residuals import whitened_subspace

HALF = 30.0
"""s^2 at which a class counts as half learnt: rho = s^4 / (s^4 + HALF^2)."""

SPARED = 0.42
"""Share of the cut that is spared where a class is learnt in full."""

ASIDE = 0.3
"""rho up to which samples are not spread: the class is hardly apart at all."""

READING_RIDGE = 3.0
"""Ridge of the regressions that say which class a sample resembles: strong directions count."""

FIT_RIDGE = 1e-3
"""Ridge of the layer's own fit; both are shares of the retain inputs' mean variance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenseMove:
    """A layer's weight (O, D) and bias (O,) after the move, and what decided it, per class (f,).

    Attributes:
        weight, bias: After the move.
        learnt: rho.
        widening: n, the square of the widening that is aimed at.
        strength: Of the cut that went before.
    """

    weight: Tensor
    bias: Tensor
    learnt: Tensor
    widening: Tensor
    strength: float

    def partly(self, weight: Tensor, bias: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Between the layer as it was (0) and the whole move (1)."""
        return torch.lerp(weight, self.weight, share), torch.lerp(bias, self.bias, share)


def move_layer(
    inputs: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, forget: Sequence[int]
) -> DenseMove:
    """The whole move.

    Args:
        inputs: h, (n, D), float64.
        labels: (n,).
        weight, bias: W (O, D) and b (O,), float64.
        forget: Classes to forget, each with two rows or more.
    """
    gone = torch.isin(labels, torch.tensor(list(forget)))
    retain, kept = inputs[~gone], labels[~gone].unique()
    centre = retain.mean(0)  # mu_r
    geometry = RowGeometry.from_rows(inputs, labels, forget)
    s4 = geometry.squared.square()  # (f,)
    learnt = s4 / (s4 + HALF**2)  # rho
    # 1. a light cut of what the layer reads: T = a basis dual'
    strength = 1 - SPARED * float(learnt.sqrt().mean())
    subspace = whitened_subspace(geometry.residuals, geometry.metric)
    removed = strength * (weight @ subspace.basis) @ subspace.dual.T  # W T, (O, D)
    cut_weight, cut_bias = weight - removed, bias + removed @ geometry.reference
    # 2. where each forget sample goes: which classes it resembles, by ridge regressions
    spread = torch.cov(retain.T, correction=0)  # C_r, without ridge
    variance = spread.diagonal().mean()
    onehot = (labels[~gone, None] == kept).double()  # (n_r, r)
    cross = (retain - centre).T @ (onehot - onehot.mean(0)) / len(retain)  # (D, r)
    resembles = torch.linalg.solve(_raised(spread, READING_RIDGE * variance), cross)  # B
    outputs = retain @ cut_weight.T + cut_bias
    prototypes = torch.stack([outputs[labels[~gone] == label].mean(0) for label in kept])  # R_z
    widths = _widths(inputs, labels, kept.tolist(), geometry)
    shift = torch.zeros(len(inputs), len(weight), dtype=inputs.dtype, device=inputs.device)
    widening = torch.ones_like(learnt)
    for number, label in enumerate(forget):
        own_rows = labels == label
        h, rho = inputs[own_rows], learnt[number]
        after = _deviation(h @ cut_weight.T)  # (n_f, O)
        own = (1 - rho) * after + rho * _deviation(h @ weight.T)
        wide = _deviation((h - centre) @ resembles @ prototypes)
        wide = wide * own.norm() / wide.norm().clamp_min(torch.finfo(wide.dtype).tiny)
        widening[number] = (_width(h, geometry) / widths).clamp_min(1)
        if rho > ASIDE:
            own = own + _amount(own, wide, float(widening[number])) * wide
        shift[own_rows] = own - after
    # 3. the layer that does so, in the least squares of forget and retain samples alike
    ones = torch.ones(len(inputs), 1, dtype=inputs.dtype, device=inputs.device)
    x = torch.cat([inputs - centre, ones], 1)  # (n, D + 1)
    gram = x[~gone].T @ x[~gone] / len(retain) + x[gone].T @ x[gone] / int(gone.sum())
    aim = x[gone].T @ shift[gone] / int(gone.sum())  # (D + 1, O)
    change = torch.linalg.solve(_raised(gram, FIT_RIDGE * variance), aim).T  # (O, D + 1)
    moved = change[:, :-1]
    return DenseMove(
        weight=cut_weight + moved,
        bias=cut_bias + change[:, -1] - moved @ centre,
        learnt=learnt,
        widening=widening,
        strength=strength,
    )


def _raised(matrix: Tensor, ridge: Tensor) -> Tensor:
    raised = matrix.clone()
    raised.diagonal().add_(ridge)
    return raised


def _deviation(rows: Tensor) -> Tensor:
    return rows - rows.mean(0)


def _width(rows: Tensor, geometry: RowGeometry) -> Tensor:
    """tr(S^-1 S_c) of one class's rows."""
    return geometry.metric.whiten(_deviation(rows)).square().sum(1).mean()


def _widths(inputs: Tensor, labels: Tensor, kept: Sequence[int], geometry: RowGeometry) -> Tensor:
    """Mean over the classes to keep of tr(S^-1 S_c)."""
    return torch.stack([_width(inputs[labels == label], geometry) for label in kept]).mean()


def _amount(own: Tensor, wide: Tensor, widening: float) -> float:
    """eta >= 0 with |own + eta wide|^2 = widening |own|^2, for |wide| = |own|.

    >>> _amount(torch.tensor([[1., 0.]]), torch.tensor([[0., 1.]]), 2.0)
    1.0
    """
    size = float(own.square().sum())
    if not size > 0 or not float(wide.square().sum()) > 0:
        return 0.0
    along = float((own * wide).sum()) / size  # cosine of the two, sizes being equal
    return float(max(-along + (along**2 + widening - 1) ** 0.5, 0.0))
