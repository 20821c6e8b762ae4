"""`damp retry` opens the next attempt, as far as the policy allows, and the step takes it up."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compliance.formats.errors import StateError
from compliance.ledger import Ledger, states
from flows.intake import lifecycle, requests
from flows.orchestration.runner import attempt_due
from flows.records import status
from flows.state.errors import EventError
from flows.state.paths import Attempt, Home
from flows.steps import prepare

RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))
LADDER = ("mended", "rewritten", "retrain")
Refusal = Callable[..., Any]


def declared(place: int) -> dict[str, Any]:
    return {"attempts": {"place": place, "declared": list(LADDER), "level": 0.02, "skipped": []}}


def counted(**changes: Any) -> dict[str, Any]:
    return {"policy": {"max_attempts": 2, "fallback": "retrain"} | changes}


def current(home: Home, event: str) -> states.Event:
    return states.current(Ledger(home.ledger).entries(), event)


@pytest.mark.parametrize("verdict", ["INCONCLUSIVE", "FAILED"])
def test_the_next_declared_attempt_is_opened(home: Home, verdict: str) -> None:
    event = RECORDS.put(home)
    RECORDS.decide(home, event, verdict=verdict, preset="mended", plan=declared(1))
    assert requests.pending(home) == []
    entry = lifecycle.retry(home, event, preset=None)
    assert (entry.kind, entry.body["asked"]) == ("next_attempt", "rewritten")
    assert requests.pending(home) == [event]
    assert attempt_due(home, event) == 2
    steps = status.one_event(home, event).next
    assert steps[-1].command == f"damp run --event {event}"


def test_a_later_one_may_be_asked_for_and_the_others_are_noted(home: Home) -> None:
    event = RECORDS.put(home)
    RECORDS.decide(home, event, verdict="INCONCLUSIVE", preset="mended", plan=declared(1))
    assert lifecycle.retry(home, event, preset="retrain").kind == "retrain_required"
    assert current(home, event).state is states.State.RETRAIN_REQUIRED


def test_the_step_makes_what_was_asked_for(home: Home) -> None:
    """A policy that only counts: the request's own preset would be tried again otherwise."""
    event = RECORDS.put(home)
    RECORDS.decide(home, event, verdict="INCONCLUSIVE", preset="mended", plan=counted())
    lifecycle.retry(home, event, preset="rewritten")
    accepted = prepare.accept(Attempt(home, event, 2))
    assert accepted.method.preset == "rewritten"
    (_, second) = Ledger(home.ledger).of(event, "attempt_started")
    assert second.body["reason"] == "asked for by damp retry"


def test_a_declared_attempt_that_was_asked_for_keeps_its_place_and_level(home: Home) -> None:
    event = RECORDS.put(home)
    changed = RECORDS.policy().model_dump(mode="json")
    del changed["fallback"], changed["max_attempts"]
    changed["attempts"] = list(LADDER)
    policy = type(RECORDS.policy()).model_validate(changed)
    request = requests.request_of(home, event)
    RECORDS.decide(home, event, verdict="INCONCLUSIVE", preset="mended", plan=declared(1))
    lifecycle.retry(home, event, preset="retrain")
    rung = prepare.next_rung(Attempt(home, event, 2), request, policy)
    assert rung is not None
    assert (rung.place, rung.declared) == (3, LADDER)
    assert rung.level == pytest.approx(policy.alpha / 3)
    assert [each.preset for each in rung.skipped] == ["rewritten"]


@pytest.mark.parametrize(
    "plan", [declared(3), counted(max_attempts=1), {}], ids=["last", "counted", "none"]
)
def test_beyond_what_the_policy_allows_nothing_is_opened(
    home: Home, refused: Refusal, plan: dict[str, Any]
) -> None:
    event = RECORDS.put(home)
    RECORDS.decide(home, event, verdict="INCONCLUSIVE", preset="mended", plan=plan)
    before = home.ledger.read_bytes()
    with refused(EventError, "allows no further attempt", "damp close"):
        lifecycle.retry(home, event, preset=None)
    assert home.ledger.read_bytes() == before
    assert status.one_event(home, event).next[-1].command.startswith("damp close")


def test_a_method_that_is_not_left_is_refused(home: Home, refused: Refusal) -> None:
    event = RECORDS.put(home)
    RECORDS.decide(home, event, verdict="FAILED", preset="mended", plan=declared(1))
    with refused(EventError, "'mended' is not among", "rewritten, retrain"):
        lifecycle.retry(home, event, preset="mended")


def test_what_has_passed_or_runs_is_not_tried_again(home: Home) -> None:
    passed, undecided = RECORDS.put(home), RECORDS.put(home)
    RECORDS.decide(home, passed, plan=declared(1))
    for event in (passed, undecided):
        with pytest.raises(StateError, match="another attempt follows"):
            lifecycle.retry(home, event, preset=None)


def test_the_commands_show_reasons_and_what_is_next(home: Home, damp: Callable[..., Any]) -> None:
    event = RECORDS.put(home)
    RECORDS.decide(home, event, verdict="INCONCLUSIVE", preset="mended", plan=declared(1))
    (page,) = damp("--home", home.root, "status", "--json").json()
    assert page["reasons"]
    assert {step["kind"] for step in page["next"]} >= {"decided", "attempt", "retrain"}
    listed = damp("--home", home.root, "status", "--event", event[:8]).out
    assert "because" in listed
    assert f"damp retry {event} --preset rewritten" in listed
    inbox = damp("--home", home.root, "inbox")
    assert f"damp retry {event} --preset rewritten" in inbox.out
    (row,) = damp("--home", home.root, "inbox", "--json").json()
    assert row["steps"] == page["next"]
    opened = damp("--home", home.root, "retry", event[:8])
    assert opened.code == 0, opened.err
    assert f"damp run --event {event}" in opened.out
