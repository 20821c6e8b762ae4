"""Whether a ledger bears a statement out: its place, its plan, its entry, its earlier attempts.

The whole ledger can be at hand, or only a signed checkpoint of it with the proof of one entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from compliance.formats.errors import LedgerError, NoteError
from compliance.ledger import Entry, append_file, chain, checkpoint, merkle, proofs
from compliance.ledger.chain import START
from compliance.ledger.checkpoint import Checkpoint
from compliance.signing import Trust


def problems(
    path: Path,
    told: Mapping[str, Any],
    digest: str,
    *,
    trust: Trust,
    held: Path | None = None,
) -> list[str]:
    """What speaks against it; empty where nothing does.

    Args:
        path: The ledger.
        told: The statement.
        digest: SHA-256 of its signed bytes.
        trust: Whose checkpoints count.
        held: File of a checkpoint that somebody else kept.
    """
    try:
        content = append_file.must_read(path)
        entries, check = chain.read(content)
        if check.broken is not None:
            return [f"The ledger does not hold from entry {check.broken} on. {check.problem}"]
        kept = [] if held is None else [checkpoint.load(held, trust)]
    except (LedgerError, NoteError) as error:
        return [str(error)]
    lines = chain.split(content)[0]
    behind = [problem for one in kept for problem in against(one, lines, entries)]
    return [*behind, *_problems(entries, told["predicate"], digest)]


def against(held: Checkpoint, lines: Sequence[bytes], entries: Sequence[Entry]) -> Iterator[str]:
    """Why a ledger is not the one of a checkpoint, or has lost or changed what stood there."""
    origin = entries[0]["body"].get("origin") if entries else None
    if held.origin != origin:
        yield f"The checkpoint is of {held.origin}, this is ledger {origin}."
    elif held.size > len(lines):
        yield (
            f"The ledger had {held.size} entries at the checkpoint and has {len(lines)}: its tail "
            "was cut off."
        )
    elif merkle.root(map(merkle.leaf_hash, lines[: held.size])) != held.root:
        yield (
            f"The first {held.size} entries are not those of the checkpoint: the ledger was "
            "written anew, or two ledgers carry one name."
        )


def proof_problems(path: Path, told: Mapping[str, Any], digest: str, *, trust: Trust) -> list[str]:
    """What speaks against a statement whose ledger entry comes with a proof instead of the ledger.

    Args:
        path: File of the proof.
        told: The statement.
        digest: SHA-256 of its signed bytes.
        trust: Whose checkpoints count.
    """
    try:
        found = proofs.check_inclusion(append_file.must_read(path), trust)
    except (LedgerError, NoteError) as error:
        return [str(error)]
    return list(_proof_problems(found, told["predicate"], digest))


def _proof_problems(
    found: proofs.Included, predicate: Mapping[str, Any], digest: str
) -> Iterator[str]:
    event, entry = predicate["event"], found.entry
    if found.checkpoint.origin != event["ledger"]["origin"]:
        yield (
            f"The proof is of {found.checkpoint.origin}; the statement belongs to "
            f"{event['ledger']['origin']}."
        )
    named = (entry.get("kind"), entry.get("event"), entry.get("body", {}).get("statement"))
    if named != ("statement_signed", event["id"], digest):
        yield f"Entry {found.index}, which is proved, is not the one of this statement."
    elif entry["body"].get("verdict") != predicate["verdict"]["result"]:
        yield f"Ledger entry {found.index} tells another verdict than the statement."
    elif found.index < event["ledger"]["sequence"]:
        yield f"Ledger entry {found.index} is older than the statement that it names."


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
