"""The journal of an attempt, and those that an earlier damp wrote."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from flows.records import status
from flows.state import journal
from flows.state.paths import Attempt, Home

FORMER = [
    ("accept", "accept", "1/10 Accept the request"),
    ("references", "train_references", "4/10 Retrain references"),
    ("cut", "edit", "6/10 Extract prototypes and cut"),
    ("record", "conclude", "8/10 Judge, report and sign"),
]


@pytest.fixture
def attempt(home: Home) -> Attempt:
    attempt = Attempt(home, "event", 1)
    attempt.folder.mkdir(parents=True)
    return attempt


def line(step: str, what: str, **more: Any) -> str:
    """A line as it was written before steps noted number and title."""
    note = {"step": step, "what": what, "at": "2026-09-20T08:00:00.000+00:00", "pid": os.getpid()}
    return json.dumps(note | more) + "\n"


@pytest.mark.parametrize(("former", "name", "words"), FORMER)
def test_steps_of_an_older_journal_come_under_their_names_of_today(
    attempt: Attempt, former: str, name: str, words: str
) -> None:
    attempt.journal.write_text(line(former, "began") + line(former, "done", seconds=1.5))
    notes = journal.read(attempt)
    assert [(note["step"], note["what"]) for note in notes] == [(name, "began"), (name, "done")]
    assert sum(note.get("seconds", 0.0) for note in notes) == 1.5
    assert status._doing(attempt, journal.read(attempt)) == f"{words} (done)"


def test_a_step_notes_its_place_and_title(attempt: Attempt) -> None:
    label = journal.Label(name="edit", number=6, of=10, title="Edit the model")
    with journal.entered(attempt, label):
        assert status._doing(attempt, journal.read(attempt)) == "6/10 Edit the model (began)"
    assert status._doing(attempt, journal.read(attempt)) == "6/10 Edit the model (done)"
    assert [note["step"] for note in journal.read(attempt)] == ["edit", "edit"]


def test_an_older_journal_goes_on_in_the_form_of_today(attempt: Attempt) -> None:
    attempt.journal.write_text(line("cut", "began") + '{"step": "cut", "wh')
    with journal.entered(attempt, journal.Label(name="edit", number=6, of=10, title="Edit")):
        pass
    assert [note["step"] for note in journal.read(attempt)] == ["edit"] * 3


def test_lines_of_somebody_else_are_left_out_and_a_pipe_is_refused(home: Home) -> None:
    attempt = Attempt(home, "5f0c7c2e-0000-4000-8000-000000000000", 1)
    attempt.folder.mkdir(parents=True)
    attempt.journal.write_bytes(b'[]\nnull\n7\n"\xff"\n{"step": 3}\n{"step": "no such"}\n[[[\n')
    assert journal.read(attempt) == []
    attempt.journal.unlink()
    os.mkfifo(attempt.journal)
    with pytest.raises(OSError, match="no regular file"):
        journal.read(attempt)
