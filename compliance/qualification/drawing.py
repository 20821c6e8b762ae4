"""What nobody may choose: which classes are studied, and which events are checked later.

Both follow from hashes of the ledger that did not exist when there was still something to choose.
Whoever alone writes a ledger could write until a hash suits; a checkpoint that somebody else holds
bounds that to what lies between two of them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

SPOT_CHECK = "spot check"
DIGITS = 16
"""Hexadecimal digits of a hash that a draw uses: 64 bits."""


def strata(measure: Mapping[int, float], count: int) -> list[list[int]]:
    """Classes in groups of near equal size, by a measure of each, ascending.

    >>> strata({0: 3.0, 1: 1.0, 2: 2.0, 3: 9.0, 4: 5.0}, 2)
    [[1, 2, 0], [4, 3]]
    """
    order = sorted(measure, key=lambda c: (measure[c], c))
    size, more = divmod(len(order), count)
    groups, start = [], 0
    for number in range(count):
        end = start + size + (number < more)
        groups.append(order[start:end])
        start = end
    return groups


def classes(measure: Mapping[int, float], count: int, *, head: str) -> tuple[int, ...]:
    """As many classes as are to be studied, one of each stratum, in random order.

    Args:
        measure: Separability of every class that could be drawn.
        count: How many.
        head: Hash of the ledger's entry that has fixed the family.
    Raises:
        ValueError: There are fewer.

    >>> measure = {c: float(c) for c in range(10)}
    >>> drawn = classes(measure, 5, head="ab" * 32)
    >>> sorted(c // 2 for c in drawn)
    [0, 1, 2, 3, 4]
    """
    if not 0 < count <= len(measure):
        raise ValueError(f"{count} classes cannot be drawn from {len(measure)}.")
    generator = random.Random(f"classes {head}")  # noqa: S311 - a draw that anyone can repeat
    drawn = [generator.choice(group) for group in strata(measure, count)]
    generator.shuffle(drawn)
    return tuple(drawn)


def is_checked(closing: str, share: float) -> bool:
    """Whether an event is drawn for a spot check, by the hash of the entry that closed it.

    >>> is_checked("0" * 64, 0.1), is_checked("f" * 64, 0.99), is_checked("f" * 64, 1.0)
    (True, False, True)
    """
    return int(closing[:DIGITS], 16) < share * 16**DIGITS


def chosen(closings: Mapping[str, str], share: float) -> Sequence[str]:
    """The events that are drawn, of events by the hash that closed each."""
    return [event for event, closing in closings.items() if is_checked(closing, share)]
