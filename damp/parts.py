"""Work on rows in parts: what is needed on the way stays small, whatever the number of rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PART = 1 << 25
"""Bytes of the rows that are worked on at a time."""


def in_parts(work: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """What a function gives for rows, of each of which it makes something of its own.

    >>> in_parts(lambda part: part.sum(1), torch.ones(3, 2)).tolist()
    [2.0, 2.0, 2.0]

    Args:
        work: From (b, ...) to (b, ...), no row depending on another.
        rows: (n, ...).
    """
    parts = [work(part) for part in rows.split(part_rows(rows))]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def part_rows(rows: Tensor) -> int:
    """How many rows are worked on at a time."""
    size = rows.element_size() * (rows.numel() // max(len(rows), 1))
    return max(1, PART // max(size, 1))
