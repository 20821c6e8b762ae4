"""What is known of a shard, kept by its size and times: it is read once, and not for every command.

Labels are numbers and images are digests here: no name out of a shard is written.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from flows.data import digest_store
from flows.data.packed.record import Entry
from flows.state.files import digest_bytes, write_atomically
from flows.state.paths import Home

FORMAT = 1
Scan = Callable[[Path, str], list[Entry]]
"""Reads a shard, given what else its entries depend on."""


def entries(home: Home, shard: Path, key: str, scan: Scan) -> list[Entry]:
    """A shard's images; read where it is new or has changed.

    Args:
        home: Where it is kept.
        shard: The file.
        key: What else the entries depend on: the column that holds the class.
        scan: Reads the shard.
    Raises:
        DataError: It cannot be read.
    """
    name = digest_bytes(os.fsencode(shard.absolute()) + f"\n{FORMAT}\n{key}".encode())[:16]
    store, stamp, now = home.digests / f"shard-{name}.json", stamp_of(shard), time.time_ns()
    stored = _read(store, stamp)
    if stored is not None:
        return stored
    scanned = scan(shard, key)
    # what changed moments ago may change again within one tick of the clock
    if now - max(stamp[1], stamp[2]) > digest_store.SETTLED and stamp_of(shard) == stamp:
        rows = [[e.label, e.md5, *e.place] for e in scanned]
        write_atomically(store, json.dumps({"stamp": stamp, "rows": rows}).encode())
    return scanned


def stamp_of(path: Path) -> list[int]:
    """What changes whenever a file's bytes may have changed."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]


def _read(store: Path, stamp: list[int]) -> list[Entry] | None:
    """What is kept; None where that is another file's, or damaged: it only saves time."""
    try:
        kept = json.loads(store.read_bytes())
        if kept["stamp"] != stamp:
            return None
        return [Entry(int(c), str(md5), (int(a), int(b))) for c, md5, a, b in kept["rows"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
