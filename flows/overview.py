"""What `damp status` shows: every event with its state, verdict, progress and files."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance import states
from compliance.ledger import Ledger
from flows import journal
from flows.errors import EventError
from flows.layout import Attempt, Home

if TYPE_CHECKING:
    from rich.table import Table

Facts = dict[str, Any]


def all_events(home: Home) -> list[Facts]:
    """All events, in the order of receipt."""
    if not home.ledger.exists():
        return []
    known = states.events(Ledger(home.ledger).entries())
    return [_event(home, event) for event in known.values()]


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
        "state": event.state.value,
        "verdict": event.verdict or None,
        "attempt": event.attempt,
        "due": event.due,
        "pending": event.pending,
        "doing": _doing(attempt) if event.pending else None,
        "statement": str(attempt.statement) if signed else None,
        "report": str(attempt.report) if signed else None,
        "reasons": signed["verdict"]["reasons"] if signed else [],
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
    envelope = json.loads(attempt.statement.read_text())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    predicate: Facts = statement["predicate"]
    return predicate | {"subject": statement["subject"][0]["digest"]["sha256"]}


def _doing(attempt: Attempt) -> str:
    """The step that runs, or the one that an interrupted run will go on with."""
    notes = journal.read(attempt)
    if not notes:
        return "waiting"
    step = notes[-1]["step"]
    number = list(journal.STEPS).index(step) + 1
    return f"{number}/{len(journal.STEPS)} {journal.STEPS[step]} ({notes[-1]['what']})"


def table(events: list[Facts]) -> Table:
    """The events for a terminal."""
    from rich.table import Table

    shown = Table("event", "state", "verdict", "attempt", "due", "doing", "report")
    for event in events:
        report = Path(event["report"]) if event["report"] else None
        shown.add_row(
            event["id"],
            event["state"],
            event["verdict"] or "-",
            str(event["attempt"]),
            event["due"][:10],
            event["doing"] or "-",
            str(report) if report else "-",
        )
    return shown
