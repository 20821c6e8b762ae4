"""Suspension, spot checks and edits, by ledgers that were written for it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from compliance.formats import strict_json
from compliance.ledger import Ledger
from compliance.qualification import bounds, lineage, standing
from compliance.signing import SigningKey, Trust, TrustedKey, envelope

Q, OTHER = "a" * 64, "b" * 64


class Book:
    """A ledger with events under qualifications, and a key that signs their checks."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.key = envelope.generate(folder / "keys", demo=True)
        self.stranger = envelope.generate(folder / "others", demo=True)
        line = TrustedKey(
            role="executor",
            public_key=self.key.public_key,
            not_before="2020-01-01T00:00:00Z",
            not_after="2099-01-01T00:00:00Z",
            demo=True,
        )
        self.trust = Trust(keys={}).with_key(self.key.keyid, line)

    @property
    def entries(self) -> list[Any]:
        return self.ledger.entries()

    def event(
        self,
        name: str,
        *,
        under: str | None = Q,
        before: str = "m0",
        after: str = "m1",
        data: tuple[str, str] = ("d0", "d1"),
        verdict: str = "PASSED",
    ) -> None:
        policy: dict[str, Any] = {"yardstick": {"qualification": under}} if under else {}
        plan = {
            "policy": policy,
            "modelBefore": before,
            "dataBefore": data[0],
            "dataAfter": data[1],
        }
        self.ledger.append("plan_registered", name, {"attempt": 1, "plan": plan})
        if verdict == "PASSED":
            self.ledger.append("model_promoted", name, {"model": after})
        self.ledger.append("event_closed", name, {"attempt": 1, "verdict": verdict})

    def check(
        self,
        name: str,
        verdict: str,
        *,
        under: str = Q,
        key: SigningKey | None = None,
        said: dict[str, Any] | None = None,
    ) -> Any:
        body = {
            "attempt": 1,
            "verdict": verdict,
            "findings": hashlib.sha256(name.encode()).hexdigest(),
            "qualification": under,
        }
        facts = {
            **body,
            "event": name,
            "ledger": self.ledger.position(),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        } | (said or {})
        signed = envelope.sign_bytes(
            strict_json.canonical(facts), standing.TYPE, key or self.key
        ).decode()
        return self.ledger.append(standing.CHECKED, name, body | {"signed": signed})

    def suspend(self, name: str) -> None:
        body = {"qualification": Q, "event": name, "reason": "a check has failed"}
        self.ledger.append_once(standing.SUSPENDED, "", name, body)

    def counted(self) -> list[tuple[str, str]]:
        checks = standing.checks(self.entries, Q, self.trust)
        return [(check.event, check.verdict) for check in checks]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


def test_runs_are_the_closed_passes_under_this_qualification(book: Book) -> None:
    book.event("one")
    book.event("two", under=OTHER)
    book.event("three", under=None)
    book.event("four", verdict="INCONCLUSIVE")
    assert [run.event for run in standing.runs(book.entries, Q)] == ["one"]


def test_a_good_check_counts_only_where_a_trusted_executor_has_signed_it(book: Book) -> None:
    for name in ("one", "two"):
        book.event(name)
    book.check("one", "PASSED", key=book.stranger)
    assert book.counted() == []
    book.check("two", "PASSED")
    assert book.counted() == [("two", "PASSED")]


def test_a_check_that_failed_counts_whoever_has_signed_it(book: Book) -> None:
    book.event("one")
    book.check("one", "FAILED", key=book.stranger)
    assert book.counted() == [("one", "FAILED")]


@pytest.mark.parametrize(
    "said",
    [
        {"event": "two"},  # that of another event
        {"qualification": OTHER},  # under another qualification
        {"verdict": "FAILED"},
        {"findings": "0" * 64},
        {"attempt": 2},
        {"ledger": {"origin": "another", "sequence": 1, "previous": "0" * 64}},
    ],
)
def test_a_replayed_check_does_not_count(book: Book, said: dict[str, Any]) -> None:
    book.event("one")
    book.check("one", "PASSED", said=said)
    assert book.counted() == []


def test_the_first_check_of_an_event_stands(book: Book) -> None:
    book.event("one")
    book.check("one", "FAILED")
    book.check("one", "PASSED")
    assert book.counted() == [("one", "FAILED")]


def test_events_in_doubt_are_those_since_the_last_good_check(book: Book) -> None:
    for name in ("one", "two", "three", "four", "five"):
        book.event(name)
    book.check("two", "PASSED")
    book.check("four", "FAILED")
    assert standing.in_doubt(book.entries, Q, book.trust) == []  # nothing is suspended yet
    book.suspend("four")
    assert standing.in_doubt(book.entries, Q, book.trust) == ["three", "four", "five"]


def test_without_a_good_check_all_are_in_doubt(book: Book) -> None:
    for name in ("one", "two"):
        book.event(name)
    book.check("one", "PASSED", key=book.stranger)
    book.suspend("two")
    assert standing.in_doubt(book.entries, Q, book.trust) == ["one", "two"]


def test_bounds_follow_the_checks_and_one_failure_ends_it(book: Book) -> None:
    for number in range(10):
        book.event(str(number))
        book.check(str(number), "PASSED")
    now = standing.bounds_of(book.entries, Q, book.trust)
    assert (now.checked, now.failed, now.undecided) == (10, 0, 0)
    assert now.at_most == pytest.approx(bounds.anytime(0, 10))
    assert standing.must_suspend(now, 0.2) == ""
    book.event("bad")
    book.check("bad", "FAILED")
    assert "fails" in standing.must_suspend(standing.bounds_of(book.entries, Q, book.trust), 0.2)


def test_undecided_checks_end_it_only_when_they_show_more_than_was_promised(book: Book) -> None:
    for number in range(6):
        book.event(str(number))
    book.check("0", "INCONCLUSIVE")
    now = standing.bounds_of(book.entries, Q, book.trust)
    assert standing.must_suspend(now, 0.2) == ""
    for number in range(1, 6):
        book.check(str(number), "INCONCLUSIVE")
    now = standing.bounds_of(book.entries, Q, book.trust)
    assert "sequential test" in standing.must_suspend(now, 0.2)


def edits(book: Book, model: str, data: str) -> int | None:
    return lineage.edits(book.entries, base=("m0", "d0"), model=(model, data), qualification=Q)


def test_edits_are_counted_along_the_chain(book: Book) -> None:
    book.event("one")
    book.event("two", before="m1", after="m2", data=("d1", "d2"))
    assert [edits(book, f"m{n}", f"d{n}") for n in range(3)] == [0, 1, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"under": OTHER},
        {"under": None},
        {"before": "elsewhere"},
        {"data": ("dx", "d1")},
        {"verdict": "FAILED"},
    ],
)
def test_a_link_of_another_kind_breaks_the_chain(book: Book, change: dict[str, Any]) -> None:
    book.event("one", **change)
    assert edits(book, "m1", "d1") is None


def test_data_that_are_not_what_the_event_has_left_break_it(book: Book) -> None:
    book.event("one")
    assert edits(book, "m1", "d0") is None


def test_a_circle_ends(book: Book) -> None:
    book.event("one", before="m1", after="m1", data=("d1", "d1"))
    assert edits(book, "m1", "d1") is None
