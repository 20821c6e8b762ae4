"""What `damp status` shows: every event with its state, verdict, progress and files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psutil

from compliance.formats.errors import EnvelopeError
from compliance.ledger import Entry, Ledger, states
from compliance.signing import envelope
from flows.servers import processes
from flows.state import journal
from flows.state.errors import EventError
from flows.state.paths import Attempt, Home

if TYPE_CHECKING:
    from rich.text import Text

Facts = dict[str, Any]


def all_events(home: Home) -> list[Facts]:
    """All events, in the order of receipt."""
    if not home.ledger.exists():
        return []
    entries = Ledger(home.ledger).entries()
    return [
        _event(home, event) | {"problem": _problem(entries, event)}
        for event in states.events(entries).values()
    ]


def one_event(home: Home, event: str) -> Facts:
    """One event.

    Raises:
        EventError: The ledger does not know it.
    """
    for known in all_events(home):
        if known["id"] == event:
            return known
    raise EventError(f"The ledger in {home.root} knows no event {event}. `damp status` lists them.")


def _event(home: Home, event: states.Event) -> Facts:
    attempt = Attempt(home, event.id, max(event.attempt, 1))
    signed = _signed(attempt)
    return {
        "id": event.id,
        "kind": "claim" if event.claim else "request",
        "state": event.state.value,
        "verdict": event.verdict or None,
        "attempt": event.attempt,
        "due": event.due,
        "pending": event.pending,
        "doing": _doing(attempt) if event.pending else None,
        "statement": str(attempt.statement) if signed else None,
        "report": str(attempt.report) if signed else None,
        "claim": signed["verdict"]["claim"] if signed else None,
        "reasons": signed["verdict"]["reasons"] if signed else [],
        "cost": signed["event"].get("cost") if signed else None,
        **_versions(attempt, signed),
    }


def _versions(attempt: Attempt, signed: Facts | None) -> Facts:
    """Model and data before and after: from the statement, before that from the plan."""
    if signed:
        inputs = signed["inputs"]
        return {
            "model_before": inputs["modelBefore"]["digest"]["sha256"],
            "model_after": signed["subject"],
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


def _signed(attempt: Attempt) -> Facts | None:
    """The predicate of the attempt's statement as it lies there; `damp verify` checks it."""
    if not attempt.statement.exists():
        return None
    try:
        statement = envelope.decoded(attempt.statement)
    except EnvelopeError:
        return None  # nothing to show of it; the step or `damp verify` that needs it says why
    predicate: Facts = statement["predicate"]
    return predicate | {"subject": statement["subject"][0]["digest"]["sha256"]}


def _doing(attempt: Attempt) -> str:
    """The step that runs and how far it is, or the one that an interrupted run will go on with."""
    notes = journal.read(attempt)
    if not notes:
        return "waiting"
    last = notes[-1]
    number = list(journal.STEPS).index(last["step"]) + 1
    step = f"{number}/{len(journal.STEPS)} {journal.STEPS[last['step']]}"
    if not psutil.pid_exists(last["pid"]):
        return f"{step} (interrupted: `damp run` goes on)"
    part = processes.read_record(attempt.progress)
    if last["what"] == "began" and part.get("pid") == last["pid"]:
        return f"{step} ({part['text']}, {part['done']} of {part['total']})"
    return f"{step} ({last['what']})"


def _problem(entries: Sequence[Entry], event: states.Event) -> str | None:
    """Why the event was parked, or what is wrong with its entries."""
    if event.state is states.State.ERROR:
        failed = [e for e in entries if e["event"] == event.id and e["kind"] == "attempt_failed"]
        return str(failed[-1]["body"].get("reason", "")) if failed else event.problem
    return event.problem or None


def told(events: list[Facts]) -> Text:
    """The events for a terminal: a line each, and below it what can be copied or must be known."""
    from rich.text import Text

    from flows.cli.console import LOOKS

    shown = Text()
    for event in events:
        sign, colour = LOOKS.get(event["verdict"] or "", ("·", "default"))
        shown.append(f"{sign} ", style=colour)
        shown.append(f"{event['id']}  {event['state']}")
        shown.append(f"  {event['verdict'] or 'undecided'}", style=colour)
        shown.append(f"  attempt {event['attempt']}, due {event['due'][:10]}\n", style="dim")
        for name in ("doing", "problem", "report"):
            if event[name]:
                shown.append(f"  {name:<7} {event[name]}\n")
    shown.rstrip()
    return shown
