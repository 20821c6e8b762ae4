"""Where an event stands, from what the ledger tells; and its clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from compliance.documents import deadlines
from compliance.formats.errors import StateError
from compliance.ledger import Entry, states, transitions
from compliance.ledger.bodies import Change
from compliance.ledger.states import KINDS, TRANSITIONS, State

PASSED = {"attempt": 1, "verdict": "PASSED", "statement": "a" * 64}
FAILED = PASSED | {"verdict": "FAILED"}


def entries_of(*steps: str | tuple[str, dict[str, Any]], event: str = "e1") -> list[Entry]:
    """Ledger entries of one event, received first."""
    every: Sequence[Any] = ("request_received", *steps)
    pairs = [step if isinstance(step, tuple) else (step, {"attempt": 1}) for step in every]
    return [
        Entry(
            seq=n,
            kind=kind,
            event=event,
            time=f"2026-09-20T08:00:{n:02}Z",
            body=body,
            **dict.fromkeys(("key", "previous", "hash"), ""),
        )
        for n, (kind, body) in enumerate(pairs)
    ]


def signed(**body: Any) -> tuple[str, dict[str, Any]]:
    return ("statement_signed", PASSED | body)


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ([], "received"),
        (["request_verified"], "verified"),
        (["event_scheduled"], "scheduled"),
        (["request_denied"], "denied"),
        (["request_duplicate"], "duplicate"),
        (["event_cancelled"], "cancelled"),
        (["attempt_started"], "executing"),
        (["attempt_started", "plan_registered"], "executing"),
        (["attempt_started", "attempt_failed"], "error"),
        (["attempt_started", "attempt_failed", "attempt_started"], "executing"),
        (["attempt_started", signed()], "audited"),
        (["attempt_started", signed(verdict="FAILED")], "failed_audit"),
        (["attempt_started", signed(verdict="INCONCLUSIVE"), "attempt_closed"], "audited"),
        (["attempt_started", signed(verdict="FAILED"), "retrain_required"], "retrain_required"),
        (["attempt_started", signed(), "signed_off"], "approved"),
        (["attempt_started", signed(), "model_promoted"], "deployed"),
        (["attempt_started", signed(), "signed_off", "model_promoted", "event_closed"], "closed"),
        (["event_paused"], "paused"),
        (["attempt_started", "event_paused", "event_resumed"], "executing"),
        (["attempt_started", signed(), "event_closed", "reaudited"], "closed"),
    ],
)
def test_the_state_follows_from_the_entries(steps: list[Any], state: str) -> None:
    event = states.current(entries_of(*steps), "e1")
    assert (event.state.value, event.problem) == (state, "")


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        (["request_denied"], "attempt_started"),
        (["event_cancelled"], "event_scheduled"),
        ([], "statement_signed"),
        ([], "model_promoted"),
        (["attempt_started"], "model_promoted"),
        (["attempt_started", signed(verdict="FAILED")], "model_promoted"),
        (["attempt_started", signed(verdict="INCONCLUSIVE")], "model_promoted"),
        (["attempt_started", signed(verdict="INCONCLUSIVE")], "signed_off"),
        (["attempt_started", signed(), "model_promoted"], "attempt_started"),
        (["attempt_started", signed(), "event_closed"], "attempt_started"),
        (["event_paused"], "attempt_started"),
        ([], "coffee_made"),
    ],
)
def test_a_step_that_the_state_does_not_allow_is_refused(steps: list[Any], kind: str) -> None:
    with pytest.raises(StateError):
        states.check(entries_of(*steps), kind, "e1", {})


@pytest.mark.parametrize("kind", ["request_denied", "request_duplicate"])
def test_a_paused_event_may_be_refused_where_it_could_be_before(kind: str) -> None:
    event = states.current(entries_of("event_paused", kind), "e1")
    assert event.problem == ""
    assert event.state is KINDS[kind]
    with pytest.raises(StateError):  # it was executing: nothing is refused any more
        states.check(entries_of("attempt_started", "event_paused"), kind, "e1", {})


def test_nothing_is_promoted_for_a_claim() -> None:
    """A claim audits somebody else's model; it may be signed off and closed like others."""
    entries = entries_of("attempt_started", signed())
    claim = [replace(entries[0], body={**entries[0].body, "claim": True}), *entries[1:]]
    states.check(entries, "model_promoted", "e1", {"attempt": 1})
    with pytest.raises(StateError):
        states.check(claim, "model_promoted", "e1", {"attempt": 1})
    for kind in ("signed_off", "event_closed"):
        states.check(claim, kind, "e1", {"attempt": 1})


def test_a_step_that_should_not_be_there_is_told_and_changes_nothing() -> None:
    event = states.current(entries_of("attempt_started", "model_promoted"), "e1")
    assert event.state is State.EXECUTING
    assert "entry 2" in event.problem
    assert "model_promoted is not possible" in event.problem


def test_an_event_that_was_never_received_is_entries_of() -> None:
    (row,) = states.events(entries_of("attempt_started")[1:]).values()
    assert "never received" in row.problem
    with pytest.raises(StateError, match="submit its request"):
        states.current([], "e1")


def test_the_rooms_of_the_ledger_itself_are_no_events() -> None:
    assert states.events(entries_of(event="")) == {}


def test_every_kind_leads_somewhere_and_every_state_has_its_exits() -> None:
    assert set(KINDS.values()) - {None} | {State.FAILED_AUDIT} == set(State)
    assert set(TRANSITIONS) == set(State)


def test_attempts_verdicts_and_statements_are_counted() -> None:
    steps = ["attempt_started", ("statement_signed", FAILED), "attempt_closed"]
    second = ("attempt_started", {"attempt": 2})
    event = states.current(entries_of(*steps, second), "e1")
    assert (event.attempt, event.attempt_closed, event.verdict) == (2, False, "FAILED")
    assert event.statements == ("a" * 64,)


@pytest.mark.parametrize(
    ("steps", "pending"),
    [
        ([], True),
        (["attempt_started"], True),
        (["attempt_started", signed()], True),
        (["attempt_started", signed(), "attempt_closed"], False),
        (["attempt_started", signed(verdict="FAILED"), "attempt_closed"], False),
        (["attempt_started", signed(verdict="FAILED"), "retrain_required"], True),
        (["event_paused"], False),
        (["attempt_started", "attempt_failed"], False),
        (["request_denied"], False),
    ],
)
def test_pending_is_what_a_run_should_take_up(steps: list[Any], pending: bool) -> None:
    assert bool(states.pending(entries_of(*steps))) is pending


def test_the_nearest_due_date_comes_first() -> None:
    entries = [
        replace(entries_of(event=event)[0], seq=n, body=body)
        for n, (event, body) in enumerate(
            [("late", {"due": "2026-12-01"}), ("none", {}), ("soon", {"due": "2026-10-01"})]
        )
    ]
    assert [event.id for event in states.pending(entries)] == ["soon", "late", "none"]


def test_the_clock_runs_by_regulation(example: ModuleType) -> None:
    received = datetime(2026, 9, 20, 8, tzinfo=UTC)
    due = deadlines.due_at(received, "ccpa", example.policy())
    assert due == received + timedelta(days=45)
    assert deadlines.days_left(due, received + timedelta(days=44, hours=1)) == 0
    assert deadlines.days_left(due, received + timedelta(days=46)) == -1


@pytest.mark.parametrize(("day", "warned"), [(0, None), (13, None), (14, 14), (27, 21), (90, 28)])
def test_warnings_come_at_their_days(day: int, warned: int | None) -> None:
    received = datetime(2026, 9, 20, tzinfo=UTC)
    assert deadlines.warning(received, received + timedelta(days=day)) == warned


def test_little_time_or_two_failures_force_retraining() -> None:
    due = datetime(2026, 10, 20, tzinfo=UTC)
    assert not deadlines.must_retrain(due, due - timedelta(days=10), 1)
    assert deadlines.must_retrain(due, due - timedelta(days=10), 2)
    assert deadlines.must_retrain(due, due - timedelta(days=6, hours=23), 0)


def test_every_state_has_a_row_and_the_page_has_its_table() -> None:
    assert set(transitions.STATES) == set(State)
    assert all(info.meaning for info in transitions.STATES.values())
    page = (Path(__file__).parents[3] / "docs" / "record.md").read_text()
    assert transitions.as_markdown() in page


def test_one_event_is_the_same_by_its_own_entries_alone() -> None:
    own = entries_of("attempt_started", signed(), "signed_off")
    others = entries_of("attempt_started", event="e2")
    assert states.of(own) == states.events([*others, *own])["e1"] == states.current(own, "e1")
    assert states.of([]) is None


def test_a_body_of_another_form_is_a_problem_of_its_event_only() -> None:
    own = entries_of(("attempt_started", {"attempt": "first"}))
    every = states.events([*own, *entries_of(event="e2")])
    assert "attempt is no int" in every["e1"].problem
    assert every["e2"].problem == ""


@pytest.mark.parametrize("kind", ["attempt_started", "plan_registered"])
def test_an_entry_of_the_same_attempt_does_not_open_it_again(kind: str) -> None:
    own = entries_of("attempt_started", "attempt_closed", kind)
    event = states.current(own, "e1")
    assert (event.problem, event.attempt, event.attempt_closed) == ("", 1, True)
    another = states.current(entries_of("attempt_started", (kind, {"attempt": 2})), "e1")
    assert (another.attempt, another.attempt_closed) == (2, False)


def test_an_entry_that_names_no_attempt_is_of_none_and_refused_for_none() -> None:
    assert Change().attempt == 0
    for kind in ("attempt_started", "plan_registered"):
        event = states.current(entries_of((kind, {})), "e1")
        assert (event.problem, event.state, event.attempt) == ("", State.EXECUTING, 0)
