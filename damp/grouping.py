"""Which classes share a second moment.

The covariance of any set of classes can be had exactly if every class has a second moment of its
own. That takes C * D * D numbers per operator, which is little for ten classes and too much for a
thousand. Classes that share one share their spread around their class means; the means themselves
are always each class's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from damp.accumulator import sketched
from damp.statistics import Groups
from damp.tracing import OperatorUse
from damp.whitening import SKETCH

Grouping = Callable[[Sequence[OperatorUse], int], dict[str, Groups]]
"""From the first operator of each input group, and the number of classes, to groups of classes."""

MEMORY = 1 << 30
"""Bytes that second moments kept apart by class may take in all."""

FLOAT64 = 8


def for_request(forget: Sequence[int]) -> Grouping:
    """Two groups: the classes to forget, and the others. Exact for that request."""

    def grouping(uses: Sequence[OperatorUse], classes: int) -> dict[str, Groups]:
        cut = tuple(label for label in forget if label < classes)
        kept = tuple(label for label in range(classes) if label not in cut)
        groups = tuple(group for group in (cut, kept) if group)
        return {use.operator.name: groups for use in uses}

    return grouping


def for_any_request(memory: int = MEMORY) -> Grouping:
    """Every class apart wherever that fits, the narrowest operators first, of equals the last."""

    def grouping(uses: Sequence[OperatorUse], classes: int) -> dict[str, Groups]:
        apart: Groups = tuple((label,) for label in range(classes))
        groups: dict[str, Groups] = {}
        left = memory
        # narrow operators first: classes kept apart in many of them take no more than in one wide
        order = sorted(enumerate(uses), key=lambda pair: (entries(pair[1]), -pair[0]))
        for _, use in order:
            size = classes * entries(use) * FLOAT64
            fits = size <= left
            left -= size if fits else 0
            groups[use.operator.name] = apart if fits else (tuple(range(classes)),)
        return groups

    return grouping


def entries(use: OperatorUse) -> int:
    """Numbers that one second moment of an operator's inputs takes."""
    features, blocks = use.operator.features, use.operator.groups
    if sketched(features, blocks):
        return features * SKETCH
    return features * (features // blocks)
