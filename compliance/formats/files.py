"""Files from elsewhere are read only where they are files; ours appear whole or not at all.

A named pipe waits for ever, a device may never end: neither is opened.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIVATE = 0o600
"""Mode of secrets and weights; a `umask` can only narrow it."""
OPEN = 0o666
"""Mode of everything else, before the `umask`."""
SPECIAL = "no regular file but a pipe, a device or a socket"


def read(path: Path, limit: int | None = None) -> bytes:
    """The bytes of a regular file, up to a limit.

    Raises:
        OSError: it cannot be opened or read, or is a pipe, a device, a socket or a folder.
    """
    # without O_NONBLOCK the opening of a pipe would wait for somebody who writes into it
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(
                errno.EINVAL, "no regular file but a pipe, a device or a socket", str(path)
            )
        return stream.read() if limit is None else stream.read(limit)


def refuse_special(path: Path) -> None:
    """Refuse what is there and is neither a file nor a folder, before another reader opens it.

    Raises:
        OSError: it is a pipe, a device or a socket.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise OSError(
                errno.EINVAL, "no regular file but a pipe, a device or a socket", str(path)
            )


def write(path: Path, content: bytes, *, mode: int = OPEN) -> None:
    """Write a file aside, onto the disk, and give it its name, which then survives a power cut.

    Args:
        path: Its name; never shows a half.
        content: All of it.
        mode: As `open` takes it: the `umask` narrows it.
    Raises:
        OSError: the disk refused; nothing is left behind.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        aside.replace(path)
        sync_folder(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the only one in a block for this file, among processes and threads.

    The lock is on a file beside it, `<name>.lock`, and the kernel frees it when its holder dies.

    Raises:
        OSError: the folder or the lock cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(
        path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE
    )
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
