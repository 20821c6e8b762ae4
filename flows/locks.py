"""One event at a time on one model lineage, held by the kernel and freed when the process dies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from flows.errors import BusyError, StoreError
from flows.layout import Home


@contextmanager
def lineage(home: Home, name: str) -> Iterator[None]:
    """Hold the lock of the model lineage `name`.

    Raises:
        BusyError: Another event holds it.
    """
    path = home.locks / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout:
        raise BusyError(
            f"Another event is running on model '{name}'. Two edits of one model would fork its "
            "lineage. Wait for it (`damp status` shows how far it is), then run this one."
        ) from None
    except OSError as error:
        raise StoreError(
            f"Cannot lock {path}: {error.strerror or error}. Make the folder writable for you, or "
            "name another state folder with --home or DAMP_HOME."
        ) from error
    try:
        yield
    finally:
        lock.release()
