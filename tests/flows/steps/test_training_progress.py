"""What is shown of trainings is true: which model of how many, which epoch, and the time left."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flows.state import progress
from flows.state.paths import Home
from flows.steps import references


class Heard:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, int, int]] = []

    def step(self, number: int, title: str) -> None:
        raise AssertionError("no step of an event runs here")

    def advance(self, text: str, done: int, total: int) -> None:
        self.parts.append((text, done, total))


def test_each_epoch_is_shown_with_the_time_that_is_left(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three models of four epochs, ten seconds an epoch by a clock of our own; one is there."""
    now = [0.0]
    there = {"b"}
    monkeypatch.setattr(references.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(references, "cached", lambda job: Path() if job in there else None)
    heard = Heard()
    with progress.reporting_to(heard):
        show = references._epochs(["a", "b", "c"], 0, "references")  # type: ignore[list-item]
        for epoch in (1, 2, 3, 4):
            now[0] += 10
            show(epoch, 4, 0.5)
    left = [re.search(r", (\S+ \S+) left", text) for text, _, _ in heard.parts]
    # of this model 30, 20, 10, 0 seconds; 40 for the one that is not there yet
    assert [each[1] for each in left if each] == ["70 s", "60 s", "50 s", "40 s"]
    assert heard.parts[1] == ("references: model 1 of 3, epoch 2 of 4, 60 s left", 0, 3)


def test_a_pace_is_what_was_taken_over_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references.time, "monotonic", lambda: 130.0)
    assert references._pace(100.0, 2, 5, 1003) == "seed 1003 is there, 45 s left"
