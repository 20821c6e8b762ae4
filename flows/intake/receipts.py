"""Receipts: the ledger entry that makes a document an event, and where the document came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance.documents.policy import Policy
from compliance.formats import files, strict_json
from compliance.formats.errors import JsonError
from compliance.ledger import Ledger, states
from flows.intake.clock import Clock
from flows.intake.forecasts import Foreseen
from flows.state.errors import EventError
from flows.state.files import write_atomically
from flows.state.paths import Home

Facts = dict[str, Any]

KIND, KEY = "request_received", "receipt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What somebody learns who hands a document in.

    Attributes:
        id: Of the event.
        due: When an answer is owed.
        new: False where the same document was received before: it has no second effect.
        warnings: About dates of a new one that cannot be, in sentences.
        foreseen: What a new request can be expected to come to; None of claims and old ones.
    """

    id: str
    due: str
    new: bool
    warnings: tuple[str, ...] = ()
    foreseen: Foreseen | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields of `damp submit --json`."""
        fields = {"id": self.id, "due": self.due, "new": self.new, "warnings": list(self.warnings)}
        return fields | {"forecast": self.foreseen.to_json() if self.foreseen else None}


def enter(
    home: Home,
    event: str,
    file: Path,
    content: bytes,
    origin: Facts,
    *,
    document: str,
    regulation: str,
    policy: Policy,
    started: Clock,
    identity: str,
    **more: bool | Mapping[str, str],
) -> None:
    """Keep a document's bytes and origin, then log its receipt: the entry makes it an event.

    Args:
        home: The state folder.
        event: Its id.
        file: Where the bytes are kept.
        content: The bytes.
        origin: Its `folder`, where relative paths in it start; a claim's models by digest, `files`.
        document: Digest of what it says.
        regulation: The ground.
        policy: Which sign-offs it needs.
        started: When it was received, and when an answer is owed.
        identity: "required" where somebody has to verify who asks.
        more: Further facts of the entry.
    """
    write_atomically(file, content)
    write_atomically(_origin(home, event), json.dumps(origin).encode())
    body = {
        "request": document,
        "received": started.received.isoformat(timespec="seconds"),
        "due": started.due.isoformat(timespec="seconds"),
        "regulation": regulation,
        "identity": identity,
        "signoffs": list(policy.signoffs),
        **more,
    }
    Ledger(home.ledger).append_once(KIND, event, KEY, body)


def origin(home: Home, event: str) -> Facts:
    """The origin that was kept.

    Raises:
        EventError: It is gone, or says something else.
    """
    place = _origin(home, event)
    try:
        content = strict_json.loads(files.read(place), str(place))
    except (OSError, JsonError) as error:
        raise EventError(
            f"{place}, which says where the event's files lie, cannot be read: {error} Restore it."
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("folder"), str):
        raise EventError(f"{place} does not say where the event's files lie: restore it.")
    return content


def _origin(home: Home, event: str) -> Path:
    return home.event(event) / "origin.json"


def logged(home: Home, event: str) -> str | None:
    """Digest of the document that was received for an event; None where none was."""
    entry = Ledger(home.ledger).find(KIND, event, KEY)
    return None if entry is None else str(entry.body["request"])


def receipt(home: Home, event: str, *, new: bool, warnings: tuple[str, ...] = ()) -> Receipt:
    """What is answered to whoever handed the event's document in."""
    due = states.current(Ledger(home.ledger).entries(), event).due
    return Receipt(id=event, due=due, new=new, warnings=warnings)
