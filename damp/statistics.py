"""One streaming pass: class sums and Gram matrices of pooled inputs, per operator.

Inputs are pooled in the model's own precision and accumulated in float64, batch by batch, with
matrix products only, which are deterministic on a GPU too. Memory is O(classes * D + D * D) per
operator, whatever the number of samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

STRIP = 256
"""Columns of a Gram matrix that are added at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statistics:
    """What the surgery knows of one operator's pooled inputs, in float64.

    Attributes:
        counts: Samples per class, (C,). A layer used twice in a forward pass counts twice.
        sums: Sum of the pooled inputs per class, (C, D).
        retain_gram: Sum of x x' over the samples to keep, (D, D).
        forget_gram: The same over the samples to forget, (D, D).
        forget: Classes to forget, sorted.
    """

    counts: Tensor
    sums: Tensor
    retain_gram: Tensor
    forget_gram: Tensor
    forget: tuple[int, ...]

    @property
    def retain(self) -> tuple[int, ...]:
        """Classes to keep that have samples, sorted."""
        seen = self.counts.nonzero().flatten().tolist()
        return tuple(label for label in seen if label not in self.forget)

    def finite(self) -> bool:
        """No NaN and no infinity among the sums."""
        return bool(torch.isfinite(self.sums).all() and torch.isfinite(self.retain_gram).all())

    def varies(self) -> bool:
        """Whether the samples to keep differ from each other by more than rounding."""
        index = torch.tensor(self.retain, device=self.sums.device)
        energy = self.retain_gram.diagonal().mean() / self.counts[index].sum()
        variance = energy - self.mean(self.retain).square().mean()
        return bool(variance > 1e-10 * energy)

    def prototypes(self, classes: Sequence[int]) -> Tensor:
        """Mean pooled input of each class, (len(classes), D)."""
        index = torch.tensor(classes, device=self.sums.device)
        return self.sums[index] / self.counts[index, None]

    def mean(self, classes: Sequence[int]) -> Tensor:
        """Mean pooled input over all samples of some classes, (D,)."""
        index = torch.tensor(classes, device=self.sums.device)
        return self.sums[index].sum(0) / self.counts[index].sum()

    def covariance(self, classes: Sequence[int], gram: Tensor) -> Tensor:
        """Covariance of the pooled inputs of some classes, (D, D), from their Gram matrix."""
        index = torch.tensor(classes, device=self.sums.device)
        mean = self.mean(classes)
        return gram / self.counts[index].sum() - torch.outer(mean, mean)

    def retain_covariance(self) -> Tensor:
        """Covariance of the pooled inputs of the samples to keep, (D, D)."""
        return self.covariance(self.retain, self.retain_gram)

    def forget_covariance(self) -> Tensor:
        """Covariance of the pooled inputs of the samples to forget, (D, D)."""
        return self.covariance(self.forget, self.forget_gram)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Which rows of a batch are of which class: indices, and a one-hot matrix (C, B)."""

    retain: Tensor
    forget: Tensor
    one_hot: Tensor

    @classmethod
    def of(cls, labels: Tensor, classes: int, forget: Sequence[int], device: torch.device) -> Rows:
        """From labels on the CPU, (B,), to the device where the sums are kept."""
        cut = torch.isin(labels, torch.tensor(forget, dtype=labels.dtype))
        return cls(
            retain=(~cut).nonzero().flatten().to(device),
            forget=cut.nonzero().flatten().to(device),
            one_hot=one_hot(labels, classes).T.to(device, torch.float64),
        )


class Accumulator:
    """Sums and Gram matrices of one operator, growing batch by batch."""

    def __init__(self, classes: int, features: int, device: torch.device) -> None:
        start = torch.zeros(1, dtype=torch.float64, device=device)
        self.counts = start.new_zeros(classes)
        self.sums = start.new_zeros(classes, features)
        self.retain_gram = start.new_zeros(features, features)
        self.forget_gram = start.new_zeros(features, features)

    def add(self, pooled: Tensor, rows: Rows) -> None:
        """Take in the pooled inputs (B, D) of one batch."""
        values = pooled.to(self.sums)
        self.counts += rows.one_hot.sum(1)
        self.sums.addmm_(rows.one_hot, values)
        kept, cut = values[rows.retain], values[rows.forget]
        add_gram(self.retain_gram, kept)
        add_gram(self.forget_gram, cut)

    def freeze(self, forget: tuple[int, ...]) -> Statistics:
        """The result."""
        return Statistics(
            counts=self.counts,
            sums=self.sums,
            retain_gram=mirrored(self.retain_gram),
            forget_gram=mirrored(self.forget_gram),
            forget=forget,
        )


def add_gram(gram: Tensor, rows: Tensor) -> None:
    """Add X'X of rows X (n, D) to a Gram matrix (D, D), in place; above the diagonal only.

    In strips of `STRIP` columns, so that a wide matrix takes little more than half the products.
    """
    for start in range(0, len(gram), STRIP):
        strip = gram[start : start + STRIP, start:]
        strip.addmm_(rows[:, start : start + STRIP].T, rows[:, start:])


def mirrored(gram: Tensor) -> Tensor:
    """The symmetric matrix (D, D) whose upper triangle is given.

    >>> mirrored(torch.tensor([[1., 2.], [0., 3.]]))
    tensor([[1., 2.],
            [2., 3.]])
    """
    return gram.triu() + gram.triu(1).T
