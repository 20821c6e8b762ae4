"""Covariances of pooled inputs, whole or sketched, and the metrics in which they are round.

A covariance of D features takes D * D numbers. Where D is too large (VGG's first classifier layer
reads 25,088), it is known by its action on a fixed random matrix instead, D * p numbers, and by its
diagonal: from these comes a covariance of rank p plus the same variance in all other directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

import torch
from torch import Tensor

RIDGE = 0.01
"""Added to the diagonal of a covariance, as a share of its mean diagonal."""

WIDEST = 4096
"""Features above which a covariance is sketched."""

SKETCH = 256
"""Columns p of the random matrix: a sketch takes D * p * 8 bytes."""


class Metric(Protocol):
    """Where a covariance S, ridged, is the identity: L with L'L = S^-1."""

    def whiten(self, rows: Tensor) -> Tensor:
        """L x for rows x, (n, D) -> (n, D)."""

    def colour(self, columns: Tensor) -> Tensor:
        """L^-1 v for columns v, (D, k) -> (D, k)."""

    def dual(self, columns: Tensor) -> Tensor:
        """L' v for columns v, (D, k) -> (D, k)."""


class Covariance(Protocol):
    """A covariance matrix in one form or another."""

    @property
    def diagonal(self) -> Tensor:
        """Variances, (D,)."""

    def averaged(self, other: Covariance) -> Covariance:
        """The mean of two covariances of one form."""

    def metric(self) -> Metric:
        """The metric in which it is round, once ridged."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Whole:
    """A covariance matrix as it is, (D, D)."""

    matrix: Tensor

    @property
    def diagonal(self) -> Tensor:
        """Variances, (D,)."""
        return self.matrix.diagonal()

    def averaged(self, other: Covariance) -> Whole:
        """The mean of two covariances."""
        return Whole(matrix=(self.matrix + _alike(self, other).matrix) / 2)

    def metric(self) -> Cholesky:
        """From the Cholesky factor of the ridged matrix."""
        return Cholesky(factor=torch.linalg.cholesky(ridged(self.matrix)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sketched:
    """A covariance C known by C Omega and by its diagonal.

    Attributes:
        action: C Omega, (D, p).
        diagonal: (D,).
        omega: (D, p).
    """

    action: Tensor
    diagonal: Tensor
    omega: Tensor

    def averaged(self, other: Covariance) -> Sketched:
        """The mean of two covariances sketched with one Omega."""
        same = _alike(self, other)
        return Sketched(
            action=(self.action + same.action) / 2,
            diagonal=(self.diagonal + same.diagonal) / 2,
            omega=self.omega,
        )

    def metric(self) -> LowRank:
        """Nystroem's approximation, and the trace it misses spread over all other directions.

        Exact where the rank of C is below p. Source: J. Tropp et al., Fixed-rank approximation of a
        positive-semidefinite matrix from streaming data, NeurIPS 2017, algorithm 3; M. Tipping,
        C. Bishop 1999 for the rest as one variance.
        """
        # a shift of rounding size keeps Omega' C Omega positive definite; it is taken off again
        shift = torch.finfo(self.action.dtype).eps * self.action.norm()
        moved = self.action + shift * self.omega  # (C + shift I) Omega, (D, p)
        inner = self.omega.T @ moved  # (p, p)
        factor = torch.linalg.cholesky((inner + inner.T) / 2)
        # root root' = Y (Omega' Y)^-1 Y', Nystroem's approximation, (D, p)
        root = torch.linalg.solve_triangular(factor, moved.T, upper=False).T
        axes, sizes, _ = torch.linalg.svd(root, full_matrices=False)
        variances = (sizes.square() - shift).clamp_min(0)  # (p,)
        # the trace that p axes miss, as one variance in the D - p others
        others = max(len(self.diagonal) - len(variances), 1)
        rest = (self.diagonal.sum() - variances.sum()).clamp_min(0) / others
        ridge = RIDGE * self.diagonal.mean()
        return LowRank(axes=axes, scales=(variances + ridge).sqrt(), rest=(rest + ridge).sqrt())


Form = TypeVar("Form", "Whole", "Sketched")


def _alike(one: Form, other: Covariance) -> Form:
    if isinstance(other, type(one)):
        return other
    raise TypeError(f"A {type(one).__name__} covariance has no mean with {type(other).__name__}.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cholesky:
    """The metric of S = C C', L = C^-1.

    >>> Cholesky(factor=torch.diag(torch.tensor([2., 1.]))).whiten(torch.tensor([[2., 3.]]))
    tensor([[1., 3.]])
    """

    factor: Tensor

    def whiten(self, rows: Tensor) -> Tensor:
        """L x for rows x."""
        return torch.linalg.solve_triangular(self.factor, rows.T, upper=False).T

    def colour(self, columns: Tensor) -> Tensor:
        """L^-1 v for columns v."""
        return self.factor @ columns

    def dual(self, columns: Tensor) -> Tensor:
        """L' v for columns v."""
        return torch.linalg.solve_triangular(self.factor.T, columns, upper=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LowRank:
    """The metric of S = U diag(scales^2) U' + rest^2 (I - U U'), L = S^(-1/2), symmetric.

    Attributes:
        axes: U, orthonormal, (D, p).
        scales: Standard deviations along the axes, (p,).
        rest: Standard deviation everywhere else, ().
    """

    axes: Tensor
    scales: Tensor
    rest: Tensor

    def whiten(self, rows: Tensor) -> Tensor:
        """L x for rows x."""
        return self._scaled(rows.T, 1 / self.scales, 1 / self.rest).T

    def colour(self, columns: Tensor) -> Tensor:
        """L^-1 v for columns v."""
        return self._scaled(columns, self.scales, self.rest)

    def dual(self, columns: Tensor) -> Tensor:
        """L' v for columns v."""
        return self._scaled(columns, 1 / self.scales, 1 / self.rest)

    def _scaled(self, columns: Tensor, along: Tensor, rest: Tensor) -> Tensor:
        # U diag(along) U' + rest (I - U U'), never as a matrix (D, D)
        inside = self.axes.T @ columns  # (p, k)
        return rest * columns + self.axes @ ((along - rest)[:, None] * inside)


def ridged(covariance: Tensor, ridge: float = RIDGE) -> Tensor:
    """S = covariance + ridge * mean(diagonal) * I, (D, D)."""
    raised = covariance.clone()
    raised.diagonal().add_(ridge * covariance.diagonal().mean())
    return raised


@lru_cache(maxsize=2)
def random_matrix(features: int, device: torch.device) -> Tensor:
    """Omega, (D, p), standard normal, always the same for the same D."""
    # by a generator of its own: sketches of two machines add up only with one Omega
    generator = torch.Generator().manual_seed(features)
    columns = min(SKETCH, features)
    return torch.randn(features, columns, generator=generator, dtype=torch.float64).to(device)
