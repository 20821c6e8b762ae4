"""The pictures of the report in docs/, taken of a real event by a real browser.

    python -m benchmarks.screenshots STATE [EVENT]

STATE is a state folder with a finished event, as `damp demo` leaves it. Pictures are made smaller
by limiting them to 256 colours, which a page of text does not miss.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from flows import browser

DOCS = Path(__file__).parents[1] / "docs"
WIDTH = 1000
"""Of the window, in the page's pixels."""
SCALE = 1.6


def main() -> None:
    """Take all pictures anew."""
    home = Path(sys.argv[1])
    events = sorted(home.glob("events/*")) if len(sys.argv) < 3 else [home / "events" / sys.argv[2]]
    report = max(events[0].glob("attempt-*/report.html"))
    page = report.read_text(encoding="utf-8")
    for name, (start, height) in PICTURES.items():
        take(page, name, start, height)


PICTURES = {"report": (None, 1300), "report-evidence": ("evidence", 1250)}
"""File name: id of the heading that the picture starts with, height in the page's pixels."""


def take(page: str, name: str, start: str | None, height: int) -> None:
    """One picture of a page from a heading on."""
    hidden = "" if start is None else f"#{start}"
    with tempfile.TemporaryDirectory() as folder:
        file, shot = Path(folder) / "page.html", Path(folder) / "shot.png"
        file.write_text(page if not hidden else _from(page, hidden), encoding="utf-8")
        browser.screenshot(file, shot, width=WIDTH, height=height, scale=SCALE)
        picture = Image.open(shot).convert("RGB").quantize(256, dither=Image.Dither.NONE)
        picture.save(DOCS / f"{name}.png", optimize=True)
    print(DOCS / f"{name}.png")


def _from(page: str, heading: str) -> str:
    """The page without what stands before the section with a heading."""
    style = f"header, main > section:has(~ section {heading}), nav {{ display: none; }}</style>"
    return page.replace("</style>", style, 1)


if __name__ == "__main__":
    main()
