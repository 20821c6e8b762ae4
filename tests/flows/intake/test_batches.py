"""Several requests on one model: a batch in the ledger, carried out in turn, a verdict each."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compliance.ledger import Ledger, entry_text, states
from compliance.signing import envelope
from flows.intake import batches, lifecycle
from flows.state.paths import Attempt, Home
from tests.flows.running import opened, submitted

RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))


def state_of(home: Home, event: str) -> str:
    return states.current(Ledger(home.ledger).entries(), event).state.value


def places(home: Home, event: str) -> list[Any]:
    scheduled = Ledger(home.ledger).of(event, "event_scheduled")
    return [(entry["body"]["place"], len(entry["body"]["batch"])) for entry in scheduled]


def test_requests_on_one_model_are_scheduled_in_their_order(home: Home) -> None:
    one, other = RECORDS.put(home), RECORDS.put(home)
    batches.schedule(home, [other, one])
    assert (places(home, other), places(home, one)) == ([(1, 2)], [(2, 2)])
    assert {state_of(home, event) for event in (one, other)} == {"scheduled"}
    before = home.ledger.read_bytes()
    batches.schedule(home, [other, one])
    assert home.ledger.read_bytes() == before
    third = RECORDS.put(home)
    batches.schedule(home, [other, one, third])
    assert (places(home, third), places(home, one)) == ([(3, 3)], [(2, 2), (2, 3)])
    (entry, _) = Ledger(home.ledger).of(one, "event_scheduled")
    assert entry_text.words(entry)[1] == "place 2 of its batch"


def test_a_request_alone_on_its_model_is_no_batch(home: Home) -> None:
    event = RECORDS.put(home)
    batches.schedule(home, [event])
    assert (places(home, event), state_of(home, event)) == ([], "received")


def test_a_scheduled_request_can_still_be_denied_or_paused(home: Home) -> None:
    one, other = RECORDS.put(home), RECORDS.put(home)
    batches.schedule(home, [one, other])
    lifecycle.deny(home, one, reason="exempt", note="")
    lifecycle.pause(home, other, reason="the data move")
    assert (state_of(home, one), state_of(home, other)) == ("denied", "paused")


def test_what_runs_or_cannot_be_read_keeps_nobody_from_being_scheduled(home: Home) -> None:
    running, damaged, waiting = (RECORDS.put(home) for _ in range(3))
    Ledger(home.ledger).append("attempt_started", running, {"attempt": 1})
    home.request(damaged).write_text("model: {")
    batches.schedule(home, [running, damaged, waiting])
    assert (state_of(home, running), state_of(home, damaged)) == ("executing", "received")
    assert places(home, waiting) == [(2, 2)]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_each_of_a_batch_is_cut_out_of_the_model_that_is_in_use_then(tmp_path: Path) -> None:
    office = opened(tmp_path)
    events = [submitted(office, 3), submitted(office, 8)]
    run = office.damp("run")
    assert run.returncode in (0, 2), run.stderr
    first, second = (
        envelope.decoded(Attempt(office.home, event, 1).statement)["predicate"] for event in events
    )
    assert [places(office.home, event) for event in events] == [[(1, 2)], [(2, 2)]]
    passed = first["verdict"]["result"] == "PASSED"  # else the model before is still in use
    before = second["inputs"]["modelBefore"]
    assert before["registry"] == {"name": "digits", "version": "2" if passed else "1"}
    after = envelope.decoded(Attempt(office.home, events[0], 1).statement)["subject"][0]
    left = after if passed else first["inputs"]["modelBefore"]
    assert before["digest"] == left["digest"]
    assert second["method"]["parameters"]["retired"] == ([3, 8] if passed else [8])
    assert second["request"]["scope"]["indices"] == [8]
    for event in events:
        assert state_of(office.home, event) in ("closed", "audited", "failed_audit")
        statement = Attempt(office.home, event, 1).statement
        assert office.damp("verify", statement, "--ledger", office.home.ledger).returncode in (0, 2)
