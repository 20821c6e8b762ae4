"""Whether a qualification holds at one moment, by itself and by the ledger.

It ends by date, by the number of edits that its model has seen one after the other, when anything
of its family is another, and where a spot check has failed. Pure: entries and time are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from compliance.formats.timestamps import parse_utc
from compliance.ledger import reaudits
from compliance.ledger.bodies import StatementSigned
from compliance.ledger.chain import Entry
from compliance.qualification import bounds
from compliance.qualification.qualification import Qualification
from compliance.signing import Trust

REGISTERED, SIGNED = "family_registered", "qualification_signed"
SUSPENDED, CHECKED = "qualification_suspended", "spot_checked"
"""Kinds of ledger entries. The first two and a suspension are of no event; a check is."""
TYPE = "application/vnd.damp.spot-check+json"
"""Payload type: the signature of a spot check is none of a re-audit, nor of a statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotCheck:
    """A spot check as the ledger has it.

    Attributes:
        event: That was checked.
        seq: Of the entry.
        verdict: Against retrained models.
    """

    event: str
    seq: int
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An event that ended under a qualification.

    Attributes:
        event: Its id.
        seq: Of the entry that closed it.
        hash: Of that entry, which says whether it is drawn.
    """

    event: str
    seq: int
    hash: str


def suspended(entries: Sequence[Entry], digest: str) -> Entry | None:
    """The entry that has suspended a qualification; None where it stands.

    What makes a thing worse is believed unsigned.
    """
    return next(
        (e for e in entries if e.kind == SUSPENDED and e.body.get("qualification") == digest), None
    )


def checks(entries: Sequence[Entry], digest: str, trust: Trust) -> list[SpotCheck]:
    """The spot checks of a qualification's events, the first of each event: none is made twice.

    One that did not pass is believed unsigned. One that passed counts only if a trusted executor
    has signed it, about this event and this qualification, at this place of this ledger.
    """
    every: dict[str, SpotCheck] = {}
    for entry in entries:
        if entry.kind == CHECKED and entry.body.get("qualification") == digest:
            if entry.body.get("verdict") == "PASSED" and not holds(entry, entries, trust):
                continue
            check = SpotCheck(
                event=entry.event, seq=entry.seq, verdict=str(entry.body.get("verdict", ""))
            )
            every.setdefault(entry.event, check)
    return list(every.values())


def holds(entry: Entry, entries: Sequence[Entry], trust: Trust) -> bool:
    """Whether a trusted executor has signed a spot check as it was entered."""
    place = reaudits.signed_at(
        entry, entries, trust, payload_type=TYPE, names=(*reaudits.NAMES, "qualification")
    )
    return place is not None


def runs(entries: Sequence[Entry], digest: str) -> list[Run]:
    """Events that were closed as PASSED under a qualification, by their last plan."""
    planned: dict[str, str] = {}
    closed: list[Run] = []
    for entry in entries:
        if entry.kind == "plan_registered":
            plan = entry.body.get("plan")
            policy = plan.get("policy") if isinstance(plan, dict) else None
            yardstick = policy.get("yardstick") if isinstance(policy, dict) else None
            planned[entry.event] = (
                str(yardstick.get("qualification")) if isinstance(yardstick, dict) else ""
            )
        ends = entry.kind == "event_closed" and entry.body.get("verdict") == "PASSED"
        if ends and planned.get(entry.event) == digest:
            closed.append(Run(event=entry.event, seq=entry.seq, hash=entry.hash))
    return closed


def in_doubt(entries: Sequence[Entry], digest: str, trust: Trust) -> list[str]:
    """Events under a suspended qualification that ended since the last good check, and after it.

    A check is good for what ended before the event that it is about; the failed one's own event is
    among those in doubt.
    """
    end = suspended(entries, digest)
    if end is None:
        return []
    places = {run.event: run.seq for run in runs(entries, digest)}
    good = [
        places[check.event]
        for check in checks(entries, digest, trust)
        if check.verdict == "PASSED" and check.seq < end.seq and check.event in places
    ]
    failed = places.get(str(end.body.get("event", "")), -1)
    since = max((place for place in good if place < failed), default=-1)
    return [event for event, place in places.items() if place > since]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the study and the spot checks say together of events that PASSED.

    Attributes:
        checked: Spot checks so far.
        failed: Of them.
        undecided: Of them, neither passed nor failed.
        at_most: Upper bound of the rate of failures, at every look at once.
        not_passed_at_least: Lower bound of the rate of those that did not pass, in the same way.
    """

    checked: int
    failed: int
    undecided: int
    at_most: float
    not_passed_at_least: float


def bounds_of(entries: Sequence[Entry], digest: str, trust: Trust) -> Bounds:
    """The bounds as they are after every check so far."""
    verdicts = [check.verdict for check in checks(entries, digest, trust)]
    failed, passed = verdicts.count("FAILED"), verdicts.count("PASSED")
    return Bounds(
        checked=len(verdicts),
        failed=failed,
        undecided=len(verdicts) - failed - passed,
        at_most=bounds.anytime(failed, failed + passed),
        not_passed_at_least=bounds.anytime_least(len(verdicts) - passed, len(verdicts)),
    )


def must_suspend(now: Bounds, promised: float) -> str:
    """Why the spot checks so far end a qualification; empty where they do not.

    One that failed ends it at once. Those that end undecided are no failures of a model: they end
    it when they show, at whatever look, that more of them do not pass than was promised.
    """
    if now.failed:
        return "an event that had passed under it fails against retrained models"
    if now.not_passed_at_least > promised:
        return (
            f"{now.undecided} of {now.checked} spot checks did not pass: their rate is above the "
            f"{promised:g} that was promised, by a sequential test at 5%"
        )
    return ""


def problems(
    content: Qualification,
    digest: str,
    *,
    at: datetime,
    edits: int | None,
    entries: Sequence[Entry] | None,
) -> Iterator[str]:
    """Why it does not hold; nothing where it does.

    Args:
        content: The qualification.
        digest: SHA-256 of its signed bytes.
        at: The moment.
        edits: That its model had seen under it before; None where the model does not come from it.
        entries: The ledger; None where it is not at hand.
    """
    if not content.outcome.qualifies:
        yield f"The study of {content.title} did not qualify: {' '.join(content.outcome.reasons)}"
    if at > parse_utc(content.valid_until):
        yield f"{content.title} was valid until {content.valid_until[:10]}: qualify again."
    if at < parse_utc(content.finished_at):
        yield f"{content.title} was signed at {content.finished_at}, later than this."
    if edits is None:
        yield (
            f"This model is neither the one of {content.title} nor made from it by events under "
            "it: qualify this model, or use another policy."
        )
    elif edits >= content.outcome.edits:
        yield (
            f"{edits} edits were made on the model of {content.title} since, and its study bears "
            f"out {content.outcome.edits} one after the other: qualify again, with a longer "
            "`sequence`."
        )
    if entries is not None:
        yield from _by_ledger(content, digest, entries, at)


def _by_ledger(
    content: Qualification, digest: str, entries: Sequence[Entry], at: datetime
) -> Iterator[str]:
    end = suspended(entries, digest)
    if end is not None and at >= parse_utc(end.time):
        yield (
            f"{content.title} was suspended at {end.time} (ledger entry {end.seq}): "
            f"{end.body.get('reason', 'no reason was entered')}"
        )


def registered_problems(
    content: Qualification, digest: str, entries: Sequence[Entry]
) -> Iterator[str]:
    """What a ledger says against a qualification that claims to be of it."""
    number = content.sequence
    entry = entries[number] if number < len(entries) else None
    if entry is None or entry.kind != REGISTERED or entry.key != content.study:
        yield f"Ledger entry {number} is not the one that fixed the family of {content.title}."
        return
    if entry.hash != content.head:
        yield f"{content.title} was drawn from another hash than that of ledger entry {number}."
    if entry.body.get("familyDigest") != content.family.digest():
        yield f"Ledger entry {number} fixes another family than {content.title} says."
    signed = [e for e in entries if e.kind == SIGNED and e.key == content.study]
    if not any(e.read(StatementSigned).statement == digest for e in signed):
        yield f"The ledger does not hold {content.title} ({digest[:16]})."
    tries = [
        e.read(StatementSigned).statement
        for e in entries[:number]
        if e.kind == SIGNED and e.body.get("model") == content.family.model
    ]
    if tries != [earlier.statement for earlier in content.earlier]:
        yield (
            f"The ledger holds {len(tries)} earlier studies of this model, {content.title} lists "
            f"{len(content.earlier)}, and they are not the same."
        )
