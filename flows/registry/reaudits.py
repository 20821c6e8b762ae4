"""Re-audits that are signed: only such a PASSED takes back one that did not pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from compliance.formats import strict_json
from compliance.ledger import Entry, Ledger, reaudits
from compliance.signing import SigningKey, Trust, envelope
from flows.state.paths import Home


def sign(
    home: Home,
    event: str,
    key: SigningKey,
    *,
    model: str,
    body: Mapping[str, Any],
    payload_type: str = reaudits.TYPE,
) -> str:
    """The re-audit's facts in an envelope, bound to where the ledger stands now.

    Args:
        home: The state folder.
        event: Whose model was audited again.
        key: The executor's.
        model: SHA-256 of its weights.
        body: The ledger entry's, without the signature.
        payload_type: What the signature is of.
    """
    facts = {
        **body,
        "event": event,
        "model": model,
        "ledger": Ledger(home.ledger).position(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return envelope.sign_bytes(strict_json.canonical(facts), payload_type, key).decode()


def failed(entries: Sequence[Entry], trust: Trust) -> dict[str, str]:
    """Events whose re-audit did not pass, with its time: what is worse is believed unsigned.

    A later PASSED takes it back if a trusted executor signed it, of this very place of this ledger:
    one that was signed before the failure and is entered again does not.
    """
    failures: dict[str, Entry] = {}
    for entry in (each for each in entries if each.kind == reaudits.KIND):
        failure = failures.get(entry.event)
        if entry.body.get("verdict") != "PASSED":
            failures[entry.event] = entry
        elif failure is not None and _is_signed(entry, failure, entries, trust):
            del failures[entry.event]
    return {event: entry.time for event, entry in failures.items()}


def _is_signed(entry: Entry, failure: Entry, entries: Sequence[Entry], trust: Trust) -> bool:
    """Whether a trusted executor has signed this PASSED after that failure."""
    place = reaudits.signed_at(entry, entries, trust)
    return place is not None and failure.seq < place
