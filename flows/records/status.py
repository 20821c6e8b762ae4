"""What `damp status` shows: every event with its state, verdict, progress and files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from compliance.formats.errors import EnvelopeError, JsonError
from compliance.ledger import Entry, Ledger, states
from compliance.presentation.next_steps import NextStep
from compliance.signing import envelope
from flows.records import next_steps
from flows.records.audit_cost import AuditCost
from flows.state import journal, progress
from flows.state.errors import EventError
from flows.state.paths import Attempt, Home


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStatus:
    """One event as it is now.

    Attributes:
        id: Of the event.
        kind: `request`, or `claim` where another's forgetting is audited.
        state: Of the ledger's state machine.
        verdict: Of the last attempt; None before there is one.
        attempt: Number of the last attempt, 0 before the first.
        method: By which it forgets; None before the first.
        declared: All that its policy declares, in their order; empty where it declares none.
        due: When an answer is owed.
        pending: Whether a run has work to do.
        doing: The step that runs, and how far it is.
        statement: Path of the signed statement, where there is one.
        report: Path of its report.
        claim: What the statement says in a sentence.
        reasons: Why the verdict is what it is.
        next: What to do now; empty where nothing more can happen.
        cost: What the audits took.
        model_before: SHA-256 of the weights before.
        model_after: SHA-256 of the weights after.
        data_before: Version of the data before.
        data_after: Version without the forgotten rows.
        problem: Why the event was parked or its step stopped, or what is wrong with its entries.
    """

    id: str
    kind: str
    state: str
    verdict: str | None
    attempt: int
    method: str | None
    declared: list[str]
    due: str
    pending: bool
    doing: str | None
    statement: str | None
    report: str | None
    claim: str | None
    reasons: list[str]
    next: tuple[NextStep, ...]
    cost: AuditCost | None
    model_before: str | None
    model_after: str | None
    data_before: str | None
    data_after: str | None
    problem: str | None

    def to_json(self) -> dict[str, Any]:
        """The fields of `damp status --json`."""
        return asdict(self) | {
            "cost": self.cost.to_json() if self.cost else None,
            "next": [step.to_json() for step in self.next],
        }


def all_events(home: Home) -> list[EventStatus]:
    """All events, in the order of receipt."""
    if not home.ledger.exists():
        return []
    entries = Ledger(home.ledger).entries()
    own = defaultdict(list)
    for entry in entries:
        own[entry.event].append(entry)
    return [_status(home, event, own[event.id]) for event in states.events(entries).values()]


def one_event(home: Home, event: str) -> EventStatus:
    """One event.

    Raises:
        EventError: The ledger does not know it.
    """
    entries = Ledger(home.ledger).entries() if home.ledger.exists() else []
    own = [entry for entry in entries if entry.event == event]
    if event not in (events := states.events(own)):
        raise EventError(
            f"The ledger in {home.root} knows no event {event}. `damp status` lists them."
        )
    return _status(home, events[event], own)


def _status(home: Home, event: states.Event, own: Sequence[Entry]) -> EventStatus:
    attempt = Attempt(home, event.id, max(event.attempt, 1))
    last = _statement(Attempt(home, event.id, event.decided)) if event.decided else None
    statement = last if attempt.number == event.decided else _statement(attempt)
    predicate = None if statement is None else _content(statement)
    verdict = predicate["verdict"] if predicate else None
    cost = predicate["event"].get("cost") if predicate else None
    notes = journal.read(attempt) if event.pending else []
    problem, stopped = _problem(own, event), journal.reason(notes)
    return EventStatus(
        id=event.id,
        kind="claim" if event.claim else "request",
        state=event.state.value,
        verdict=event.verdict or None,
        attempt=event.attempt,
        method=_method(own),
        declared=_declared(own),
        due=event.due,
        pending=event.pending,
        doing=_doing(attempt, notes) if event.pending else None,
        statement=str(attempt.statement) if predicate else None,
        report=str(attempt.report) if predicate else None,
        claim=verdict["claim"] if verdict else None,
        reasons=verdict["reasons"] if verdict else [],
        next=_next(home, event, own, last, problem=problem, stopped=stopped),
        cost=AuditCost.from_json(cost) if cost else None,
        problem=problem or stopped or None,
        **_versions(attempt, predicate),
    )


def _started(own: Sequence[Entry]) -> Mapping[str, Any]:
    """What the last attempt's first entry holds."""
    started = [entry.body for entry in own if entry.kind == "attempt_started"]
    return started[-1] if started else {}


def _method(own: Sequence[Entry]) -> str | None:
    preset = (_started(own).get("method") or {}).get("preset")
    return None if preset is None else str(preset)


def _declared(own: Sequence[Entry]) -> list[str]:
    return list((_started(own).get("rung") or {}).get("declared", ()))


def attempt_in_words(event: EventStatus) -> str:
    """Which attempt of an event, by which method, of how many that were declared."""
    if not event.attempt:
        return "no attempt yet"
    by = f" by {event.method}" if event.method else ""
    if event.method not in event.declared:
        return f"attempt {event.attempt}{by}"
    place = event.declared.index(event.method) + 1
    return f"attempt {event.attempt}{by}, {place} of {len(event.declared)} declared"


def _versions(attempt: Attempt, predicate: Mapping[str, Any] | None) -> dict[str, str | None]:
    """Model and data before and after: from the statement, before that from the plan."""
    if predicate:
        inputs = predicate["inputs"]
        return {
            "model_before": inputs["modelBefore"]["digest"]["sha256"],
            "model_after": predicate["subject"],
            "data_before": inputs["dataBefore"]["version"],
            "data_after": inputs["dataAfter"]["version"],
        }
    plan = json.loads(attempt.plan.read_text()) if attempt.plan.exists() else {}
    return {
        "model_before": plan.get("modelBefore"),
        "model_after": None,
        "data_before": plan.get("dataBefore"),
        "data_after": plan.get("dataAfter"),
    }


def _statement(attempt: Attempt) -> dict[str, Any] | None:
    """The attempt's statement as it lies there; `damp verify` checks it."""
    if not attempt.statement.exists():
        return None
    try:
        statement: dict[str, Any] = envelope.decoded(attempt.statement)
    except EnvelopeError:
        return None  # nothing to show of it; the step or `damp verify` that needs it says why
    return statement


def _content(statement: Mapping[str, Any]) -> dict[str, Any]:
    predicate: dict[str, Any] = statement["predicate"]
    return predicate | {"subject": statement["subject"][0]["digest"]["sha256"]}


def _next(
    home: Home,
    event: states.Event,
    own: Sequence[Entry],
    last: Mapping[str, Any] | None,
    *,
    problem: str | None,
    stopped: str,
) -> tuple[NextStep, ...]:
    """What to do after the last statement, be a further attempt under way or not; before there is
    one, or where the event was parked, what lets it go on."""
    if last is None or event.state is states.State.ERROR:
        return next_steps.undecided(event, problem, stopped)
    try:
        return next_steps.of(home, event, own, last)
    except JsonError:
        return ()  # of a form that this version does not read; `damp verify` says so


def _doing(attempt: Attempt, notes: Sequence[Mapping[str, Any]]) -> str:
    """The step that runs and how far it is, or the one that an interrupted run will go on with."""
    if not notes:
        return "waiting"
    last = notes[-1]
    step = f"{last['number']}/{last['of']} {last['title']}"
    if last["what"] == journal.STOPPED:
        return f"{step} (stopped)"
    if not psutil.pid_exists(last["pid"]):
        return f"{step} (interrupted: `damp run` goes on)"
    part = progress.read(attempt.progress)
    if last["what"] == "began" and part and part.pid == last["pid"]:
        return f"{step} ({part.text}, {part.done} of {part.total})"
    return f"{step} ({last['what']})"


def _problem(own: Sequence[Entry], event: states.Event) -> str | None:
    """Why the event was parked, or what is wrong with its entries."""
    if event.state is states.State.ERROR:
        failures = [entry.body for entry in own if entry.kind == "attempt_failed"]
        return str(failures[-1].get("reason", "")) if failures else event.problem
    return event.problem or None
