"""A file that grows by whole lines, one writer at a time, each line safe before it counts."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compliance.formats import files
from compliance.formats.errors import LedgerError


def read(path: Path) -> bytes:
    """The file's bytes; none where there is no file yet.

    Raises:
        LedgerError: it is there and cannot be read.
    """
    try:
        return files.read(path)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read: {error.strerror}.") from error


def must_read(path: Path) -> bytes:
    """The bytes of a file that must be there.

    Raises:
        LedgerError: it is not, or cannot be read.
    """
    try:
        return files.read(path)
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read: {error.strerror}.") from error


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """A descriptor to append with, while nobody else has one.

    The lock is on a file beside it, `<name>.lock`, and the kernel frees it when its holder dies.

    Raises:
        LedgerError: the folder, the lock or the file cannot be opened.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LedgerError(f"{path}: cannot be locked: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        descriptor = _open(path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    finally:
        os.close(lock)


def _open(path: Path) -> int:
    new = not path.exists()
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise LedgerError(f"{path}: cannot be opened: {error.strerror}.") from error
    if new:
        files.sync_folder(path.parent)
    return descriptor


def add(descriptor: int, line: bytes) -> None:
    """Write a line and wait for the disk; a line that fails to fit leaves nothing behind.

    Raises:
        LedgerError: the disk refused.
    """
    size = os.fstat(descriptor).st_size
    try:
        left = memoryview(line)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    except OSError as error:
        os.ftruncate(descriptor, size)
        raise LedgerError(
            f"The disk refused a ledger entry ({error.strerror}); nothing was added. Make room "
            "and run the command again."
        ) from error


def cut(descriptor: int, size: int) -> None:
    """Drop what stands beyond `size` bytes, on the disk too."""
    os.ftruncate(descriptor, size)
    os.fsync(descriptor)
