"""One image inside a file that holds many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Place = tuple[int, int]
"""Where an image lies: offset and bytes in a file, or row group and row in a Parquet file."""
Reader = Callable[[Path, Place], bytes]
"""Reads the image at a place."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of an image.

    Attributes:
        label: Its class.
        md5: Of its bytes, by which DVC would name it.
        place: Where it lies.
    """

    label: int
    md5: str
    place: Place


@dataclass(frozen=True, slots=True)
class Packed:
    """An image, to be opened as a file would be.

    Attributes:
        shard: The file that it lies in.
        origin: That file below its folder, as one word.
        number: Of the image there, from 0.
        place: Where.
        reader: Of such shards.
    """

    shard: Path
    origin: str
    number: int
    place: Place
    reader: Reader

    def read(self) -> bytes:
        """Its bytes, as they were packed.

        Raises:
            OSError: The shard is gone, shorter than it was, or damaged.
        """
        return self.reader(self.shard, self.place)

    @property
    def name(self) -> str:
        """Of the image in a listing: no name out of the shard, which may be a person's."""
        return f"{self.origin}-{self.number:06}"

    def __str__(self) -> str:
        return f"{self.shard}, image {self.number}"
