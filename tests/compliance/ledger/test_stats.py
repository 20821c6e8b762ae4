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
    entries = Entries()
    entries.receive(-3, "last year")
    entries.receive(0, "passed")
    entries.decide(2, "passed", "PASSED")
    entries.add(4, "passed", "event_closed", verdict="PASSED")
    entries.receive(10, "failed then passed", regulation="ccpa", days=45)
    entries.decide(12, "failed then passed", "FAILED")
    entries.add(12, "failed then passed", "retrain_required")
    entries.decide(13, "failed then passed", "PASSED", attempt=2)
    entries.add(60, "failed then passed", "event_closed", verdict="PASSED")  # five days late
    entries.receive(20, "denied")
    entries.add(21, "denied", "request_denied", reason="unverifiable")
    entries.receive(20, "denied too")
    entries.add(30, "denied too", "request_denied", reason="exempt")
    entries.receive(30, "withdrawn")
    entries.add(31, "withdrawn", "event_cancelled", reason="withdrawn")
    entries.receive(30, "twice")
    entries.add(31, "twice", "request_duplicate", of="passed")
    entries.receive(40, "given up")
    entries.decide(41, "given up", "INCONCLUSIVE")
    entries.add(50, "given up", "event_closed", reason="model deleted")
    entries.receive(100, "overdue")
    entries.receive(100, "extended")
    due = (START + timedelta(days=250)).isoformat()
    entries.add(101, "extended", "deadline_extended", days=60, due=due, reason="many")
    entries.receive(199, "new", regulation="contract")
    entries.receive(400, "next year")
    return entries.entries


def test_every_count_is_what_a_count_by_hand_gives() -> None:
    figures = counts(year(), NOW, **YEAR)
    assert figures["received"] == 10
    assert figures["by_regulation"] == {"ccpa": 1, "contract": 1, "gdpr": 8}
    assert figures["complied_with"] == 2
    assert (figures["denied"], figures["denied_by_reason"]) == (2, {"exempt": 1, "unverifiable": 1})
    assert (figures["cancelled"], figures["duplicates"], figures["closed_otherwise"]) == (1, 1, 1)
    assert (figures["open"], figures["overdue"], figures["extended"]) == (3, 1, 1)
    assert figures["answered_late"] == 1
    # answered after 4, 50, 1, 10 and 10 days
    assert (figures["answered"], figures["median_days"], figures["mean_days"]) == (5, 10.0, 15.0)
    assert figures["attempts"] == 4
    assert figures["verdicts"] == {"FAILED": 1, "INCONCLUSIVE": 1, "PASSED": 2}


def test_a_period_counts_by_receipt() -> None:
    january = {"since": START, "until": START + timedelta(days=31)}
    assert counts(year(), NOW, **january)["received"] == 6
    assert counts(year(), NOW, since=START, until=START + timedelta(seconds=1))["received"] == 1


def test_nothing_received_gives_no_invented_days() -> None:
    figures = counts([], NOW, **YEAR)
    assert (figures["received"], figures["median_days"], figures["mean_days"]) == (0, None, None)


def test_the_kinds_that_answer_exist() -> None:
    from compliance.ledger.states import KINDS

    assert set(stats.ANSWERS) <= set(KINDS)


def test_audits_of_claims_are_counted_apart() -> None:
    entries = Entries()
    entries.receive(0, "request")
    entries.add(1, "claim", "request_received", claim=True, received=START.isoformat(), due="")
    entries.decide(2, "claim", "PASSED")
    figures = counts(entries.entries, NOW, **YEAR)
    assert (figures["received"], figures["claims"], figures["attempts"]) == (1, 1, 0)


def test_audits_made_again_are_counted_by_their_entries() -> None:
    entries = Entries()
    for event in ("one", "other"):
        entries.receive(0, event)
        entries.decide(1, event, "PASSED")
        entries.add(2, event, "event_closed", verdict="PASSED")
    for day in (10, 20, 30):
        entries.add(day, "one", "reaudited")
    assert counts(entries.entries, NOW, **YEAR)["reaudits"] == 3


def test_a_denial_that_comes_too_late_to_be_one_answers_nothing() -> None:
    """The attempt is under way, so that the entry changes nothing: nobody was answered."""
    entries = Entries()
    entries.receive(0, "under way", days=30)
    entries.add(1, "under way", "attempt_started", attempt=1)
    entries.add(40, "under way", "request_denied", reason="exempt")
    figures = counts(entries.entries, NOW, **YEAR)
    assert (figures["open"], figures["denied"], figures["answered"]) == (1, 0, 0)
    assert figures["answered_late"] == 0
    assert figures["median_days"] is None


def test_what_falls_on_the_due_date_to_the_second_is_neither_late_nor_overdue() -> None:
    entries = Entries()
    entries.receive(0, "answered", days=30)
    entries.add(30, "answered", "request_denied", reason="exempt")
    entries.receive(0, "open", days=200)  # due at NOW itself
    figures = counts(entries.entries, NOW, **YEAR)
    assert (figures["answered_late"], figures["overdue"]) == (0, 0)
    later = counts(entries.entries, NOW + timedelta(seconds=1), **YEAR)
    assert (later["answered_late"], later["overdue"]) == (0, 1)
