"""index.html in the state folder: a page that leads to every event's reports.

A view of the ledger, written again whenever an event ends. It works from disk: its links are
relative to the state folder.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compliance.ledger import Entry, Ledger
from flows.state import locks
from flows.state.files import write_atomically
from flows.state.paths import Attempt, Home

Facts = dict[str, Any]


def page(home: Home) -> Path:
    """Where the index lies."""
    return home.root / "index.html"


def write(home: Home, now: datetime | None = None) -> Path:
    """Write the index as of now; returns where.

    Under a lock, so that of two writers the one that writes last has read last.
    """
    from compliance.report.index import render_index

    with locks.exclusive(home, "index"):
        at = now or datetime.now(UTC)
        write_atomically(page(home), render_index(content(home, at)).encode())
    return page(home)


def refresh(home: Home) -> None:
    """Write it again after an event ended. What the ledger holds stands, written or not.

    A page that could not be written is logged: it misses the event until the next one ends or
    somebody types `damp report --index`.
    """
    from flows.state.errors import FlowError

    try:
        write(home)
    except (OSError, FlowError) as error:
        logging.getLogger("damp").warning("index.html was not written: %s", error)


def content(home: Home, at: datetime) -> Facts:
    """What the page says, JSON-able.

    Returns:
        `format`, `written` (the time that days are counted from), `entries` and `last` (number of
        ledger entries and time of the last), `events`: rows of the inbox, the ended ones as well,
        each with its `attempts`.
    """
    from compliance.ledger import inbox, states

    entries = Ledger(home.ledger).entries() if home.ledger.exists() else []
    rows = inbox.rows(states.events(entries).values(), at, ended=True)
    attempts = _attempts(home, entries)
    return {
        "format": "damp/index/v1",
        "written": at.isoformat(timespec="seconds"),
        "entries": len(entries),
        "last": entries[-1].time if entries else None,
        "events": [row.to_json() | {"attempts": attempts[row.id]} for row in rows],
    }


def _attempts(home: Home, entries: Sequence[Entry]) -> Mapping[str, list[Facts]]:
    """The decided attempts of each event."""
    attempts = defaultdict(list)
    for entry in entries:
        if entry.kind == "statement_signed":
            body = entry.body
            attempt = Attempt(home, entry.event, body["attempt"])
            attempts[attempt.event].append(
                {
                    "number": attempt.number,
                    "verdict": body["verdict"],
                    "report": _link(home, attempt.report),
                    "statement": _link(home, attempt.statement),
                }
            )
    return attempts


def _link(home: Home, path: Path) -> str | None:
    """The path relative to the page; None where there is no such file in the state folder."""
    if not path.is_file() or not path.resolve().is_relative_to(home.root.resolve()):
        return None
    return home.relative(path)
