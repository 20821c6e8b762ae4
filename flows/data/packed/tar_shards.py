"""WebDataset's shards: tar files in which `0001.jpg` and `0001.cls` are one image and its class.

Only headers are read to find the images, and headers are parsed by Python's `tarfile`; the walk is
our own, since each step has to lead forward and stay inside the file. Links, devices and sparse
files are refused: none of them holds an image.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from flows.data.image_layout import SUFFIXES
from flows.data.packed.record import Entry, Place
from flows.state.errors import DataError

ENDING = ".tar"
BLOCK = tarfile.BLOCKSIZE
LONGEST_HEADER = 1 << 20
"""Bytes of an extended header at most: names and times, never more."""
LARGEST = 256 << 20
"""Bytes of one image at most."""
LONGEST_LABEL = 20
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""How files begin that gzip, bzip2, xz or zstd have written."""


@dataclass(slots=True)
class _Sample:
    """The files of one key."""

    key: str
    images: list[Place] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)


def scan(shard: Path, _: str) -> list[Entry]:
    """Every image of a shard with its class.

    Raises:
        DataError: It is no tar file, cut short, or holds images without a class.
    """
    try:
        with shard.open("rb") as file:
            if file.read(6).startswith(COMPRESSED):
                raise DataError(f"{shard} is compressed: unpack it first, as with gunzip.")
            return [_entry(file, shard, sample) for sample in _samples(file, shard)]
    except OSError as problem:
        raise DataError(f"{shard} cannot be read: {problem.strerror or problem}.") from problem


def read(shard: Path, place: Place) -> bytes:
    """The bytes at an offset.

    Raises:
        OSError: The file is gone, or shorter than it was.
    """
    offset, size = place
    descriptor = os.open(shard, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)
    if len(content) != size:
        raise OSError(f"{shard} is shorter than it was")
    return content


def _entry(file: BinaryIO, shard: Path, sample: _Sample) -> Entry:
    if len(sample.images) != 1 or len(sample.labels) != 1:
        raise DataError(
            f"{shard}: a sample near byte {sample.images[0][0] if sample.images else 0} has "
            f"{len(sample.images)} images and {len(sample.labels)} classes (.cls). Each needs one "
            "of both: write the shard anew."
        )
    (place,), (label,) = sample.images, sample.labels
    file.seek(place[0])
    digest = hashlib.md5(file.read(place[1]), usedforsecurity=False).hexdigest()
    return Entry(label, digest, place)


def _samples(file: BinaryIO, shard: Path) -> Iterator[_Sample]:
    """Files with one key beside each other, those that hold an image or a class."""
    sample = _Sample(key="")
    for name, offset, size in _members(file, shard):
        folder, _, base = name.rpartition("/")
        stem, _, ending = base.partition(".")
        key = f"{folder}/{stem}"
        if key != sample.key:
            if sample.images or sample.labels:
                yield sample
            sample = _Sample(key=key)
        last = f".{ending.rpartition('.')[2].lower()}"
        if last == ".cls":
            sample.labels.append(_label(file, shard, offset, size))
        elif last in SUFFIXES:
            if size > LARGEST:
                raise DataError(f"{shard}: an image at byte {offset} has {size} bytes. Remove it.")
            sample.images.append((offset, size))
    if sample.images or sample.labels:
        yield sample


def _label(file: BinaryIO, shard: Path, offset: int, size: int) -> int:
    file.seek(offset)
    text = file.read(min(size, LONGEST_LABEL + 1)).strip()
    if size > LONGEST_LABEL or not text.isdigit():
        raise DataError(
            f"{shard}: the class (.cls) at byte {offset} is no number. Write the index of each "
            "image's class, from 0, as text: names do not belong into a record."
        )
    return int(text)


def _members(file: BinaryIO, shard: Path) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of every regular file, each further on than the one before."""
    whole, place = os.fstat(file.fileno()).st_size, 0
    longer: dict[str, str] = {}
    while place + BLOCK <= whole:
        file.seek(place)
        block = file.read(BLOCK)
        if not block.strip(b"\0"):
            return  # the end is marked by empty blocks
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as problem:
            raise DataError(
                f"{shard} is no tar file, or damaged, at byte {place} ({problem}). Fetch it again."
            ) from problem
        size = int(longer.get("size", header.size))
        start = place + BLOCK
        place = start + (size + BLOCK - 1) // BLOCK * BLOCK
        if size < 0 or start + size > whole:
            raise DataError(f"{shard} is cut short, or damaged, at byte {start}. Fetch it again.")
        if header.type in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
            longer |= _extended(file, shard, header.type, start, size)
            continue
        name, longer = longer.get("path", header.name), {}
        if header.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
            yield name, start, size
        elif header.type not in (tarfile.DIRTYPE, tarfile.XGLTYPE):
            raise DataError(
                f"{shard} holds a link, a device or a sparse file at byte {start}: a shard has "
                "plain files alone. Write it anew."
            )
    raise DataError(f"{shard} is cut short: its end is not marked. Fetch it again.")


def _extended(file: BinaryIO, shard: Path, kind: bytes, start: int, size: int) -> dict[str, str]:
    """Path and size of the next file, where a header of its own says them."""
    if size > LONGEST_HEADER:
        raise DataError(f"{shard} has a header of {size} bytes at {start}. Write it anew.")
    file.seek(start)
    content = file.read(size)
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {"path": content.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    stated: dict[str, str] = {}
    while content.strip(b"\0"):
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(content):
            raise DataError(f"{shard} has a damaged header at byte {start}. Fetch it again.")
        record, content = content[: int(length)], content[int(length) :]
        key, _, value = record[len(length) + 1 :].rstrip(b"\n").partition(b"=")
        if key == b"path":
            stated["path"] = value.decode("utf-8", "surrogateescape")
        if key == b"size":
            if not value.isdigit():
                raise DataError(f"{shard} has a damaged header at byte {start}. Fetch it again.")
            stated["size"] = value.decode()
        if key.startswith(b"GNU.sparse"):
            raise DataError(f"{shard} holds a sparse file at byte {start}. Write it anew.")
    return stated
