"""Run events: one at a time per model, resumed where they stopped, with the policy's fall-back."""

from __future__ import annotations

from typing import Any

from prefect import tags
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from compliance.ledger import Ledger, states
from flows.intake import requests
from flows.orchestration import artifacts, reconcile, server_loss
from flows.state import interrupts, locks, logs, progress
from flows.state.journal import STEPS
from flows.state.paths import Attempt, Home

Facts = dict[str, Any]


def run_event(home: Home, event: str) -> Facts:
    """Carry an event through its attempts until it is decided.

    The process must know a Prefect API (`PREFECT_API_URL`).

    Returns:
        The last attempt's facts: `verdict`, `statement`, `report`, `registration`.

    Raises:
        BusyError: Another event holds this model.
        ServerError: The Prefect server was lost.
    """
    logs.write_to(home)
    with locks.lineage(home, requests.lineage_of(home, event)):
        facts = _attempt(home, event)
        while facts["ending"] == "retrain_required":
            facts = _attempt(home, event)
    return facts


def _attempt(home: Home, event: str) -> Facts:
    """Begin or resume the attempt that is due."""
    carry_out = _flow(home, event)
    attempt = Attempt(home, event, attempt_due(home, event))
    page = artifacts.Progress(attempt, len(STEPS))
    recorder = progress.Recorder(progress.current(), attempt.progress, page.step)
    # the heartbeat costs a second at the end of every flow, and only servers look for it
    quiet = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with server_loss.told(), quiet, tags(*reconcile.tags(home)), progress.reporting_to(recorder):
        facts: Facts = carry_out(home=str(home.root), event=event, attempt=attempt.number)
    interrupts.check()
    return facts


def _flow(home: Home, event: str) -> Any:
    """The flow that an event is for: a request is carried out, a claim is audited."""
    if home.claim(event).exists():
        from flows.orchestration.claim import forgetting_claim

        return forgetting_claim
    from flows.orchestration.event import unlearning_event

    return unlearning_event


def attempt_due(home: Home, event: str) -> int:
    """The number of the attempt to begin or resume."""
    known = states.current(Ledger(home.ledger).entries(), event)
    begins = known.attempt == 0 or known.state is states.State.RETRAIN_REQUIRED
    return known.attempt + 1 if begins else known.attempt
