"""The status of events: one alone says what it says among all, and is read from its own entries."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.records import status
from flows.state.errors import EventError
from flows.state.paths import Home

RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))


@pytest.fixture
def events(home: Home) -> list[str]:
    """One event that is pending, one that failed, one that passed."""
    pending, failed, passed = (RECORDS.put(home) for _ in range(3))
    RECORDS.decide(home, failed, verdict="FAILED")
    RECORDS.decide(home, passed)
    return [pending, failed, passed]


def test_one_event_says_what_it_says_among_all(home: Home, events: list[str]) -> None:
    listed = status.all_events(home)
    assert [event.id for event in listed] == events
    assert [event.verdict for event in listed] == [None, "FAILED", "PASSED"]
    assert [status.one_event(home, event) for event in events] == listed


def test_only_the_statement_of_the_event_is_read(
    home: Home, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    decode = status.envelope.decoded
    monkeypatch.setattr(
        status.envelope, "decoded", lambda path: opened.append(path) or decode(path)
    )
    shown = status.one_event(home, events[2])
    assert [str(path) for path in opened] == [shown.statement]


def test_an_event_that_nobody_filed_is_refused(home: Home, events: list[str]) -> None:
    with pytest.raises(EventError, match="knows no event nobody"):
        status.one_event(home, "nobody")
    with pytest.raises(EventError, match="knows no event"):
        status.one_event(Home(home.root / "empty"), events[0])
