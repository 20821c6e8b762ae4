"""Where the seed of a plan comes from: nobody can choose it, and claims of a batch share it."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from flows.state.facts import UNKNOWN_METHOD
from flows.steps import plan


@dataclass
class Book:
    """A ledger's entries, as far as a seed depends on them."""

    entries_: list[Any]

    def entries(self) -> list[Any]:
        return self.entries_

    def head(self) -> str:
        return str(self.entries_[-1].hash)


def entry(seq: int, kind: str, event: str, **body: Any) -> Any:
    return SimpleNamespace(seq=seq, kind=kind, event=event, hash=f"{seq:08x}" + "0" * 56, body=body)


def planned(seq: int, event: str, *, seed: int, **changed: Any) -> Any:
    content = {
        "modelBefore": "m",
        "dataBefore": "d",
        "dataAfter": "e",
        "forget": [3],
        "method": UNKNOWN_METHOD,
        "seed": seed,
    }
    return entry(seq, "plan_registered", event, plan=content | changed)


MODEL: Any = SimpleNamespace(file=SimpleNamespace(sha256="m"))
DATA: Any = SimpleNamespace(
    before=SimpleNamespace(version="d"), after=SimpleNamespace(version="e"), forget=(3,)
)
CLAIM: Any = SimpleNamespace()


def seed_of(book: Book, event: str) -> plan._Seed:
    return plan._seed(book, event, CLAIM, MODEL, DATA)  # type: ignore[arg-type]


def test_a_claim_of_a_batch_takes_the_seed_that_was_drawn_after_its_receipt() -> None:
    book = Book(
        [
            entry(1, "request_received", "a"),
            entry(2, "request_received", "b"),
            planned(3, "a", seed=2),  # the head was entry 2, and b had been received by then
            entry(4, "event_closed", "a"),
        ]
    )
    seed = seed_of(book, "b")
    assert seed.value == 2
    assert "a" in seed.source
    assert seed.source != plan.SEED_SOURCE


def test_a_seed_that_was_drawn_before_a_claim_came_is_not_its_seed() -> None:
    """Who sees a seed, or the head that it will be, could make a model that suits it."""
    book = Book(
        [
            entry(1, "request_received", "a"),
            entry(2, "request_received", "b"),  # while a's baseline was being measured
            planned(3, "a", seed=1),  # drawn when a alone was there
        ]
    )
    assert seed_of(book, "b") == plan._Seed(value=3, source=plan.SEED_SOURCE)


@pytest.mark.parametrize(
    "changed",
    [
        {"modelBefore": "another"},
        {"dataBefore": "another"},
        {"dataAfter": "another"},
        {"forget": [4]},
        {"method": {"name": "damp"}},
    ],
)
def test_another_original_class_or_data_has_a_seed_of_its_own(changed: dict[str, Any]) -> None:
    book = Book(
        [
            entry(1, "request_received", "a"),
            entry(2, "request_received", "b"),
            planned(3, "a", seed=2, **changed),
        ]
    )
    assert seed_of(book, "b").source == plan.SEED_SOURCE


def test_a_plan_from_before_the_receipt_does_not_count() -> None:
    book = Book(
        [
            entry(1, "request_received", "a"),
            planned(2, "a", seed=1),
            entry(3, "request_received", "b"),
        ]
    )
    assert seed_of(book, "b") == plan._Seed(value=3, source=plan.SEED_SOURCE)
