"""No event is a dead end: before a verdict, or parked, its status says what lets it go on."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from compliance.ledger import Ledger
from flows.records import status
from flows.state import journal, keyring
from flows.state.errors import EventError
from flows.state.paths import Attempt, Home

RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))


@pytest.fixture
def event(home: Home) -> str:
    keyring.new(home, role="executor", days=30)
    return str(RECORDS.put(home))


def test_what_is_pending_is_to_be_run(home: Home, event: str) -> None:
    (step,) = status.one_event(home, event).next
    assert (step.kind, step.command) == ("run", f"damp run --event {event}")


def test_what_is_parked_is_run_again_once_its_cause_is_gone(home: Home, event: str) -> None:
    ledger = Ledger(home.ledger)
    ledger.append("attempt_started", event, {"attempt": 1})
    ledger.append("attempt_failed", event, {"attempt": 1, "reason": "The disk is full."})
    parked = status.one_event(home, event)
    assert parked.state == "error"
    (step,) = parked.next
    assert (step.kind, step.command) == ("resume", f"damp run --event {event}")
    assert "The disk is full." in step.text


def test_a_step_that_stopped_says_why_until_it_runs_again(home: Home, event: str) -> None:
    Ledger(home.ledger).append("attempt_started", event, {"attempt": 1})
    attempt = Attempt(home, event, 1)
    label = journal.Label(name="pin_model", number=3, of=10, title="Pin the model")
    with pytest.raises(EventError), journal.entered(attempt, label):
        raise EventError("The champion is another one.")
    stopped = status.one_event(home, event)
    assert stopped.doing == "3/10 Pin the model (stopped)"
    assert stopped.problem == "The champion is another one."
    (step,) = stopped.next
    assert (step.kind, step.command) == ("resume", f"damp run --event {event}")
    assert "The champion is another one." in step.text
    assert "damp cancel" in step.text
    with journal.entered(attempt, label):
        assert status.one_event(home, event).problem is None
    (step,) = status.one_event(home, event).next
    assert step.kind == "run"


def test_what_is_paused_is_to_be_resumed(home: Home, event: str) -> None:
    Ledger(home.ledger).append("event_paused", event, {"reason": "asked back"})
    paused = status.one_event(home, event)
    assert paused.state == "paused"
    (step,) = paused.next
    assert (step.kind, step.command) == ("resume", f"damp resume {event}")


def test_nothing_is_to_be_done_about_what_has_ended(home: Home, event: str) -> None:
    Ledger(home.ledger).append("event_cancelled", event, {"reason": "withdrawn"})
    assert status.one_event(home, event).next == ()


def test_after_a_verdict_the_statement_says_it(home: Home, event: str) -> None:
    RECORDS.decide(home, event)
    kinds = [step.kind for step in status.one_event(home, event).next]
    assert kinds
    assert not {"run", "resume", "identity", "look"} & set(kinds)
