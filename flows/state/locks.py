"""One event at a time on one model lineage, held by the kernel and freed when the process dies.

Where several machines work on one registry (`locks_url`), an advisory lock in PostgreSQL is taken
beside the file's: the database frees it when the connection ends, whatever ended it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from filelock import FileLock, Timeout

from flows.state import secrets
from flows.state.errors import BusyError, ServerError, SettingsError, StoreError
from flows.state.paths import Home
from flows.state.settings import settings


@contextmanager
def lineage(home: Home, name: str) -> Iterator[None]:
    """Hold the lock of the model lineage `name`.

    Raises:
        BusyError: Another event holds it.
        StoreError: The lock file cannot be made.
        ServerError: The database of the locks cannot be reached.
    """
    busy = BusyError(
        f"Another event is running on model '{name}'. Two edits of one model would fork its "
        "lineage. Wait for it (`damp status` shows how far it is), then run this one."
    )
    file = hashlib.sha256(name.encode()).hexdigest()[:16]
    with _file(home, file, busy), _across_machines(f"lineage {name}", busy):
        yield


@contextmanager
def exclusive(home: Home, name: str) -> Iterator[None]:
    """Wait for the lock `name`, and hold it: no other damp process is in the block meanwhile."""
    with _file(home, name, None), _across_machines(name, None):
        yield


@contextmanager
def unless_held(home: Home, name: str) -> Iterator[bool]:
    """Whether the lock `name` is ours in the block: False, at once, where another holds it."""
    busy = BusyError(name)
    with ExitStack() as held:
        try:
            held.enter_context(_file(home, name, busy))
            held.enter_context(_across_machines(name, busy))
        except BusyError:
            alone = False
        else:
            alone = True
        yield alone


@contextmanager
def _file(home: Home, name: str, busy: BusyError | None) -> Iterator[None]:
    """Hold the lock file of that name; `busy` is raised where another holds it, None waits."""
    path = home.locks / f"{name}.lock"
    lock = FileLock(path, timeout=-1 if busy is None else 0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise busy or BusyError(name) from None
    except OSError as error:
        raise StoreError(
            f"Cannot lock {path}: {error.strerror or error}. Make the folder writable for you, or "
            "name another state folder with --home or DAMP_HOME."
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _across_machines(name: str, busy: BusyError | None) -> Iterator[None]:
    """Hold the advisory lock of that name in the database that the settings name, if they do.

    Args:
        name: What is locked.
        busy: Raised where another connection holds it; None to wait.
    """
    url = settings().locks_url
    if url is None:
        yield
        return
    try:
        import psycopg2
    except ImportError as error:
        raise SettingsError(
            "`locks_url` needs the PostgreSQL driver: install damp-unlearning[postgres]."
        ) from error
    try:
        # a machine that vanishes keeps its lock until these probes fail: two minutes
        connection = psycopg2.connect(
            url, connect_timeout=10, keepalives_idle=60, keepalives_interval=20, keepalives_count=3
        )
        connection.autocommit = True
        with connection.cursor() as cursor:
            how = "pg_advisory_lock" if busy is None else "pg_try_advisory_lock"
            cursor.execute(f"select {how}(%s)", [_number(name)])
            acquired = busy is None or cursor.fetchone()[0]
    except psycopg2.Error as error:
        reason = secrets.hidden(str(error).strip())
        raise ServerError(
            f"The database of the locks cannot be used: {reason}. Start it, or fix `locks_url` "
            "(DAMP_LOCKS_URL); without it nothing keeps two machines apart."
        ) from error
    try:
        if not acquired:
            raise busy or BusyError(name)
        yield
    finally:
        connection.close()


def _number(name: str) -> int:
    """The signed 64-bit number that stands for a name in PostgreSQL."""
    return int.from_bytes(hashlib.sha256(f"damp {name}".encode()).digest()[:8], signed=True)
