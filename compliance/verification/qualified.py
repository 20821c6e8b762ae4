"""The chain from a statement to the qualification that it rests on, followed offline.

What the executor wrote of the event is held against what the qualification says: the family part
by part, the class against the studied range, the share that is kept (computed again from the rows)
against the thresholds. With the ledger also the edits before, the policy, and a suspension.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from compliance.documents.policy import Policy
from compliance.formats import typed
from compliance.formats.errors import FindingsError, LedgerError
from compliance.formats.timestamps import parse_utc
from compliance.ledger import append_file, chain
from compliance.ledger.chain import Entry
from compliance.qualification import checking, family, kept, lineage, qualification, standing
from compliance.qualification.family import Family
from compliance.qualification.qualification import Qualification
from compliance.qualification.study import ClassFacts
from compliance.qualification.thresholds import PASSED
from compliance.signing import Statement, Trust
from compliance.signing.facts import Predicate, QualifiedBy

TOLERANCE = 1e-9


def source_of(statement: Path, given: Path | None, digest: str) -> Path | None:
    """The file of a qualification: the one given, in a folder of them, or beside the statement."""
    if given is not None:
        return checking.find(given, digest) if given.is_dir() else given
    beside = statement.parent / qualification.FILE
    return beside if beside.exists() else None


def problems(
    file: Path, facts: Statement, trust: Trust, *, ledger: Path | None = None
) -> list[str]:
    """What speaks against a statement that rests on a qualification; empty where nothing does.

    Args:
        file: The qualification's envelope.
        facts: The statement.
        trust: Whose signatures count.
        ledger: Of both; None where it is not at hand.
    """
    basis = facts.predicate.qualification
    if basis is None:
        return []
    entries = _entries(ledger)
    checked = checking.check(file, trust, entries=entries)
    if checked.content is None:
        return [f"Its qualification: {problem}" for problem in checked.problems]
    if checked.digest != basis.statement:
        return [
            f"{file} is qualification {checked.digest[:16]}, the statement rests on "
            f"{basis.statement[:16]}."
        ]
    return list(_problems(facts.predicate, basis, checked.content, entries))


def _entries(ledger: Path | None) -> Sequence[Entry] | None:
    """Of a ledger whose chain was checked before; None where it cannot be read."""
    if ledger is None:
        return None
    try:
        return chain.read(append_file.must_read(ledger))[0]
    except LedgerError:
        return None


def _problems(
    predicate: Predicate,
    basis: QualifiedBy,
    content: Qualification,
    entries: Sequence[Entry] | None,
) -> Iterator[str]:
    own = Family.of(typed.plain(basis.family))
    yield from _of_this_event(predicate, own)
    if (basis.classes, basis.passed) != _counts(content):
        yield "It says something else of the classes of its qualification than that does."
    if (basis.name, basis.valid_until) != (content.name, content.valid_until):
        yield "It says another name or date of its qualification than that does."
    if predicate.verdict.result != PASSED:
        return  # it claims nothing that the qualification would have to bear
    finished = parse_utc(predicate.event.finished_at)
    yield from _covered(predicate, basis, content, own, finished)
    if entries is not None:
        yield from _by_ledger(predicate, basis, content, own, entries, finished)
    elif basis.edits == 0 and (own.model, own.data) != (
        content.family.model,
        content.family.data,
    ):
        yield "Its model before, or the data version, is not that of its qualification."


def _counts(content: Qualification) -> tuple[int, int]:
    passed = content.outcome.passed
    return passed.trials, passed.events


def _of_this_event(predicate: Predicate, own: Family) -> Iterator[str]:
    """The family must be that of the statement around it."""
    inputs, event = predicate.inputs, predicate.event
    if own.model != inputs.model_before.digest.sha256 or own.data != inputs.data_before.version:
        yield "The family that it says it is of has another model or data version than the event."
    declared = event.attempts.declared if event.attempts else ()
    if tuple(rung.preset for rung in own.ladder) != declared:
        yield "The family that it says it is of has another ladder than the event declared."
    asked = predicate.method.parameters
    way = tuple(asked.get(name) for name in ("preset", "gain", "sequential"))
    skip = tuple(asked.get("skip") or ())
    ways = [(rung.preset, rung.gain, rung.sequential, rung.skip) for rung in own.ladder]
    if (*way, skip) not in ways:
        yield "The model was not made by a cut of the family that it says it is of."


def _covered(
    predicate: Predicate,
    basis: QualifiedBy,
    content: Qualification,
    own: Family,
    finished: datetime,
) -> Iterator[str]:
    """Whether the qualification covers what was passed under it."""
    yield from standing.problems(
        content, basis.statement, at=finished, edits=basis.edits, entries=None
    )
    for difference in family.differences(content.family, own, but=("model", "data")):
        yield f"It is not of the family of its qualification: {difference}."
    facts = ClassFacts(
        separability=basis.range.separability, train=basis.range.train, test=basis.range.test
    )
    for why in qualification.outside(content, facts):
        yield f"Its class lies outside what its qualification has studied: {why}."
    if len(predicate.request.scope.indices) != 1:
        yield "A qualification is of single classes, and it is about several."
    yield from _kept(predicate, basis, content)


def _kept(predicate: Predicate, basis: QualifiedBy, content: Qualification) -> Iterator[str]:
    """The share that is kept, from the statement's own rows, by the study's thresholds."""
    figures = {row.name: (row.value, row.original) for row in predicate.audits if row.name}
    try:
        share = kept.of_figures(figures)
    except FindingsError as error:
        yield str(error)
        return
    if basis.kept is None or abs(share - basis.kept) > TOLERANCE:
        yield (
            f"What it says is kept of the class ({basis.kept}) is not what its rows say "
            f"({share:.6f})."
        )
    thresholds = content.outcome.thresholds
    if thresholds is None or thresholds.answer(share) != PASSED:
        yield f"By the thresholds of its qualification a share of {share:.3f} does not pass."
    elif basis.thresholds is None or typed.plain(basis.thresholds) != typed.plain(thresholds):
        yield "Its thresholds are not those of its qualification."


def _by_ledger(
    predicate: Predicate,
    basis: QualifiedBy,
    content: Qualification,
    own: Family,
    entries: Sequence[Entry],
    finished: datetime,
) -> Iterator[str]:
    """Edits before, the plan's policy, and a suspension, as the ledger has them."""
    number = predicate.audit_plan.ledger_sequence
    before = entries[:number]
    edits = lineage.edits(
        before,
        base=(content.family.model, content.family.data),
        model=(own.model, own.data),
        qualification=basis.statement,
    )
    if edits != basis.edits or edits is None:
        yield (
            f"The ledger leads from the model of {content.title} to this one by "
            f"{'no chain of edits' if edits is None else f'{edits} edits'}, it says {basis.edits}."
        )
    end = standing.suspended(entries, basis.statement)
    if end is not None and parse_utc(end.time) <= finished:
        yield f"{content.title} was suspended at {end.time}, before the event ended."
    plan = entries[number].body.get("plan") if number < len(entries) else None
    policy = Policy.model_validate(plan["policy"]) if isinstance(plan, dict) else None
    if policy is None or policy.yardstick is None:
        yield "The plan in the ledger names no qualification."
    elif policy.yardstick.qualification != basis.statement:
        yield "The plan in the ledger names another qualification."
    elif policy.rules_digest() != content.family.rules:
        yield f"The plan in the ledger has other rules than {content.title}."
