"""Stored images as a model sees them, batch by batch: what is held stays small.

The rows lie in a tensor, or in a file of bytes. What a model sees of them is made
when a batch is asked for: pixels in [0, 1], resized where they are not yet, and normalised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from audits.augmentation import Augmentation
    from audits.images import Images
    from compliance.documents.preprocessing import Preprocessing


class Store(Protocol):
    """Rows by number, (n, channels, height, width), uint8 or float32."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def read(self, rows: Tensor) -> Tensor:
        """Some of them, in memory."""
        ...


class InMemory:
    """Rows of a tensor."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.rows.shape)

    def read(self, rows: Tensor) -> Tensor:
        """Some of them."""
        return self.rows[rows]


class View:
    """Some rows of a store in some order, as float32; it can be read like a tensor (`Images`).

    Args:
        store: All rows.
        places: Which of them, (n,), int64.
        transform: From a batch as it is stored to what the model sees.
        shape: (channels, height, width) of that.
        whole: Whether the bytes of a row, where it is named by them, are those that are stored;
            else those of what the model sees.
    """

    dtype = torch.float32
    ndim = 4

    def __init__(
        self,
        store: Store,
        places: Tensor,
        transform: Callable[[Tensor], Tensor],
        shape: tuple[int, int, int],
        *,
        whole: bool,
    ) -> None:
        self.store, self.places, self.transform = store, places, transform
        self.shape = (len(places), *shape)
        self.whole = whole

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> Tensor:
        places = self.places[rows]
        if places.ndim == 0:
            return self.transform(self.store.read(places[None]))[0]
        if not len(places):
            return torch.empty((0, *self.shape[1:]))
        return self.transform(self.store.read(places))

    def __iter__(self) -> Iterator[Tensor]:
        return (self[row] for row in range(len(self)))

    def split(self, size: int) -> Iterator[Tensor]:
        """All rows, so many at a time."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def altered(self, rows: Tensor, augmentation: Augmentation) -> Tensor:
        """These rows, changed at random as they are stored, then as the model sees them."""
        from audits.augmentation import changed

        return self.transform(changed(self.store.read(self.places[rows]), augmentation))

    def index_select(self, dim: int, index: Tensor) -> View:
        """The view of some rows, in the given order.

        Raises:
            ValueError: Another dimension than the first.
        """
        if dim != 0:
            raise ValueError(f"Rows lie along dimension 0, not {dim}.")
        return self._of(self.places[index])

    def joined(self, other: View) -> View:
        """This view's rows, then another's of the same store.

        Raises:
            ValueError: It is one of another store.
        """
        if self.store is not other.store:
            raise ValueError("Only views of one store can be joined.")
        return self._of(torch.cat([self.places, other.places]))

    def row_bytes(self, row: int) -> bytes:
        """What a row is named by in digests: its bytes as stored, or as float32 in [0, 1]."""
        stored = self.store.read(self.places[row : row + 1])
        return bytes(
            (stored if self.whole else self.transform(stored)).contiguous().numpy().tobytes()
        )

    def stored(self, rows: Tensor) -> Tensor:
        """Some rows as they are stored."""
        return self.store.read(self.places[rows])

    def stored_bytes(self, row: int) -> bytes:
        """A row's bytes as stored: equal ones are equal images."""
        return bytes(self.store.read(self.places[row : row + 1]).numpy().tobytes())

    def _of(self, places: Tensor) -> View:
        return View(self.store, places, self.transform, self.shape[1:], whole=self.whole)


def chosen(images: Images, rows: Tensor) -> Images:
    """Some rows by number or by a mask, (n,), bool; a copy of a tensor, a view of a view."""
    return images.index_select(0, rows.nonzero().flatten() if rows.dtype == torch.bool else rows)


def joined(parts: Sequence[Images]) -> Images:
    """The rows of several, one after the other."""
    first, *others = parts
    if isinstance(first, View):
        for other in others:
            if not isinstance(other, View):
                raise TypeError("A view and a tensor cannot be joined.")
            first = first.joined(other)
        return first
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if len(tensors) != len(parts):
        raise TypeError("A view and a tensor cannot be joined.")
    return torch.cat(tensors)


def scaled(batch: Tensor) -> Tensor:
    """Bytes as pixels in [0, 1], float32; what is float32 already stays as it is.

    Divided, not multiplied by 1 / 255, whose results differ in the last bit.
    """
    return batch.float() / 255 if batch.dtype == torch.uint8 else batch


def normalised(batch: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Pixels in [0, 1] less the mean, divided by the standard deviation, channel by channel."""
    from torchvision.transforms.v2 import functional

    plain = not any(preprocessing.mean) and all(value == 1 for value in preprocessing.std)
    if plain:
        return batch
    return functional.normalize(batch, list(preprocessing.mean), list(preprocessing.std))


def of_arrays(rows: Tensor, preprocessing: Preprocessing) -> View:
    """Arrays in [0, 1] resized, cropped and normalised when they are read.

    Raises:
        ValueError: They have other channels than the model takes, or are smaller than the crop.
    """
    from flows.data import geometry

    channels, height, width = rows.shape[1:]
    if preprocessing.interpolation == "lanczos" and preprocessing.resize is not None:
        raise ValueError("torchvision resizes pictures by lanczos, and these are arrays")
    if channels not in (1, preprocessing.channels):
        raise ValueError(
            f"they have {channels} channels, the preprocessing leads to {preprocessing.channels}"
        )
    geometry.refuse_smaller(preprocessing, height, width)

    def transform(batch: Tensor) -> Tensor:
        coloured = batch.expand(-1, preprocessing.channels, -1, -1)
        return normalised(geometry.applied(coloured, preprocessing), preprocessing)

    return View(InMemory(rows), torch.arange(len(rows)), transform, preprocessing.shape, whole=True)
