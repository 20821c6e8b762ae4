"""One pending event of a scheduled run: decided, left for the next, or parked with its reason."""

from __future__ import annotations

from compliance.ledger import Ledger
from flows.orchestration.runner import attempt_due, run_event
from flows.state import logs, progress
from flows.state.errors import BusyError, ServerError, StoreError, is_refusal
from flows.state.paths import Home

Row = dict[str, str]
"""`event`, `outcome`, `report` and `why` of one event, as Prefect's table shows it."""

PASSING = (BusyError, ServerError, StoreError)
"""What passes without a change to the request: a lock, a server, a full disk."""


def decide(home: Home, event: str) -> Row:
    """Run an event; its outcome as a row.

    What cannot be carried out is parked: it leaves the queue with its reason in the ledger, and
    `damp run --event` takes it up again once a person has seen to it.
    """
    progress.announce(f"event {event}: begins or goes on")
    row = _decide(home, event)
    progress.announce(f"event {event}: {row['outcome']} {row['report'] or row['why']}")
    return row


def _decide(home: Home, event: str) -> Row:
    try:
        closed = run_event(home, event)
    except PASSING as error:
        outcome = "BUSY" if isinstance(error, BusyError) else "LATER"
        return _row(event, outcome, why=str(error))
    except Exception as error:  # noqa: BLE001 - a poisoned request must not keep others waiting
        why = str(error) if is_refusal(error) else f"{type(error).__name__}: {error}"
        logs.event(event).exception("parked: %s", why)
        park(home, event, why)
        return _row(event, "PARKED", why=why)
    return _row(event, closed.verdict, report=str(home.root / closed.report.path))


def park(home: Home, event: str, why: str) -> None:
    """Log that an event cannot go on by itself."""
    body = {"attempt": attempt_due(home, event), "reason": why[:2000]}
    Ledger(home.ledger).append("attempt_failed", event, body)


def _row(event: str, outcome: str, *, report: str = "", why: str = "") -> Row:
    return {"event": event, "outcome": outcome, "report": report, "why": why}
