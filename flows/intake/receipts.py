"""Receipts: the ledger entry that makes a document an event, and where the document came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compliance.documents import deadlines
from compliance.documents.policy import Policy
from compliance.ledger import states
from compliance.ledger.ledger import Ledger
from flows.state.files import write_atomically
from flows.state.paths import Home

KIND, KEY = "request_received", "receipt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What somebody learns who hands a document in.

    Attributes:
        id: Of the event.
        due: When an answer is owed.
        new: False where the same document was received before: it has no second effect.
    """

    id: str
    due: str
    new: bool

    def to_json(self) -> dict[str, Any]:
        """The fields of `damp submit --json`."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a document was handed in, kept beside its bytes.

    Attributes:
        folder: Its folder: relative paths in it start there.
        files: SHA-256 of each of a claim's models; None for a request.
    """

    folder: Path
    files: Mapping[str, str] | None = None

    @classmethod
    def read(cls, home: Home, event: str) -> Origin:
        """That of an event."""
        content = json.loads(_file(home, event).read_text())
        return cls(folder=Path(content["folder"]), files=content.get("files"))

    def write(self, home: Home, event: str) -> None:
        """Keep it for the event."""
        content: dict[str, Any] = {"folder": str(self.folder)}
        if self.files is not None:
            content["files"] = dict(self.files)
        write_atomically(_file(home, event), json.dumps(content).encode())


def _file(home: Home, event: str) -> Path:
    return home.event(event) / "origin.json"


def log(
    home: Home,
    event: str,
    *,
    document: str,
    regulation: str,
    policy: Policy,
    identity: str,
    **more: bool,
) -> None:
    """Enter the receipt of a document, given by its digest; its clock starts now."""
    received = datetime.now(UTC)
    body = {
        "request": document,
        "received": received.isoformat(timespec="seconds"),
        "due": deadlines.due_at(received, regulation, policy).isoformat(timespec="seconds"),
        "regulation": regulation,
        "identity": identity,
        "signoffs": list(policy.signoffs),
        **more,
    }
    Ledger(home.ledger).append_once(KIND, event, KEY, body)


def logged(home: Home, event: str) -> str | None:
    """Digest of the document that was received for an event; None where none was."""
    entry = Ledger(home.ledger).find(KIND, event, KEY)
    return None if entry is None else str(entry["body"]["request"])


def receipt(home: Home, event: str, *, new: bool) -> Receipt:
    """What is answered to whoever handed the event's document in."""
    due = states.current(Ledger(home.ledger).entries(), event).due
    return Receipt(id=event, due=due, new=new)
