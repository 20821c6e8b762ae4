"""What is due: clocks, and the next step of every event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from compliance.ledger import inbox
from compliance.ledger.states import Event, State

NOW = datetime(2026, 9, 25, 8, tzinfo=UTC)


def event(state: State, **changes: Any) -> Event:
    given: dict[str, Any] = {"id": "e1", "received": "2026-09-20T08:00:00Z"}
    return Event(state=state, **(given | changes))


PASSED = {"verdict": "PASSED", "attempt_closed": True}


@pytest.mark.parametrize(
    ("state", "changes", "step"),
    [
        (State.CLOSED, {}, ""),
        (State.CLOSED, {"problem": "entry 3"}, ""),
        (State.RECEIVED, {"problem": "entry 3"}, "look at it: entry 3"),
        (State.PAUSED, {}, "damp resume e1"),
        (State.RECEIVED, {"identity": "required"}, "damp verify-identity e1 --role ROLE"),
        (State.RECEIVED, {"identity": "required", "verified_by": "owner"}, "damp run --event e1"),
        (State.RECEIVED, {}, "damp run --event e1"),
        (State.AUDITED, PASSED, "damp promote --event e1"),
        (State.AUDITED, PASSED | {"claim": True}, "damp close e1 --reason ..."),
        (
            State.AUDITED,
            PASSED | {"signoffs": ("executor", "reviewer")},
            "damp approve e1 --role reviewer",
        ),
        (
            State.AUDITED,
            {"verdict": "INCONCLUSIVE", "attempt_closed": True, "claim": True},
            "damp status --event e1, which says what to do after INCONCLUSIVE",
        ),
        (
            State.FAILED_AUDIT,
            {"verdict": "FAILED", "attempt_closed": True},
            "damp status --event e1, which says what to do after FAILED",
        ),
    ],
)
def test_the_next_step_follows_from_where_an_event_stands(
    state: State, changes: dict[str, Any], step: str
) -> None:
    assert inbox.next_step(event(state, **changes)) == step


def test_the_nearest_due_date_comes_first_and_what_has_ended_only_where_asked_for() -> None:
    late = event(State.RECEIVED, id="late", due="2026-09-24T09:00:00Z")
    soon = event(State.RECEIVED, id="soon", due="2026-09-28T08:00:00Z")
    ended = event(State.CLOSED, id="ended", due="2026-09-01T08:00:00Z", reason="done")
    every = [soon, ended, late]
    assert [row.id for row in inbox.rows(every, NOW)] == ["late", "soon"]
    rows = inbox.rows(every, NOW, ended=True)
    assert [row.id for row in rows] == ["late", "soon", "ended"]
    assert [row.days_left for row in rows] == [-1, 3, None]
    assert (rows[2].warning, rows[2].due, rows[2].reason) == (None, ended.due, "done")


def test_what_was_not_entered_is_none_in_a_row() -> None:
    row = inbox.row(event(State.RECEIVED), NOW)
    assert (row.regulation, row.due, row.days_left, row.warning) == (None,) * 4
    assert (row.verdict, row.reason) == (None, None)
    assert row.to_json()["awaited"] == []
