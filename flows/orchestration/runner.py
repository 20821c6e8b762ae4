"""Run events: one at a time per model, resumed where they stopped, with the policy's fall-back."""

from __future__ import annotations

from typing import Any

from prefect import tags
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from compliance.ledger import Ledger, states
from flows.intake import requests
from flows.orchestration import artifacts, reconcile, server_loss
from flows.state import interrupts, locks, logs, progress
from flows.state.facts import Closed
from flows.state.paths import Attempt, Home
from flows.steps.table import STEPS

GO_ON = ("retrain_required", "next_attempt")
"""How an attempt ends after which another one is due."""


def run_event(home: Home, event: str) -> Closed:
    """Carry an event through its attempts until it is decided.

    The process must know a Prefect API (`PREFECT_API_URL`).

    Returns:
        How the last attempt ended.

    Raises:
        BusyError: Another event holds this model.
        ServerError: The Prefect server was lost.
    """
    logs.write_to(home)
    with locks.lineage(home, requests.lineage_of(home, event)):
        closed = _run_attempt(home, event)
        while closed.ending in GO_ON:
            closed = _run_attempt(home, event)
    return closed


def _run_attempt(home: Home, event: str) -> Closed:
    """Begin or resume the attempt that is due."""
    run = _flow(home, event)
    attempt = Attempt(home, event, attempt_due(home, event))
    page = artifacts.Progress(attempt, len(STEPS))
    recorder = progress.Recorder(progress.current(), attempt.progress, page)
    reporting = progress.reporting_to(recorder)
    # the heartbeat costs a second at the end of every flow, and only servers look for it
    quiet = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    named = (*reconcile.tags(home), *_tags(home, event, attempt.number))
    with server_loss.translated(), quiet, tags(*named), reporting:
        closed: Closed = run(home=str(home.root), event=event, attempt=attempt.number)
    interrupts.check()
    return closed


def _tags(home: Home, event: str, number: int) -> tuple[str, ...]:
    """By which a person finds a run on Prefect's pages: event, attempt, and the day it is due."""
    due = states.current(Ledger(home.ledger).entries(), event).due[:10]
    kind = "claim" if home.claim(event).exists() else "request"
    return (kind, f"event {event[:8]}", f"attempt {number}", *((f"due {due}",) if due else ()))


def _flow(home: Home, event: str) -> Any:
    """The flow that an event is for: a request is carried out, a claim is audited."""
    if home.claim(event).exists():
        from flows.orchestration.claim import forgetting_claim

        return forgetting_claim
    from flows.orchestration.event import unlearning_event

    return unlearning_event


def attempt_due(home: Home, event: str) -> int:
    """The number of the attempt to begin or resume."""
    current = states.current(Ledger(home.ledger).entries(), event)
    begins = current.attempt == 0 or current.begins_again
    return current.attempt + 1 if begins else current.attempt
