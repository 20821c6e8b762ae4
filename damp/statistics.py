"""Statistics of pooled inputs: class means and second moments, and what follows from them.

Nothing here depends on which classes are to be forgotten: prototypes and covariances of any set of
classes come from the same sums, and two measurements of different samples add up to the one of all.
Sums are float64 and taken about a pivot near the data, so that no digits are lost where means are
large beside spreads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from damp.whitening import Covariance, Sketched, Whole, random_matrix

Groups = tuple[tuple[int, ...], ...]
"""Classes that share a second moment; every class is in one group."""


class Moments(Protocol):
    """Second moments about the pivot, one per group of classes."""

    def covariance(self, shares: Sequence[float], rows: Tensor, weights: Tensor) -> Covariance:
        """sum_k shares_k M_k + sum_i weights_i rows_i rows_i'."""

    def diagonals(self) -> Tensor:
        """Sums of squares, (K, D), all blocks together."""

    def moved(self, sums: Tensor, counts: Tensor, step: Tensor) -> Moments:
        """About a pivot that lies `step` (D,) before the old one; sums (K, D), counts (K,)."""

    def plus(self, other: Moments) -> Moments:
        """Of the samples of both."""

    def block(self, place: int) -> Moments:
        """Of one block of features."""

    def tensors(self) -> dict[str, Tensor]:
        """What to save."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gram:
    """Sums of x x', per group and block of features, (K, G, d, d)."""

    sums: Tensor

    def covariance(self, shares: Sequence[float], rows: Tensor, weights: Tensor) -> Whole:
        """Of one block: the one that `block` has chosen."""
        total = rows.T @ (weights[:, None] * rows)  # (d, n) @ (n, d)
        for share, gram in zip(shares, self.sums[:, 0], strict=True):
            if share:  # a group without a part in it costs nothing
                total.add_(gram, alpha=share)
        return Whole(matrix=total)

    def diagonals(self) -> Tensor:
        """Sums of squares, (K, D)."""
        return self.sums.diagonal(dim1=-2, dim2=-1).flatten(1)

    def moved(self, sums: Tensor, counts: Tensor, step: Tensor) -> Gram:
        """(x + t)(x + t)' = x x' + x t' + t x' + t t', in each block."""
        blocks = self.sums.shape[1]
        parts = sums.unflatten(1, (blocks, -1))  # (K, G, d)
        steps = step.unflatten(0, (blocks, -1)).expand_as(parts)  # (K, G, d)
        cross = parts[..., :, None] * steps[..., None, :]  # (K, G, d, d)
        square = steps[..., :, None] * steps[..., None, :]
        return Gram(sums=self.sums + cross + cross.mT + counts[:, None, None, None] * square)

    def plus(self, other: Moments) -> Gram:
        """Of the samples of both."""
        return Gram(sums=self.sums + _alike(self, other).sums)

    def block(self, place: int) -> Gram:
        """Of one block of features."""
        return Gram(sums=self.sums[:, place : place + 1])

    def tensors(self) -> dict[str, Tensor]:
        """The upper triangles, (K, G, d * (d + 1) / 2)."""
        upper = torch.triu_indices(*self.sums.shape[-2:], device=self.sums.device)
        return {"gram": self.sums[..., upper[0], upper[1]]}

    @classmethod
    def from_upper(cls, upper: Tensor, width: int) -> Gram:
        """The way back from `tensors`."""
        places = torch.triu_indices(width, width, device=upper.device)
        sums = upper.new_zeros(*upper.shape[:2], width, width)
        sums[..., places[0], places[1]] = upper
        sums[..., places[1], places[0]] = upper
        return cls(sums=sums)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sketch:
    """Sums of x x' Omega, (K, D, p), and of squares, (K, D), per group."""

    sums: Tensor
    squares: Tensor

    def covariance(self, shares: Sequence[float], rows: Tensor, weights: Tensor) -> Sketched:
        """Everything is linear in the second moments, so it is as easy as for whole ones."""
        omega = random_matrix(self.sums.shape[1], self.sums.device)  # (D, p)
        action = rows.T @ (weights[:, None] * (rows @ omega))  # (D, n) @ (n, p)
        diagonal = weights @ rows.square()  # (D,)
        for share, sketch, squares in zip(shares, self.sums, self.squares, strict=True):
            action.add_(sketch, alpha=share)
            diagonal.add_(squares, alpha=share)
        return Sketched(action=action, diagonal=diagonal, omega=omega)

    def diagonals(self) -> Tensor:
        """Sums of squares, (K, D)."""
        return self.squares

    def moved(self, sums: Tensor, counts: Tensor, step: Tensor) -> Sketch:
        """The same step as for whole moments, multiplied by Omega."""
        omega = random_matrix(self.sums.shape[1], self.sums.device)
        along, inside = step @ omega, sums @ omega  # (p,), (K, p)
        # (x t' + t x' + t t') Omega, summed over rows, (K, D, p)
        cross = sums[:, :, None] * along + step[:, None] * inside[:, None, :]
        square = counts[:, None, None] * (step[:, None] * along)
        # its diagonal, (K, D): 2 x t + t^2
        diagonal = 2 * sums * step + counts[:, None] * step.square()
        return Sketch(sums=self.sums + cross + square, squares=self.squares + diagonal)

    def plus(self, other: Moments) -> Sketch:
        """Of the samples of both."""
        same = _alike(self, other)
        return Sketch(sums=self.sums + same.sums, squares=self.squares + same.squares)

    def block(self, place: int) -> Sketch:
        """A sketch has one block."""
        return self

    def tensors(self) -> dict[str, Tensor]:
        """What to save."""
        return {"sketch": self.sums, "squares": self.squares}


Form = TypeVar("Form", "Gram", "Sketch")


def _alike(one: Form, other: Moments) -> Form:
    if isinstance(other, type(one)):
        return other
    raise TypeError(f"{type(one).__name__} and {type(other).__name__} do not add up.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statistics:
    """Sums of one operator's pooled inputs, about a pivot, in float64.

    Attributes:
        pivot: A point near the data, (D,).
        counts: Samples per class, (C,), on the CPU. A layer used twice in a forward pass counts
            twice.
        sums: Sum of x - pivot per class, (C, D).
        groups: Which classes share a second moment.
        moments: Second moments about the pivot, one per group.
        blocks: Blocks of features that are read apart, G.
    """

    pivot: Tensor
    counts: Tensor
    sums: Tensor
    groups: Groups
    moments: Moments
    blocks: int = 1

    @property
    def present(self) -> tuple[int, ...]:
        """Classes that have samples."""
        return tuple(self.counts.nonzero().flatten().tolist())

    def others(self, classes: Sequence[int]) -> tuple[int, ...]:
        """Classes that have samples and are not among these."""
        return tuple(label for label in self.present if label not in classes)

    def finite(self) -> bool:
        """No NaN and no infinity among the sums: where squares are finite, products are."""
        return bool(
            torch.isfinite(self.sums).all() and torch.isfinite(self.moments.diagonals()).all()
        )

    def exact(self, classes: Sequence[int]) -> bool:
        """Whether these classes' covariance is their own, or partly that of others with them."""
        chosen = set(classes)
        return all(
            not chosen & set(g) or not set(g) & set(self.present) - chosen for g in self.groups
        )

    def form(self, classes: Sequence[int]) -> str:
        """How the spread of some classes is known: "whole", "shared" with others, "sketched"."""
        if isinstance(self.moments, Sketch):
            return "sketched"
        return "whole" if self.exact(classes) else "shared"

    def block(self, place: int) -> Statistics:
        """The statistics of one block of features."""
        if self.blocks == 1:
            return self
        width = len(self.pivot) // self.blocks
        span = slice(place * width, (place + 1) * width)
        return replace(
            self,
            pivot=self.pivot[span],
            sums=self.sums[:, span],
            moments=self.moments.block(place),
            blocks=1,
        )

    def prototypes(self, classes: Sequence[int]) -> Tensor:
        """Mean pooled input of each class, (len(classes), D)."""
        return self.pivot + self._offsets(classes)

    def mean(self, classes: Sequence[int]) -> Tensor:
        """Mean pooled input over all samples of some classes, (D,)."""
        return self.pivot + self.sums[list(classes)].sum(0) / self._count(classes)

    def varies(self, classes: Sequence[int]) -> bool:
        """Whether the samples of some classes differ from each other by more than rounding."""
        mean = self.mean(classes)
        shares, rows, weights = self._spread(classes)
        inside = self.moments.diagonals().T @ weights.new_tensor(shares)  # (D, K) @ (K,)
        variance = (inside + weights @ rows.square()).mean()
        # beside the mean's square: of large constants rounding leaves a variance too
        return bool(variance > 1e-10 * (variance + mean.square().mean()))

    def covariance(self, classes: Sequence[int]) -> Covariance:
        """Covariance of the pooled inputs of some classes; of one block of features.

        A group that only partly belongs to them gives each of its classes the spread that its
        classes have on average around their own means.
        """
        return self.moments.covariance(*self._spread(classes))

    def _spread(self, classes: Sequence[int]) -> tuple[list[float], Tensor, Tensor]:
        """A covariance as shares of second moments and weighted squares of vectors.

        With n_g samples in group g, h_g of them in the classes K, n_K in all, v_c = mu_c - pivot:

            sum_g h_g / n_K (M_g / n_g - sum_(c in g) n_c / n_g v_c v_c')   within
            + sum_(c in K) n_c / n_K v_c v_c' - v_K v_K'                    between

        The vectors of a group that lies wholly in K cancel.
        """
        total, shares = self._count(classes), []  # n_K; h_g / (n_K n_g) per group
        weights = torch.zeros_like(self.counts)  # of v_c v_c', (C,)
        for group in self.groups:
            inside = [label for label in group if label in classes]
            everyone, here = self._count(group), self._count(inside)
            shares.append(here / (total * everyone) if here else 0.0)
            if 0 < here < everyone:
                weights[inside] = self.counts[inside] / total
                weights[list(group)] -= shares[-1] * self.counts[list(group)]
        # v_c of every class, then v_K, which is taken away: (C + 1, D)
        rows = torch.cat([self._offsets(self.present), (self.mean(classes) - self.pivot)[None]])
        listed = [*weights[list(self.present)].tolist(), -1.0]
        return shares, rows, rows.new_tensor(listed)

    def about(self, pivot: Tensor) -> Statistics:
        """The same, with sums about another pivot."""
        step = self.pivot - pivot
        members = [list(group) for group in self.groups]
        sums = torch.stack([self.sums[group].sum(0) for group in members])  # (K, D)
        counts = step.new_tensor([self._count(group) for group in members])  # (K,)
        return replace(
            self,
            pivot=pivot,
            sums=self.sums + self.counts.to(step.device)[:, None] * step,
            moments=self.moments.moved(sums, counts, step),
        )

    def plus(self, other: Statistics) -> Statistics:
        """Those of the samples of both, which must be of one operator and one grouping."""
        moved = other.about(self.pivot)  # sums add up only about one pivot
        return replace(
            self,
            counts=self.counts + moved.counts,
            sums=self.sums + moved.sums,
            moments=self.moments.plus(moved.moments),
        )

    def _count(self, classes: Sequence[int]) -> float:
        return float(self.counts[list(classes)].sum())

    def _offsets(self, classes: Sequence[int]) -> Tensor:
        """Class means about the pivot, (len(classes), D)."""
        counts = self.counts[list(classes)].to(self.sums.device)
        return self.sums[list(classes)] / counts[:, None]
