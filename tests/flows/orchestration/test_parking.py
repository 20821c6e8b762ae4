"""A poisoned request leaves the queue with its reason; the others go on."""

from __future__ import annotations

from typing import Any

import pytest

from compliance.ledger import Ledger, states
from flows.intake import requests
from flows.orchestration import parking
from flows.records import status
from flows.state.errors import BusyError, ModelError, ServerError, StoreError
from flows.state.facts import Closed
from flows.state.files import Artifact
from flows.state.paths import Home


def received(home: Home, event: str, due: str) -> None:
    Ledger(home.ledger).append_once("request_received", event, "receipt", {"due": due})


@pytest.fixture
def queue(home: Home) -> Home:
    for event, due in (("late", "2026-12-24"), ("poisoned", "2026-11-01"), ("soon", "2026-12-01")):
        received(home, event, due)
    return home


def running(outcomes: dict[str, Any], events: list[str]) -> Any:
    file = Artifact(path="report.html", sha256="0" * 64)
    passed = Closed(
        attempt=1,
        ending="event_closed",
        verdict="PASSED",
        reasons=(),
        statement=file,
        report=file,
        registration=None,
    )

    def run(home: Home, event: str) -> Closed:
        events.append(event)
        if isinstance(outcomes.get(event), Exception):
            raise outcomes[event]
        return passed

    return run


def test_the_nearest_deadline_comes_first_and_a_poisoned_request_stops_nobody(
    queue: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries: list[str] = []
    poison = {"poisoned": ModelError("The weights are gone.")}
    monkeypatch.setattr(parking, "run_event", running(poison, entries))
    rows = [parking.decide(queue, event) for event in requests.pending(queue)]
    assert entries == ["poisoned", "soon", "late"]
    assert [row["outcome"] for row in rows] == ["PARKED", "PASSED", "PASSED"]
    assert rows[0]["why"] == "The weights are gone."
    assert requests.pending(queue) == ["soon", "late"]
    poisoned = status.one_event(queue, "poisoned")
    assert (poisoned.state, poisoned.problem) == ("error", "The weights are gone.")


def test_a_defect_is_parked_too_and_its_traceback_is_logged(
    queue: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.state import logs

    logs.write_to(queue)
    monkeypatch.setattr(parking, "run_event", running({"poisoned": KeyError("shape")}, []))
    row = parking.decide(queue, "poisoned")
    assert (row["outcome"], row["why"]) == ("PARKED", "KeyError: 'shape'")
    log = (queue.root / "logs" / "damp.jsonl").read_text()
    assert '"event": "poisoned"' in log
    assert "Traceback" in log


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(BusyError("b"), "BUSY"), (ServerError("s"), "LATER"), (StoreError("full"), "LATER")],
)
def test_what_goes_by_is_left_for_the_next_run(
    queue: Home, monkeypatch: pytest.MonkeyPatch, error: Exception, outcome: str
) -> None:
    monkeypatch.setattr(parking, "run_event", running({"soon": error}, []))
    assert parking.decide(queue, "soon")["outcome"] == outcome
    assert "soon" in requests.pending(queue)


def test_a_parked_event_goes_on_where_it_was_once_a_person_says_so(queue: Home) -> None:
    ledger = Ledger(queue.ledger)
    ledger.append_once("attempt_started", "soon", "attempt-1", {"attempt": 1})
    parking.park(queue, "soon", "The disk of the data is gone.")
    parking.park(queue, "soon", "Still gone.")
    assert requests.pending(queue) == ["poisoned", "late"]
    requests.unpark(queue, "soon")
    assert states.current(ledger.entries(), "soon").state is states.State.EXECUTING
    assert "soon" in requests.pending(queue)
    entries = ledger.entries()
    requests.unpark(queue, "soon")  # it is not parked any more: nothing to do
    assert ledger.entries() == entries
