"""Images as the audits read them: a tensor, or what gives tensors batch by batch."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any, Protocol

from torch import Tensor

VALUES = 512 * 3 * 64 * 64
"""Numbers in a batch at most: 512 images of 64x64 in colour, 41 of 224x224. What a network keeps of
a batch grows with it."""
FEWEST = 8
"""Rows in a batch at least, however large they are."""


class Images(Protocol):
    """Rows of images, (n, ...), float32, of which never more than was asked for must be held.

    A `Tensor` is one. The names are its own, so that both are read by the same code.
    """

    @property
    def shape(self) -> Any:
        """(n, ...), as a tensor has it."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> Tensor:
        """These rows, in memory."""
        ...

    def split(self, size: int) -> Iterable[Tensor]:
        """All rows, so many at a time."""
        ...

    def index_select(self, dim: int, index: Tensor) -> Images:
        """Some rows, of `dim` 0, in the given order."""
        ...


def at_once(images: Images, most: int) -> int:
    """Rows of a batch: so many at most, fewer where they are large.

    >>> import torch
    >>> at_once(torch.empty(1, 3, 64, 64), 512), at_once(torch.empty(1, 3, 224, 224), 512)
    (512, 41)
    """
    return min(most, max(FEWEST, VALUES // max(1, prod(images.shape[1:]))))


def on_device(batch: Tensor, like: Tensor) -> Tensor:
    """A batch where another tensor is; to a GPU from pinned memory, so that none waits for it."""
    if like.device.type == "cuda" and batch.device.type == "cpu":
        return batch.pin_memory().to(like.device, non_blocking=True)
    return batch.to(like.device)
