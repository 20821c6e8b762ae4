"""Images decoded once: bytes at a model's size in one file, which is never loaded whole.

A cache is named by the digests of its source files and by what was done to them; another order of
the channels' scaling is no other cache, since bytes are kept before that. It is written in chunks,
each on disk before the next: a process that was killed, or a disk that was full, costs one chunk.
The file is whole when `done.json` is there, which has the digest of its bytes. They are read again
only where the file is not the one that was written, by size, times and inode.

Where the disk has no room for it, images are decoded whenever they are asked for: the same bytes,
at the price of decoding in every pass. All are decoded once before that, to name what is broken.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from flows.state import progress
from flows.state.errors import DataError, StoreError
from flows.state.files import canonical, digest_bytes, digest_file, write_atomically
from flows.state.paths import Home

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from compliance.documents.preprocessing import Preprocessing

FORMAT = 1
CHUNK = 512
"""Images that are decoded and written together."""
LISTED = 50
"""Files that cannot be decoded in one message."""
MARGIN = 64 << 20
"""Bytes of the disk that stay free."""

Decode = Callable[[int], "Tensor | str"]
"""An image by its number, (channels, height, width), uint8; or in words why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a cache is made of.

    Attributes:
        name: Of the data set, for messages.
        digests: One for each image, in their order.
        shape: (channels, height, width) of each.
        geometry: What is done to the images before their bytes are kept.
    """

    name: str
    digests: Sequence[str]
    shape: tuple[int, int, int]
    geometry: dict[str, Any]

    @property
    def key(self) -> str:
        """What the cache is named by."""
        import PIL
        import torchvision

        # another version may decode or resize to other bytes
        versions = [PIL.__version__, torchvision.__version__]
        content = [FORMAT, versions, self.geometry, list(self.shape), list(self.digests)]
        return digest_bytes(canonical(content))

    @property
    def size(self) -> int:
        """Bytes of one image."""
        channels, height, width = self.shape
        return channels * height * width


class Kept:
    """The rows of a cache, (n, channels, height, width), uint8: read from disk when asked for.

    Read and not mapped: pages of a mapping count as memory of this process until the system takes
    them back. What was read lately the system keeps in memory anyway, as far as there is room.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape = path, shape
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # a data set is kept for the whole process: the file goes with it
        weakref.finalize(self, os.close, self.descriptor)

    def read(self, rows: Tensor) -> Tensor:
        """Some of them.

        Raises:
            StoreError: The file is cut short.
        """
        import torch

        images = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8)
        flat = images.numpy().reshape(-1)
        size = len(flat) // max(1, len(rows))
        for place, row in enumerate(rows.tolist()):
            part = flat[place * size : (place + 1) * size]
            if os.preadv(self.descriptor, [part.data], row * size) != size:
                raise StoreError(
                    f"{self.path} is shorter than it was. Delete its folder; the same command "
                    "decodes the images again."
                )
        return images


class Streamed:
    """The same rows, decoded whenever they are asked for.

    Attributes:
        shape: (n, channels, height, width).
        decoded: Images that this process has decoded so far.
    """

    def __init__(self, source: Source, decode: Decode) -> None:
        self.shape = (len(source.digests), *source.shape)
        self.decoded = 0
        self._source, self._decode = source, decode

    def read(self, rows: Tensor) -> Tensor:
        """Some of them, several at a time.

        Raises:
            DataError: A file cannot be decoded any more.
        """
        import torch

        numbers = rows.tolist()
        if len(numbers) == 1:
            images = [self._decode(numbers[0])]
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                images = list(pool.map(self._decode, numbers))
        _refuse_broken(self._source, [each for each in images if isinstance(each, str)])
        self.decoded += len(images)
        return torch.stack([each for each in images if not isinstance(each, str)])


def geometry_of(preprocessing: Preprocessing) -> dict[str, Any]:
    """All of it but the scaling, which is done to each batch."""
    return {k: v for k, v in preprocessing.content().items() if k not in ("mean", "std")}


def kept(home: Home, source: Source, decode: Decode) -> Kept | Streamed:
    """The cache of these images; decoded where it is not there, or goes on where it stopped.

    Where the disk has no room for it, nothing is kept of them but that all can be decoded.

    Raises:
        DataError: Images cannot be decoded: all of them, by file.
        StoreError: No space, or no permission. What was decoded stays for the next run.
    """
    folder = home.images / source.key
    shape = (len(source.digests), *source.shape)
    try:
        if not _is_whole(folder, source):
            home.locks.mkdir(parents=True, exist_ok=True)
            with FileLock(home.locks / f"images-{source.key[:16]}.lock"):
                if not _is_whole(folder, source):
                    folder.mkdir(parents=True, exist_ok=True)
                    if not _has_room(folder, source):
                        _decode_all(folder, source, decode)
                        return Streamed(source, decode)
                    _fill(folder, source, decode)
        return Kept(folder / "pixels", shape)
    except (OSError, StoreError) as problem:
        done = _progress(folder) * CHUNK
        reason = getattr(problem, "strerror", None) or str(problem).rstrip(".")
        raise StoreError(
            f"Cannot keep the decoded images of '{source.name}' in {folder}: "
            f"{reason}. {min(done, len(source.digests))} of "
            f"{len(source.digests)} are there and stay. They take "
            f"{len(source.digests) * source.size / 1e9:.1f} GB in all: free some space or make the "
            "folder writable, then run the same command again."
        ) from problem


def _is_whole(folder: Path, source: Source) -> bool:
    """Whether the file is the one that was written; a damaged one is deleted."""
    note, pixels = folder / "done.json", folder / "pixels"
    if not (note.exists() and pixels.exists()):
        return False
    try:
        written = json.loads(note.read_bytes())
        stamp, sha256 = written["stamp"], written["sha256"]
    except (ValueError, KeyError, TypeError):
        note.unlink()  # half a note: the pixels are written again
        return False
    if stamp == stamp_of(pixels):
        return True
    if pixels.stat().st_size == len(source.digests) * source.size and digest_file(pixels) == sha256:
        _write_note(folder, sha256)  # copied or restored: the bytes are the same
        return True
    shutil.rmtree(folder)
    return False


def stamp_of(path: Path) -> list[int]:
    """What changes whenever a file's bytes may have changed: size, times, inode."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _write_note(folder: Path, sha256: str) -> None:
    note = {"sha256": sha256, "stamp": stamp_of(folder / "pixels")}
    write_atomically(folder / "done.json", json.dumps(note).encode())


def _fill(folder: Path, source: Source, decode: Decode) -> None:
    """Decode what is not there yet, chunk by chunk; nothing is kept of images that cannot be."""
    pixels, count = folder / "pixels", len(source.digests)
    first = _chunks(folder, source)
    problems: list[str] = []
    with pixels.open("r+b" if first else "wb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        file.truncate(first * CHUNK * source.size)
        file.seek(0, os.SEEK_END)
        for start in range(first * CHUNK, count, CHUNK):
            progress.current().advance("decoding images", start, count)
            numbers = range(start, min(start + CHUNK, count))
            images = list(pool.map(decode, numbers))
            broken = [image for image in images if isinstance(image, str)]
            problems += broken
            if problems:
                continue  # all of them are listed together
            for image in images:
                file.write(_bytes(image, source))
            file.flush()
            os.fsync(file.fileno())
            write_atomically(folder / "progress.json", json.dumps(start // CHUNK + 1).encode())
    if problems:
        shutil.rmtree(folder)
    _refuse_broken(source, problems)
    _write_note(folder, digest_file(pixels))
    (folder / "progress.json").unlink(missing_ok=True)
    progress.current().advance("decoding images", count, count)


def _progress(folder: Path) -> int:
    """Chunks that are on disk for sure."""
    try:
        return int(json.loads((folder / "progress.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return 0


def _chunks(folder: Path, source: Source) -> int:
    """Chunks that an earlier run has left."""
    pixels = folder / "pixels"
    first = _progress(folder) if pixels.exists() else 0
    whole = first * CHUNK * source.size
    return first if not first or pixels.stat().st_size >= whole else 0


def _has_room(folder: Path, source: Source) -> bool:
    """Whether the disk can hold what is not there yet."""
    needed = (len(source.digests) - _chunks(folder, source) * CHUNK) * source.size
    return needed + MARGIN <= shutil.disk_usage(folder).free


def _decode_all(folder: Path, source: Source, decode: Decode) -> None:
    """Decode every image once and keep none, so that all broken ones are named before the rest."""
    note, count = folder / "decoded.json", len(source.digests)
    if note.exists():
        return
    problems: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, count, CHUNK):
            what = "checking images, for which the disk has no room decoded"
            progress.current().advance(what, start, count)
            images = pool.map(decode, range(start, min(start + CHUNK, count)))
            problems += [image for image in images if isinstance(image, str)]
    _refuse_broken(source, problems)
    write_atomically(note, json.dumps({"images": count}).encode())


def _refuse_broken(source: Source, problems: Sequence[str]) -> None:
    if not problems:
        return
    rest = f"\nAnd {len(problems) - LISTED} more." if len(problems) > LISTED else ""
    raise DataError(
        f"'{source.name}': {len(problems)} of {len(source.digests)} images cannot be used. "
        + "\n".join(problems[:LISTED])
        + rest
    )


def _bytes(image: Any, source: Source) -> bytes:
    if tuple(image.shape) != source.shape:
        raise DataError(
            f"'{source.name}': an image came out as {tuple(image.shape)}, not {source.shape}."
        )
    array: np.ndarray = image.contiguous().numpy()
    return array.tobytes()


def digest_of(image: Tensor) -> str:
    """sha256 of an image's bytes and shape, where it comes from no file."""
    plain = image.contiguous()
    shape = f"{tuple(plain.shape)} {plain.dtype}\n".encode()
    return hashlib.sha256(shape + plain.numpy().tobytes()).hexdigest()
