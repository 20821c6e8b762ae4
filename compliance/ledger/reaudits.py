"""Signatures of re-audits: an entry alone is the word of whoever can write the file.

An entry counts as signed if a trusted executor signed its event, attempt, verdict and findings, and
where the ledger stood then. What decides over a promotion is in `flows.registry.reaudits`; the
report shows which re-audits nobody has signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from compliance.formats import strict_json
from compliance.formats.errors import ComplianceError
from compliance.formats.timestamps import parse_utc
from compliance.ledger.chain import Entry
from compliance.signing import Trust, envelope

if TYPE_CHECKING:
    from compliance.signing.envelope import Opened

KIND = "reaudited"
TYPE = "application/vnd.damp.reaudit+json"
"""Payload type: the signature of a re-audit is none of a statement."""
ROLE = "executor"
SIGNED = "signed"
"""The part of the body that holds the envelope."""
NAMES = ("event", "attempt", "verdict", "findings")
"""What a signature must say as the entry does."""


def holds(entry: Entry, entries: Sequence[Entry], trust: Trust) -> bool:
    """Whether a trusted executor has signed what an entry says, at a place of this ledger."""
    return signed_at(entry, entries, trust) is not None


def signed_at(
    entry: Entry,
    entries: Sequence[Entry],
    trust: Trust,
    *,
    payload_type: str = TYPE,
    names: Sequence[str] = NAMES,
) -> int | None:
    """How many entries the ledger had when a trusted executor signed what an entry says.

    Args:
        payload_type: What the signature is of.
        names: What it must say as the entry does.
    Returns:
        None where no such signature holds, or where it is of another ledger or another entry.
    """
    try:
        opened = envelope.open_envelope(str(entry.body.get(SIGNED, "")).encode())
        facts = strict_json.loads(opened.payload)
        place, time = facts["ledger"], parse_utc(facts["time"])
        said = {name: facts[name] for name in names}
        sequence, previous = int(place["sequence"]), place["previous"]
    except (ComplianceError, KeyError, TypeError, ValueError):
        return None
    entered = {name: entry.body.get(name) for name in names if name != "event"}
    counts = (
        opened.payload_type == payload_type
        and said == entered | {"event": entry.event}
        and 0 < sequence <= entry.seq
        and entries[sequence - 1].hash == previous
        and _is_by_executor(opened, time, trust)
    )
    return sequence if counts else None


def _is_by_executor(opened: Opened, time: datetime, trust: Trust) -> bool:
    return any(
        one.role == ROLE and one.holds and trust.keys[one.keyid].covers(time)
        for one in envelope.verify_signatures(opened, trust)
    )
