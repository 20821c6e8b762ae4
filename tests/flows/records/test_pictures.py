"""The pictures of docs/: taken of pages as damp makes them, whole, and shown where they belong."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from benchmarks import screenshots
from flows.records import event_index, pdf, reports
from flows.state.errors import BrowserError
from flows.state.paths import Home

RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))


@pytest.fixture
def pages(home: Home) -> dict[str, str]:
    """Report, comparison and index of an event that failed once and then passed."""
    try:
        pdf.find()
    except BrowserError:
        pytest.skip("NOT TESTED: there is no browser to take pictures with")
    event = RECORDS.put(home)
    RECORDS.decide(home, event, verdict="FAILED")
    attempt = RECORDS.decide(home, event, number=2)
    return {
        "report": reports.render(attempt, "html").decode(),
        "comparison": screenshots.compared(home, [event]),
        "index": event_index.write(home).read_text(encoding="utf-8"),
    }


@pytest.mark.browser
@pytest.mark.parametrize("name", list(screenshots.PICTURES))
def test_a_picture_shows_its_page_in_its_size(
    name: str, pages: dict[str, str], tmp_path: Path
) -> None:
    page, _, height = screenshots.PICTURES[name]
    with Image.open(screenshots.DOCS / f"{name}.png") as shown:
        size = shown.size
    with Image.open(screenshots.take(pages[page], name, tmp_path)) as taken:
        ink = taken.convert("L").point(lambda grey: 255 * (grey < 128)).getbbox()
    sides = (round(screenshots.WIDTH * screenshots.SCALE), round(height * screenshots.SCALE))
    assert taken.size == sides == size
    assert ink is not None
    assert ink[3] - ink[1] > 0.6 * taken.height  # a page, not a blank one or its first line


def test_every_picture_of_a_page_is_shown_with_words_for_who_cannot_see_it() -> None:
    shown = re.findall(
        r"!\[([^\]]+)\]\(([^)]+)\.png\)", (screenshots.DOCS / "report.md").read_text()
    )
    assert {name for _, name in shown} == set(screenshots.PICTURES)
    assert all(len(words.split()) > 3 for words, _ in shown)
