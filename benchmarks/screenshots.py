"""The pictures of the pages in docs/, taken of real events by a real browser.

    python -m benchmarks.screenshots STATE [EVENT [EVENT/ATTEMPT ...]]

STATE is a state folder with finished events, as `damp demo` and `damp run` leave it. The first
event (else the first that lies there) is the report's; the others (else all attempts of an event
with several) stand in the comparison. tests/flows/test_pictures.py takes the same pictures of the
demo's event and of an index. Pictures are made smaller by limiting them to 256 colours, which a
page of text does not miss.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from flows import browser, eventindex, reporting
from flows.layout import Home

DOCS = Path(__file__).parents[1] / "docs"
WIDTH = 1000
"""Of the window, in the page's pixels."""
SCALE = 1.6


def main() -> None:
    """Take all pictures anew."""
    home, (first, *others) = Home(Path(sys.argv[1])), sys.argv[2:] or [""]
    events = sorted(home.events.iterdir()) if not first else [home.event(first)]
    report = max(events[0].glob("attempt-*/report.html"))
    told = {
        "report": report.read_text(encoding="utf-8"),
        "index": eventindex.write(home).read_text(encoding="utf-8"),
        "comparison": compared(home, others or [_with_several(home)]),
    }
    for name, (page, _, _) in PICTURES.items():
        print(take(told[page], name, DOCS))


def compared(home: Home, named: Sequence[str]) -> str:
    """The page that holds attempts side by side, each named EVENT or EVENT/ATTEMPT."""
    from compliance.report_index import render_comparison

    return render_comparison(reporting.compare(home, named))


def _with_several(home: Home) -> str:
    """The first event with more than one attempt."""
    return next(e.name for e in sorted(home.events.iterdir()) if (e / "attempt-2").is_dir())


PICTURES: Mapping[str, tuple[str, str | None, int]] = {
    "report": ("report", None, 1300),
    "report-evidence": ("report", "evidence", 1250),
    "report-comparison": ("comparison", None, 1300),
    "report-index": ("index", None, 560),
}
"""File name: which page, id of the heading that the picture starts with, height in the page's
pixels."""


def take(page: str, name: str, folder: Path) -> Path:
    """One of the pictures of a page; where it lies."""
    _, start, height = PICTURES[name]
    target = folder / f"{name}.png"
    with tempfile.TemporaryDirectory() as place:
        file, shot = Path(place) / "page.html", Path(place) / "shot.png"
        file.write_text(page if start is None else _from(page, f"#{start}"), encoding="utf-8")
        browser.screenshot(file, shot, width=WIDTH, height=height, scale=SCALE)
        picture = Image.open(shot).convert("RGB").quantize(256, dither=Image.Dither.NONE)
        picture.save(target, optimize=True)
    return target


def _from(page: str, heading: str) -> str:
    """The page without what stands before the section with a heading."""
    style = f"header, main > section:has(~ section {heading}), nav {{ display: none; }}</style>"
    return page.replace("</style>", style, 1)


if __name__ == "__main__":
    main()
