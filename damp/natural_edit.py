"""What the preset `natural` did: the depths that it wrote at, and the head that it refitted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NaturalDepth:
    """One sum that was written against the classes.

    Attributes:
        layers: Those that write it.
        before: s of each class behind it, in the original.
        goal: s*, what a network without the class would show by estimate.
        after: s after the edit: of both halves of the rows, those that chose no direction counted
            twice, where a sum was written behind gates; of these alone where it was written by one
            term; of all rows where a linear layer was moved.
        noise: s that the mean of so many rows of each class would show by chance: the error that
            the number of rows leaves in `before` and `goal`.
        residual: |d_f| / |mu_f| behind the sum before the edit, the largest over the classes.
        changed: Whether the layers were changed: not where the class was at its goal already.
    """

    layers: tuple[str, ...]
    before: tuple[float, ...]
    goal: tuple[float, ...]
    after: tuple[float, ...]
    noise: tuple[float, ...]
    residual: float
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NaturalEdit:
    """What was done.

    Attributes:
        depths: In forward order.
        head: Name of the refitted head.
        rows: Capped rows that were read.
        passes: Passes over them.
    """

    depths: tuple[NaturalDepth, ...]
    head: str
    rows: int
    passes: int
