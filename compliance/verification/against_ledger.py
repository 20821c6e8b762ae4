"""Whether a ledger bears a statement out: its place, its plan, its entry, its earlier attempts.

The whole ledger can be at hand, or only a signed checkpoint of it with the proof of one entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from compliance.formats.errors import LedgerError, NoteError
from compliance.ledger import Entry, append_file, chain, checkpoint, merkle, proofs
from compliance.ledger.bodies import Declared, PlanRegistered, StatementSigned
from compliance.ledger.chain import START
from compliance.ledger.checkpoint import Checkpoint
from compliance.signing import Statement, Trust
from compliance.signing.facts import Attempts, EventFacts, LedgerPosition, Predicate


def problems(
    path: Path, statement: Statement, digest: str, *, trust: Trust, held: Path | None = None
) -> list[str]:
    """What speaks against it; empty where nothing does.

    Args:
        path: The ledger.
        statement: The statement.
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
    return [*behind, *_problems(entries, statement.predicate, digest)]


def against(held: Checkpoint, lines: Sequence[bytes], entries: Sequence[Entry]) -> Iterator[str]:
    """Why a ledger is not the one of a checkpoint, or has lost or changed what stood there."""
    origin = chain.origin(entries)
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


def proof_problems(path: Path, statement: Statement, digest: str, *, trust: Trust) -> list[str]:
    """What speaks against a statement whose ledger entry comes with a proof instead of the ledger.

    Args:
        path: File of the proof.
        statement: The statement.
        digest: SHA-256 of its signed bytes.
        trust: Whose checkpoints count.
    """
    try:
        included = proofs.check_inclusion(append_file.must_read(path), trust)
    except (LedgerError, NoteError) as error:
        return [str(error)]
    return list(_proof_problems(included, statement.predicate, digest))


def _proof_problems(included: proofs.Included, predicate: Predicate, digest: str) -> Iterator[str]:
    event, entry = predicate.event, included.entry
    if included.checkpoint.origin != event.ledger.origin:
        yield (
            f"The proof is of {included.checkpoint.origin}; the statement belongs to "
            f"{event.ledger.origin}."
        )
    signed = entry.read(StatementSigned)
    if (entry.kind, entry.event, signed.statement) != ("statement_signed", event.id, digest):
        yield f"Entry {included.index}, which is proved, is not the one of this statement."
    elif signed.verdict != predicate.verdict.result:
        yield f"Ledger entry {included.index} states another verdict than the statement."
    elif included.index < event.ledger.sequence:
        yield f"Ledger entry {included.index} is older than the statement that it names."


def _problems(entries: Sequence[Entry], predicate: Predicate, digest: str) -> Iterator[str]:
    event = predicate.event
    signed = [
        (entry.seq, entry.read(StatementSigned))
        for entry in entries
        if (entry.event, entry.kind) == (event.id, "statement_signed")
    ]
    yield from _position(entries, event.ledger)
    yield from _plan(entries, predicate)
    here = next((pair for pair in signed if pair[1].statement == digest), None)
    if here is None:
        yield f"The ledger does not hold this statement ({digest[:16]}) for event {event.id}."
        return
    number, own = here
    if own.verdict != predicate.verdict.result:
        yield f"Ledger entry {number} states another verdict than the statement."
    if number < event.ledger.sequence:
        yield f"Ledger entry {number} is older than the statement that it names."
    yield from _attempts([one for seq, one in signed if seq < number], event)


def _position(entries: Sequence[Entry], position: LedgerPosition) -> Iterator[str]:
    """The ledger must still be the one that the statement's author saw."""
    origin, count = chain.origin(entries), position.sequence
    if origin != position.origin:
        yield f"This is ledger {origin}; the statement belongs to {position.origin}."
    elif count > len(entries):
        yield f"The ledger had {count} entries and has {len(entries)}: its tail was cut off."
    elif (entries[count - 1].hash if count else START) != position.previous:
        yield f"Ledger entry {count - 1} is not the one that the statement was written after."


def _plan(entries: Sequence[Entry], predicate: Predicate) -> Iterator[str]:
    plan, event = predicate.audit_plan, predicate.event
    number = plan.ledger_sequence
    entry = entries[number] if number < len(entries) else None
    if entry is None or (entry.kind, entry.event) != ("plan_registered", event.id):
        yield f"Ledger entry {number} is not the audit plan of event {event.id}."
    elif entry.read(PlanRegistered).digest != plan.digest:
        yield f"Ledger entry {number} holds another audit plan than the statement."
    elif _declared(entry.read(PlanRegistered).plan.attempts) != _declared(event.attempts):
        yield (
            f"Ledger entry {number} declares other attempts than the statement, or judges them at "
            "another level."
        )


def _declared(attempts: Declared | Attempts | None) -> tuple[int, tuple[str, ...], float] | None:
    """Which of the declared attempts, and at which error level."""
    return None if attempts is None else (attempts.place, attempts.declared, attempts.level)


def _attempts(earlier: Sequence[StatementSigned], event: EventFacts) -> Iterator[str]:
    """Every earlier statement of the event must be listed, in order."""
    entered = [(one.statement, one.verdict) for one in earlier]
    listed = [(one.statement_digest, one.verdict) for one in event.previous_attempts]
    if entered != listed:
        yield (
            f"The ledger holds {len(entered)} earlier attempts of this event, the statement lists "
            f"{len(listed)}, and they are not the same."
        )
