"""Adds up pooled inputs as they stream by, in blocks of rows.

Rows wait until a block is full and are then added class by class, in float64, with matrix products
only, which are deterministic on a GPU too. Blocks are counted from the first row on, so what comes
out does not depend on how the data was cut into batches, beyond what the model itself does
differently. Memory: the sums, and one block of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from damp.statistics import Gram, Groups, Sketch, Statistics
from damp.whitening import WIDEST, random_matrix

BLOCK = 512
"""Rows that are added at once."""

STRIP = 256
"""Columns of a Gram matrix that are added at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowOrder:
    """One block's rows in the order of their groups: which row goes where.

    Attributes:
        rows: The rows, those of one group beside each other, (n,), on the device.
        spans: Groups that have rows here, with the first and the last of their rows.
        classes: Classes that have rows here, (k,), on the device.
        membership: Which of the rows, in their first order, is of which of these, (k, n), float64.
        counts: Rows of every class, (C,), float64, on the CPU.
    """

    rows: Tensor
    spans: tuple[tuple[int, int, int], ...]
    classes: Tensor
    membership: Tensor
    counts: Tensor

    @classmethod
    def from_labels(
        cls, labels: Tensor, group_of: Tensor, groups: int, device: torch.device
    ) -> RowOrder:
        """From labels on the CPU, (n,), and each class's group, (C,)."""
        owner = group_of[labels]  # (n,)
        sizes = torch.bincount(owner, minlength=groups)  # (K,)
        ends = sizes.cumsum(0).tolist()
        spans = [(g, end - int(n), end) for g, (n, end) in enumerate(zip(sizes, ends, strict=True))]
        classes = labels.unique()  # (k,)
        return cls(
            # stable: rows of one group are added in the order in which they came
            rows=owner.argsort(stable=True).to(device),
            spans=tuple(span for span in spans if span[1] < span[2]),
            classes=classes.to(device),
            membership=(classes[:, None] == labels).to(device, torch.float64),
            counts=torch.bincount(labels, minlength=len(group_of)).double(),
        )


class Accumulator:
    """Sums of one set of pooled inputs, growing batch by batch.

    Args:
        features: D.
        blocks: Blocks of features that are read apart, G.
        groups: Which classes share a second moment.
        classes: C.
        device: Where the sums are kept.
    """

    def __init__(
        self, features: int, blocks: int, groups: Groups, classes: int, device: torch.device
    ) -> None:
        empty = torch.zeros(1, dtype=torch.float64, device=device)
        self.groups = groups
        self.blocks = blocks
        self.counts = torch.zeros(classes, dtype=torch.float64)
        self.sums = empty.new_zeros(classes, features)  # (C, D)
        self.pivot: Tensor | None = None
        self.omega = random_matrix(features, device) if sketched(features, blocks) else None
        width = features // blocks
        # per group of classes a Gram matrix per block, (G, d, d), or one sketch, (D, p)
        shape = (blocks, width, width) if self.omega is None else tuple(self.omega.shape)
        self.moments = empty.new_zeros(len(groups), *shape)
        self.squares = empty.new_zeros(len(groups), features)  # (K, D), of sketches only
        self._waiting: list[Tensor] = []

    def add(self, pooled: Tensor) -> None:
        """Take in rows (B, D); they wait until `add_block` says of which classes they are."""
        self._waiting.append(pooled)

    def add_block(self, order: RowOrder, size: int) -> None:
        """Add the first `size` of the rows that wait."""
        waiting = torch.cat(self._waiting)
        self._waiting = [waiting[size:]]
        rows = waiting[:size].to(self.sums)  # (n, D), float64
        if self.pivot is None:
            # any point near the data will do: it keeps sums of squares from cancelling
            self.pivot = rows.mean(0)  # (D,)
        rows = rows - self.pivot
        self.counts += order.counts
        # (k, n) @ (n, D): a product, where index_add_ would add in any order on a GPU
        self.sums[order.classes] += order.membership @ rows
        rows = rows[order.rows]
        for group, start, stop in order.spans:
            self._add(group, rows[start:stop])

    def _add(self, group: int, rows: Tensor) -> None:
        if self.omega is not None:
            # X'(X Omega), (D, n) @ (n, p): the Gram matrix itself is never there
            self.moments[group].addmm_(rows.T, rows @ self.omega)
            self.squares[group] += rows.square().sum(0)
        elif self.blocks > 1:
            parts = rows.unflatten(1, (self.blocks, -1)).transpose(0, 1)  # (G, n, d)
            self.moments[group].baddbmm_(parts.mT, parts)
        else:
            add_gram(self.moments[group, 0], rows)

    def freeze(self) -> Statistics:
        """The result; the accumulator is spent."""
        pivot = self.sums[0] * 0 if self.pivot is None else self.pivot
        if self.omega is not None:
            moments: Gram | Sketch = Sketch(sums=self.moments, squares=self.squares)
        else:
            if self.blocks == 1:
                for gram in self.moments[:, 0]:
                    mirror(gram)
            moments = Gram(sums=self.moments)
        return Statistics(
            pivot=pivot,
            counts=self.counts,
            sums=self.sums,
            groups=self.groups,
            moments=moments,
            blocks=self.blocks,
        )


def sketched(features: int, blocks: int) -> bool:
    """Whether second moments of so many features are sketched."""
    return features // blocks > WIDEST


def add_gram(gram: Tensor, rows: Tensor) -> None:
    """Add X'X of rows X (n, D) to a Gram matrix (D, D), in place; above the diagonal only.

    In strips of `STRIP` columns, so that a wide matrix takes little more than half the products.
    """
    for start in range(0, len(gram), STRIP):
        strip = gram[start : start + STRIP, start:]
        # (s, n) @ (n, D - start)
        strip.addmm_(rows[:, start : start + STRIP].T, rows[:, start:])


def mirror(gram: Tensor) -> None:
    """Write the upper triangle of a matrix (D, D) into the lower one.

    >>> gram = torch.tensor([[1., 2.], [0., 3.]])
    >>> mirror(gram); gram
    tensor([[1., 2.],
            [2., 3.]])
    """
    for start in range(0, len(gram), STRIP):
        stop = start + STRIP
        corner = gram[start:stop, start:stop]
        # the strip's own square was computed whole; below it lies nothing yet
        corner.copy_(corner.triu() + corner.triu(1).T)
        gram[stop:, start:stop] = gram[start:stop, stop:].T
