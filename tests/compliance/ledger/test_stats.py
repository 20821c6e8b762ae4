"""Counts over requests, against a count by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from compliance.ledger import Entry, stats
from compliance.ledger.stats import counts

START = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = {"since": START, "until": datetime(2027, 1, 1, tzinfo=UTC)}
NOW = START + timedelta(days=200)


class Entries:
    """Ledger entries of several events, each step at a day of the year."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, day: float, event: str, kind: str, **body: Any) -> None:
        time = (START + timedelta(days=day)).isoformat()
        rest = dict.fromkeys(("key", "previous", "hash"), "")
        number = len(self.entries)
        self.entries.append(Entry(seq=number, time=time, kind=kind, event=event, body=body, **rest))

    def receive(self, day: float, event: str, *, days: int = 30, regulation: str = "gdpr") -> None:
        received = START + timedelta(days=day)
        due = received + timedelta(days=days)
        facts = {"received": received.isoformat(), "due": due.isoformat()}
        self.add(day, event, "request_received", regulation=regulation, **facts)

    def decide(self, day: float, event: str, verdict: str, attempt: int = 1) -> None:
        self.add(day, event, "attempt_started", attempt=attempt)
        self.add(day, event, "statement_signed", attempt=attempt, verdict=verdict, statement="d")


def year() -> list[Entry]:
    told = Entries()
    told.receive(-3, "last year")
    told.receive(0, "passed")
    told.decide(2, "passed", "PASSED")
    told.add(4, "passed", "event_closed", verdict="PASSED")
    told.receive(10, "failed then passed", regulation="ccpa", days=45)
    told.decide(12, "failed then passed", "FAILED")
    told.add(12, "failed then passed", "retrain_required")
    told.decide(13, "failed then passed", "PASSED", attempt=2)
    told.add(60, "failed then passed", "event_closed", verdict="PASSED")  # five days late
    told.receive(20, "denied")
    told.add(21, "denied", "request_denied", reason="unverifiable")
    told.receive(20, "denied too")
    told.add(30, "denied too", "request_denied", reason="exempt")
    told.receive(30, "withdrawn")
    told.add(31, "withdrawn", "event_cancelled", reason="withdrawn")
    told.receive(30, "twice")
    told.add(31, "twice", "request_duplicate", of="passed")
    told.receive(40, "given up")
    told.decide(41, "given up", "INCONCLUSIVE")
    told.add(50, "given up", "event_closed", reason="model deleted")
    told.receive(100, "overdue")
    told.receive(100, "extended")
    due = (START + timedelta(days=250)).isoformat()
    told.add(101, "extended", "deadline_extended", days=60, due=due, reason="many")
    told.receive(199, "new", regulation="contract")
    told.receive(400, "next year")
    return told.entries


def test_every_count_is_what_a_count_by_hand_gives() -> None:
    found = counts(year(), NOW, **YEAR)
    assert found["received"] == 10
    assert found["by_regulation"] == {"ccpa": 1, "contract": 1, "gdpr": 8}
    assert found["complied_with"] == 2
    assert (found["denied"], found["denied_by_reason"]) == (2, {"exempt": 1, "unverifiable": 1})
    assert (found["cancelled"], found["duplicates"], found["closed_otherwise"]) == (1, 1, 1)
    assert (found["open"], found["overdue"], found["extended"]) == (3, 1, 1)
    assert found["answered_late"] == 1
    # answered after 4, 50, 1, 10 and 10 days
    assert (found["answered"], found["median_days"], found["mean_days"]) == (5, 10.0, 15.0)
    assert found["attempts"] == 4
    assert found["verdicts"] == {"FAILED": 1, "INCONCLUSIVE": 1, "PASSED": 2}


def test_a_period_counts_by_receipt() -> None:
    january = {"since": START, "until": START + timedelta(days=31)}
    assert counts(year(), NOW, **january)["received"] == 6
    assert counts(year(), NOW, since=START, until=START + timedelta(seconds=1))["received"] == 1


def test_nothing_received_gives_no_invented_days() -> None:
    found = counts([], NOW, **YEAR)
    assert (found["received"], found["median_days"], found["mean_days"]) == (0, None, None)


def test_the_kinds_that_answer_exist() -> None:
    from compliance.ledger.states import KINDS

    assert set(stats.ANSWERS) <= set(KINDS)


def test_audits_of_claims_are_counted_apart() -> None:
    told = Entries()
    told.receive(0, "request")
    told.add(1, "claim", "request_received", claim=True, received=START.isoformat(), due="")
    told.decide(2, "claim", "PASSED")
    found = counts(told.entries, NOW, **YEAR)
    assert (found["received"], found["claims"], found["attempts"]) == (1, 1, 0)
