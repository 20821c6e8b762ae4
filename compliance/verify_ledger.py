"""Whether a ledger bears a statement out: plan before audit, every attempt told, nothing rewritten.

Of each kind of entry these parts of the body are read: `plan_registered`: attempt, digest.
`statement_signed`: attempt, verdict, statement (SHA-256 of the signed bytes).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from compliance.chain import START, Entry
from compliance.errors import LedgerError
from compliance.ledger import Ledger, verify


def problems(path: Path, told: Mapping[str, Any], digest: str) -> list[str]:
    """What speaks against it; empty where nothing does.

    Args:
        path: The ledger.
        told: The statement.
        digest: SHA-256 of its signed bytes.
    """
    try:
        check = verify(path)
        if check.broken is not None:
            return [f"The ledger does not hold from entry {check.broken} on. {check.problem}"]
        entries = Ledger(path).entries()
    except LedgerError as error:
        return [str(error)]
    return list(_problems(entries, told["predicate"], digest))


def _problems(entries: Sequence[Entry], predicate: Mapping[str, Any], digest: str) -> Iterator[str]:
    event = predicate["event"]
    own = [entry for entry in entries if entry["event"] == event["id"]]
    signed = [entry for entry in own if entry["kind"] == "statement_signed"]
    yield from _position(entries, event["ledger"])
    yield from _plan(entries, predicate)
    here = next((entry for entry in signed if entry["body"].get("statement") == digest), None)
    if here is None:
        yield f"The ledger does not hold this statement ({digest[:16]}) for event {event['id']}."
        return
    if here["body"].get("verdict") != predicate["verdict"]["result"]:
        yield f"Ledger entry {here['seq']} tells another verdict than the statement."
    if here["seq"] < event["ledger"]["sequence"]:
        yield f"Ledger entry {here['seq']} is older than the statement that it names."
    yield from _attempts([entry for entry in signed if entry["seq"] < here["seq"]], event)


def _position(entries: Sequence[Entry], told: Mapping[str, Any]) -> Iterator[str]:
    """The ledger must still be the one that the statement's author saw."""
    origin = entries[0]["body"].get("origin") if entries else None
    if origin != told["origin"]:
        yield f"This is ledger {origin}; the statement belongs to {told['origin']}."
        return
    count = told["sequence"]
    if count > len(entries):
        yield f"The ledger had {count} entries and has {len(entries)}: its tail was cut off."
    elif (entries[count - 1]["hash"] if count else START) != told["previous"]:
        yield f"Ledger entry {count - 1} is not the one that the statement was written after."


def _plan(entries: Sequence[Entry], predicate: Mapping[str, Any]) -> Iterator[str]:
    plan, event = predicate["auditPlan"], predicate["event"]
    number = plan["ledgerSequence"]
    entry = entries[number] if number < len(entries) else None
    if entry is None or (entry["kind"], entry["event"]) != ("plan_registered", event["id"]):
        yield f"Ledger entry {number} is not the audit plan of event {event['id']}."
    elif entry["body"].get("digest") != plan["digest"]:
        yield f"Ledger entry {number} holds another audit plan than the statement."


def _attempts(earlier: Sequence[Entry], event: Mapping[str, Any]) -> Iterator[str]:
    """Every earlier statement of the event must be told, in order."""
    known = [(e["body"].get("statement"), e["body"].get("verdict")) for e in earlier]
    listed = [(a["statementDigest"], a["verdict"]) for a in event["previousAttempts"]]
    if known != listed:
        yield (
            f"The ledger knows {len(known)} earlier attempts of this event, the statement tells "
            f"{len(listed)}, and they are not the same."
        )
