"""What is shown of trainings is true: which model of how many, which epoch, and the time left."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from audits.references import Epoch
from flows.models import trainings
from flows.state import progress
from flows.state.files import Artifact
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


def test_each_epoch_is_shown_with_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four epochs, ten seconds each by a clock of our own; one more training follows."""
    now = [0.0]
    monkeypatch.setattr(trainings.time, "monotonic", lambda: now[0])
    heard = Heard()
    with progress.reporting_to(heard):
        show = trainings._Shown("references: model 1 of 3", later=1)
        for epoch in (1, 2, 3, 4):
            now[0] += 10
            show(Epoch(number=epoch, of=4, loss=0.5, accuracy=0.75))
    left = [re.search(r", (\S+ \S+) left", text) for text, _, _ in heard.parts]
    # of this model 30, 20, 10, 0 seconds; 40 for the one that follows
    assert [each[1] for each in left if each] == ["70 s", "60 s", "50 s", "40 s"]
    text = "references: model 1 of 3, epoch 2 of 4, loss 0.500, accuracy 75.0%, 60 s left"
    assert heard.parts[1] == (text, 2, 4)


def test_trainings_that_follow_are_those_that_are_not_there_yet(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    model = Artifact(path="models/x", sha256="0" * 64)
    monkeypatch.setattr(references, "cached", lambda job: model if job.seed == 2 else None)

    def train(job: object, what: str, later: int) -> Artifact:
        asked.append((what, later))
        return model

    monkeypatch.setattr(references, "_train", train)
    jobs = [SimpleNamespace(seed=seed) for seed in (1, 2, 3)]
    references._train_all(jobs, "references")  # type: ignore[arg-type]
    assert asked == [("references: model 1 of 3", 1), ("references: model 3 of 3", 0)]


def test_a_pace_is_what_was_taken_over_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references.time, "monotonic", lambda: 130.0)
    assert references._pace(100.0, 2, 5, 1003) == "seed 1003 is there, 45 s left"
