"""Digests of many files, each read once: what has not changed since is not read again.

Kept by inode with size and times, as DVC and git do it; nobody can set the time of the last change
of a file's status (ctime) by hand. A file that changed moments ago is not kept: two changes within
one tick of the clock would look like one. No name is written: a file's may be a person's.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compliance.formats import files
from flows.state import progress
from flows.state.errors import DataVersionError
from flows.state.files import digest_bytes, write_atomically
from flows.state.paths import Home

SETTLED = 2 * 10**9
"""Nanoseconds after which a file's times tell whether it has changed."""
LARGE = 256 << 10
"""Mean bytes of a file from which several are read at once."""
AT_ONCE = 1 << 20
"""Bytes that are read at a time."""
PART = 4096
"""Files between two lines of progress."""
Stamp = tuple[int, int, int]


def md5s(folder: Path, paths: Sequence[Path], home: Home) -> list[str]:
    """md5 of each file's bytes, in order.

    Args:
        folder: Whose files these are; what is kept of it has its name.
        paths: The files.
        home: Where digests are kept.

    Raises:
        DataVersionError: One is gone or cannot be read.
    """
    store = home.digests / f"{digest_bytes(os.fsencode(folder.absolute()))[:16]}.json"
    before, now = _read(store), time.time_ns()
    stamps = [_stamp(path) for path in paths]
    digests = [before[key][1] if _same(before, key, stamp) else "" for key, stamp in stamps]
    missing = [number for number, digest in enumerate(digests) if not digest]
    whole = sum(stamps[number][1][0] for number in missing)
    # threads that hash small files wait for one another more than they save
    threads = (os.cpu_count() or 1) if whole > LARGE * len(missing) else 1
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(missing), PART):
            progress.current().advance("reading files", start, len(missing))
            part = missing[start : start + PART]
            wanted = (paths[number] for number in part)
            read = map(md5_of, wanted) if threads == 1 else pool.map(md5_of, wanted)
            for number, digest in zip(part, read, strict=True):
                digests[number] = digest
    kept = {
        key: (stamp, digest)
        for (key, stamp), digest in zip(stamps, digests, strict=True)
        if now - max(stamp[1:]) > SETTLED
    }
    if kept != before:
        write_atomically(store, json.dumps(kept).encode())
    return digests


def md5_of(path: Path) -> str:
    """md5 of a file's bytes, by which DVC names it.

    Raises:
        DataVersionError: It is gone or cannot be read.
    """
    total = hashlib.md5(usedforsecurity=False)
    try:
        # without O_NONBLOCK the opening of a pipe would wait for somebody who writes into it
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, files.SPECIAL)
            while part := os.read(descriptor, AT_ONCE):
                total.update(part)
                if len(part) == status.st_size:  # a small file, whole: nothing to ask for again
                    break
        finally:
            os.close(descriptor)
    except OSError as problem:
        raise _unreadable(path, problem) from problem
    return total.hexdigest()


def _stamp(path: Path) -> tuple[str, Stamp]:
    """A file's place on its disk, and what changes with its bytes."""
    try:
        status = path.stat()
    except OSError as problem:
        raise _unreadable(path, problem) from problem
    return f"{status.st_dev}:{status.st_ino}", (
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _same(before: dict[str, tuple[Stamp, str]], key: str, stamp: Stamp) -> bool:
    return key in before and before[key][0] == stamp


def _read(store: Path) -> dict[str, tuple[Stamp, str]]:
    """What is kept; nothing where the file is damaged: it only saves time."""
    try:
        content = json.loads(store.read_bytes())
        return {key: (tuple(stamp), digest) for key, (stamp, digest) in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _unreadable(path: Path, problem: OSError) -> DataVersionError:
    return DataVersionError(
        f"Cannot read {path}: {problem.strerror or problem}. A data version needs every file "
        "of the data set; bring it back, or load the data set again."
    )
