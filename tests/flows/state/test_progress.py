"""How far the running step is, as `damp status` reads it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from flows.state import progress


class Page:
    """Keeps the steps and notes that it is given."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, str]] = []
        self.notes: list[str] = []

    def step(self, number: int, title: str) -> None:
        self.steps.append((number, title))

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_the_first_part_of_a_step_is_written_and_read(tmp_path: Path) -> None:
    page, file = Page(), tmp_path / "progress.json"
    recorder = progress.Recorder(progress.Silent(), file, page)
    recorder.step(4, "Retrain references")
    recorder.advance("seed 0", 1, 3)
    recorder.advance("seed 1", 2, 3)  # within half a second: not written
    assert page.steps == [(4, "Retrain references")]
    expected = {"text": "seed 0", "done": 1, "total": 3, "pid": os.getpid()}
    assert json.loads(file.read_text()) == expected
    assert progress.read(file) == progress.Part(**expected)


def test_a_note_reaches_the_page_and_whoever_else_listens(tmp_path: Path) -> None:
    class Heard(Page, progress.Silent):
        """Another one that listens."""

    page, heard = Page(), Heard()
    progress.Recorder(heard, tmp_path / "progress.json", page).note("the chance is 0.90")
    assert page.notes == heard.notes == ["the chance is 0.90"]


def test_half_a_file_is_no_part(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    assert progress.read(file) is None
    file.write_text('{"text": "seed 0", "do')
    assert progress.read(file) is None


def test_a_disk_that_is_full_ends_no_step(tmp_path: Path) -> None:
    recorder = progress.Recorder(progress.Silent(), tmp_path, Page())  # not a file
    recorder.advance("seed 0", 1, 3)
