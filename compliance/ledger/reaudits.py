"""Verdicts of re-audits, signed: an entry alone is the word of whoever can write the file.

A re-audit that did not pass counts, signed or not. One that passed takes that back only if its
entry holds the signature of a trusted auditor or executor over this event and verdict, made when
the failure already stood in the ledger. Any other is shown, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compliance.formats import strict_json
from compliance.formats.errors import ComplianceError
from compliance.formats.timestamps import parse_utc
from compliance.ledger.chain import START, Entry
from compliance.signing import SigningKey, Trust, envelope

KIND = "reaudited"
TYPE = "application/vnd.damp.reaudit+json"
ROLES = ("auditor", "executor")
SIGNED, POSITION = "signed", "ledger"
"""Parts of the body: the envelope around all the others, and where the ledger stood."""


def signed_body(
    event: str, body: Mapping[str, Any], position: Mapping[str, Any], key: SigningKey
) -> dict[str, Any]:
    """The body of an entry, with a signature over it.

    Args:
        event: Whose re-audit.
        body: Its facts.
        position: Where the ledger stands (`Ledger.position`).
        key: An auditor's or the executor's.
    """
    facts = {**body, POSITION: dict(position)}
    content = envelope.sign_bytes(_payload(event, facts), TYPE, key)
    return facts | {SIGNED: content.decode()}


def holds(entry: Entry, entries: Sequence[Entry], trust: Trust) -> bool:
    """Whether a trusted key has signed what an entry says, at the place that it names."""
    facts = {name: value for name, value in entry.body.items() if name != SIGNED}
    try:
        opened = envelope.open_envelope(str(entry.body.get(SIGNED, "")).encode())
        same = (opened.payload_type, opened.payload) == (TYPE, _payload(entry.event, facts))
        written = parse_utc(entry.time)
        signers = [
            s.keyid
            for s in envelope.verify_signatures(opened, trust)
            if s.holds and s.role in ROLES and trust.keys[s.keyid].covers(written)
        ]
    except ComplianceError:
        return False
    return same and bool(signers) and _stood_at(entries, facts.get(POSITION)) is not None


def failed(entries: Sequence[Entry], trust: Trust) -> dict[str, str]:
    """When an event's last re-audit was that did not pass, where none that counts passed since."""
    open_failures: dict[str, Entry] = {}
    for entry in entries:
        if entry.kind != KIND or "verdict" not in entry.body:
            continue
        if entry.body["verdict"] != "PASSED":
            open_failures[entry.event] = entry
            continue
        before = open_failures.get(entry.event)
        if before is None or not holds(entry, entries, trust):
            continue
        if (_stood_at(entries, entry.body[POSITION]) or 0) > before.seq:
            del open_failures[entry.event]
    return {event: entry.time for event, entry in open_failures.items()}


def _payload(event: str, facts: Mapping[str, Any]) -> bytes:
    return strict_json.canonical({"format": "damp/reaudit/v1", "event": event, **facts})


def _stood_at(entries: Sequence[Entry], position: Any) -> int | None:
    """The number of entries at a position, if it is one of this ledger."""
    if not isinstance(position, Mapping):
        return None
    count, previous = position.get("sequence"), position.get("previous")
    if type(count) is not int or not 0 <= count <= len(entries):
        return None
    return count if (entries[count - 1].hash if count else START) == previous else None
