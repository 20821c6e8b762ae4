"""Run events: one at a time per model, resumed where they stopped, with the policy's fall-back."""

from __future__ import annotations

from typing import Any

from compliance import states
from compliance.ledger import Ledger
from flows import intake, locks
from flows.layout import Home

Facts = dict[str, Any]


def run_event(home: Home, event: str) -> Facts:
    """Carry an event through its attempts until it is decided.

    The process must know a Prefect API (`PREFECT_API_URL`).

    Returns:
        The last attempt's facts: `verdict`, `statement`, `report`, `registration`.

    Raises:
        BusyError: Another event holds this model.
    """
    from flows.event import unlearning_event

    with locks.lineage(home, intake.lineage_of(home, event)):
        facts = unlearning_event(home=str(home.root), event=event, attempt=attempt_of(home, event))
        while retrains(home, event, facts):
            attempt = attempt_of(home, event)
            facts = unlearning_event(home=str(home.root), event=event, attempt=attempt)
    return facts


def attempt_of(home: Home, event: str) -> int:
    """The attempt to run or resume: one more than those that are closed."""
    return 1 + len(Ledger(home.ledger).of(event, "attempt_closed"))


def retrains(home: Home, event: str, facts: Facts) -> bool:
    """Whether the policy answers this verdict with a retrained model."""
    policy = intake.policy_of(home, event)
    tried = len(Ledger(home.ledger).of(event, "attempt_closed"))
    return (
        facts["verdict"] == "FAILED"
        and policy.fallback == "retrain"
        and tried < policy.max_attempts
    )
