"""Re-audits that are signed: only such a PASSED takes back one that did not pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from compliance.formats import strict_json
from compliance.formats.errors import EnvelopeError, JsonError
from compliance.formats.timestamps import parse_utc
from compliance.ledger import Entry, Ledger
from compliance.signing import SigningKey, Trust, envelope
from flows.state.paths import Home

TYPE = "application/vnd.damp.reaudit+json"
"""Payload type: the signature of a re-audit is none of a statement."""


def sign(home: Home, event: str, key: SigningKey, *, model: str, body: Mapping[str, Any]) -> str:
    """The re-audit's facts in an envelope, bound to where the ledger stands now.

    Args:
        home: The state folder.
        event: Whose model was audited again.
        key: The executor's.
        model: SHA-256 of its weights.
        body: The ledger entry's, without the signature.
    """
    facts = {
        **body,
        "event": event,
        "model": model,
        "ledger": Ledger(home.ledger).position(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return envelope.sign_bytes(strict_json.canonical(facts), TYPE, key).decode()


def failed(entries: Sequence[Entry], trust: Trust) -> dict[str, str]:
    """Events whose re-audit did not pass, with its time: what is worse is believed unsigned.

    A later PASSED takes it back if a trusted executor signed it, of this very place of this ledger:
    one that was signed before the failure and is entered again does not.
    """
    failures: dict[str, Entry] = {}
    for entry in (each for each in entries if each.kind == "reaudited"):
        failure = failures.get(entry.event)
        if entry.body.get("verdict") != "PASSED":
            failures[entry.event] = entry
        elif failure is not None and _is_signed(entry, failure, entries, trust):
            del failures[entry.event]
    return {event: entry.time for event, entry in failures.items()}


def _is_signed(entry: Entry, failure: Entry, entries: Sequence[Entry], trust: Trust) -> bool:
    """Whether a trusted executor has signed this PASSED after that failure."""
    try:
        opened = envelope.open_envelope(str(entry.body.get("signed", "")).encode())
        facts = strict_json.loads(opened.payload)
        place, time = facts["ledger"], parse_utc(facts["time"])
        said = {name: facts[name] for name in ("event", "attempt", "verdict", "findings")}
        sequence, previous = int(place["sequence"]), place["previous"]
    except (EnvelopeError, JsonError, KeyError, TypeError, ValueError):
        return False
    entered = {name: entry.body.get(name) for name in ("attempt", "verdict", "findings")}
    return (
        opened.payload_type == TYPE
        and said == entered | {"event": entry.event}
        and failure.seq < sequence <= entry.seq
        and entries[sequence - 1].hash == previous
        and any(
            one.role == "executor" and one.holds and trust.keys[one.keyid].covers(time)
            for one in envelope.verify_signatures(opened, trust)
        )
    )
