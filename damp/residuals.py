"""What only the forget classes hold at an operator's input: residuals, and the space they span.

Two presets, two answers. `paper`: what no linear combination of retain prototypes explains.
`mixture`: what the nearest convex mixture of them does not explain, seen in the metric in which
the retain samples are round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from damp.errors import NoConvergence
from damp.whitening import Metric

GATE = 1e-3
"""|d_f| / |mu_f| at or below which a residual is numerical noise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subspace:
    """Directions that only the forget classes hold: x loses basis @ diag(a) @ dual' @ x.

    Attributes:
        basis: Directions taken away, (D, k).
        dual: How much of them an input holds, (D, k); dual' basis = I.
        separability: s_j^2 per direction, (k,): squared distance between the forget prototypes
            and their mixtures where retain samples are round, a mean over them. Ones for `paper`.
    """

    basis: Tensor
    dual: Tensor
    separability: Tensor


def span_residuals(targets: Tensor, retain: Tensor) -> Tensor:
    """What no linear combination of retain prototypes explains, d_f = mu_f - R R^+ mu_f.

    Args:
        targets: Forget prototypes, (f, D).
        retain: Retain prototypes, (r, D).
    Returns:
        Residuals, (f, D), orthogonal to every retain prototype.
    Source: arXiv:2604.15166; METHOD notation in docs/method.md.

    >>> span_residuals(torch.tensor([[3., 4.]]), torch.tensor([[2., 0.]]))
    tensor([[0., 4.]])
    """
    span = orthonormal(retain)  # (D, k)
    once = targets - targets @ span @ span.T  # (f, D)
    return once - once @ span @ span.T  # twice: orthogonal to rounding error


def orthonormal(rows: Tensor) -> Tensor:
    """Orthonormal basis (D, k) of the space that rows (n, D) span, k their numerical rank.

    An SVD, where the paper says QR: the same space, and well-behaved where rows repeat.
    """
    _, s, vh = torch.linalg.svd(rows, full_matrices=False)
    # numerical rank, as numpy.linalg.matrix_rank has it
    precision = torch.finfo(rows.dtype).eps * max(rows.shape)
    return vh[s > precision * s.max()].T


def nearest_mixture(target: Tensor, retain: Tensor) -> Tensor:
    """Weights of the convex combination of retain prototypes nearest to a forget prototype.

    Minimises |mu_f - sum_r w_r mu_r| over w >= 0, sum w = 1, all prototypes whitened. With
    A = (R - mu_f)' this is the point of a hull nearest to the origin. Non-negative least squares
    on [A; 1'] u = [0; 1] gives it exactly: along u = t w the best t leaves
    |A w|^2 / (1 + |A w|^2), which grows with |A w|, so w = u / sum(u).

    Args:
        target: Whitened forget prototype, L mu_f, (D,).
        retain: Whitened retain prototypes, R L', (r, D).
    Returns:
        Weights, (r,), non-negative, summing to one.
    Raises:
        NoConvergence: the solver gave up.
    Source: C. Lawson, R. Hanson, Solving Least Squares Problems, 1974, chapter 23.

    >>> nearest_mixture(torch.tensor([.5, .5]), torch.eye(2))
    tensor([0.5000, 0.5000])
    """
    matrix = (retain - target).T.to("cpu", torch.float64)  # A, (D, r)
    # w does not depend on A's scale, the solver's stopping rule does
    matrix = matrix / matrix.norm(dim=0).max().clamp_min(torch.finfo(torch.float64).tiny)
    if matrix.shape[0] > matrix.shape[1]:
        matrix = torch.linalg.qr(matrix, mode="r").R  # (r, r): |Q R u| = |R u|
    system = np.vstack([matrix.numpy(), np.ones(matrix.shape[1])])  # [A; 1']
    right = np.append(np.zeros(matrix.shape[0]), 1.0)
    weights = torch.from_numpy(_nnls(system, right))
    return (weights / weights.sum()).to(retain)


def _nnls(system: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Non-negative least squares with room to converge."""
    try:
        return np.asarray(nnls(system, right, maxiter=30 * system.shape[1])[0])
    except RuntimeError as error:
        raise NoConvergence(
            f"The nearest mixture of {system.shape[1]} retain prototypes was not found ({error}). "
            "Add the operator to `skip`, or use the preset 'paper'."
        ) from error


def mixture_weights(targets: Tensor, retain: Tensor, metric: Metric) -> Tensor:
    """Each forget prototype's nearest mixture of retain prototypes.

    Args:
        targets: Forget prototypes, (f, D).
        retain: Retain prototypes, (r, D).
        metric: The one in which retain samples are round.
    Returns:
        Weights, (f, r), rows that sum to one; t_f = weights @ retain.
    """
    goals, hull = metric.whiten(targets), metric.whiten(retain)  # (f, D), (r, D)
    return torch.stack([nearest_mixture(goal, hull) for goal in goals])


def relative(residuals: Tensor, targets: Tensor) -> Tensor:
    """|d_f| / |mu_f| per forget class, (f,); 0 where a prototype is 0."""
    sizes = targets.norm(dim=1)  # (f,)
    return torch.where(sizes > 0, residuals.norm(dim=1) / sizes, 0.0)


def span_subspace(residuals: Tensor) -> Subspace:
    """The space of the residuals (f, D) in the plain metric (`paper`).

    >>> span_subspace(torch.tensor([[0., 2.]])).basis.abs()
    tensor([[0.],
            [1.]])
    """
    basis = orthonormal(residuals)
    return Subspace(basis=basis, dual=basis, separability=torch.ones_like(basis[0]))


def whitened_subspace(residuals: Tensor, metric: Metric) -> Subspace:
    """The space of the residuals (f, D) in the metric in which S is round (`mixture`).

    Separability is a mean over the residuals, as the spread of retain samples is a mean over them:
    a direction in which one class of five stands out weighs a fifth of one that all five share.

    With L'L = S^-1: D L' = U diag(s) V', basis = L^-1 V, dual = L' V, so that
    basis diag(a) dual' = L^-1 V diag(a) V' L.

    Args:
        residuals: d_f as rows, (f, D).
        metric: Of S.
    """
    whitened = metric.whiten(residuals)  # (f, D)
    _, s, vh = torch.linalg.svd(whitened, full_matrices=False)
    kept = s > torch.finfo(s.dtype).eps * max(whitened.shape) * s.max()
    directions = vh[kept].T  # V, (D, k)
    return Subspace(
        basis=metric.colour(directions),
        dual=metric.dual(directions),
        separability=s[kept] ** 2 / len(residuals),
    )
