"""The pictures in docs/, taken of real events by a real browser.

    python -m benchmarks.screenshots STATE [EVENT [EVENT/ATTEMPT ...]]

STATE is a state folder with finished events, as `damp demo` and `damp run` leave it. The first
event (else the first that lies there) is the report's; the others (else all attempts of an event
with several) stand in the comparison. Where `damp up` ran meanwhile and still does, the first
event's pages at Prefect and MLflow are taken too. tests/flows/records/test_pictures.py takes the
pictures of reports, comparison and index. Pictures are made smaller by limiting them to 256
colours, which a page of text does not miss.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
from PIL import Image

from benchmarks import relay
from flows.records import event_index, pdf, reports
from flows.servers import auth, local_services
from flows.state.paths import Home

DOCS = Path(__file__).parents[1] / "docs"
WIDTH = 1000
"""Of the window, in the page's pixels."""
SCALE = 1.6


def main() -> None:
    """Take all pictures anew."""
    home, (first, *others) = Home(Path(sys.argv[1]).absolute()), sys.argv[2:] or [""]
    events = sorted(home.events.iterdir()) if not first else [home.event(first)]
    report = max(events[0].glob("attempt-*/report.html"))
    query = {
        "report": report.read_text(encoding="utf-8"),
        "index": event_index.write(home).read_text(encoding="utf-8"),
        "comparison": compared(home, others or [_with_several(home)]),
    }
    for name, (page, _, _) in PICTURES.items():
        print(take(query[page], name, DOCS))
    for name, picture in (("prefect", _prefect), ("mlflow", _mlflow)):
        if (service := local_services.running(home, name)) is not None:
            with relay.with_password(service.url, auth.auth_string(home.root)) as url:
                print(save(picture(url, events[0].name), f"operations-{name}", DOCS))


def compared(home: Home, named: Sequence[str]) -> str:
    """The page that holds attempts side by side, each named EVENT or EVENT/ATTEMPT."""
    from compliance.report.index import render_comparison

    return render_comparison(reports.compare(home, named))


def _with_several(home: Home) -> str:
    """The first event with more than one attempt."""
    return next(e.name for e in sorted(home.events.iterdir()) if (e / "attempt-2").is_dir())


def _prefect(url: str, event: str) -> Image.Image:
    """The run of an event, and below it the artifact with its verdict."""

    def asked(what: str) -> list[dict[str, str]]:
        answer: list[dict[str, str]] = httpx.post(f"{url}/api/{what}/filter", json={}).json()
        return answer

    run = next(each for each in asked("flow_runs") if f"event {event[:8]}" in each["tags"])
    artifact = next(
        each for each in asked("artifacts") if each["key"].startswith(f"verdict-{event}")
    )
    above = served(f"{url}/runs/flow-run/{run['id']}", 1400, 600)
    below = served(f"{url}/artifacts/artifact/{artifact['id']}", 1400, 450)
    both = Image.new("RGB", (1400, 895))  # below that, the page names paths of this machine
    both.paste(above, (0, 0))
    both.paste(below, (0, 600))
    return both


def _mlflow(url: str, event: str) -> Image.Image:
    """The version that an event has made, without the assistant that MLflow puts beside it."""
    query = {"filter": f"tags.`damp.event_id` = '{event}'"}
    path = "api/2.0/mlflow/model-versions/search"
    version = httpx.get(f"{url}/{path}", params=query).json()["model_versions"][0]
    address = f"{url}/#/models/{version['name']}/versions/{version['version']}"
    return served(address, 1700, 850).crop((0, 0, 1262, 850))


def served(address: str, width: int, height: int) -> Image.Image:
    """A server's page, some seconds after it was opened: it draws itself."""
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        pdf.screenshot(address, shot, width=width, height=height, drawing=20_000)
        return Image.open(shot).convert("RGB")


def save(picture: Image.Image, name: str, folder: Path) -> Path:
    """A picture, made smaller; where it lies."""
    file = folder / f"{name}.png"
    picture.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    return file


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
    with tempfile.TemporaryDirectory() as place:
        file, shot = Path(place) / "page.html", Path(place) / "shot.png"
        file.write_text(page if start is None else _from(page, f"#{start}"), encoding="utf-8")
        pdf.screenshot(file, shot, width=WIDTH, height=height, scale=SCALE)
        return save(Image.open(shot).convert("RGB"), name, folder)


def _from(page: str, heading: str) -> str:
    """The page without what stands before the section with a heading."""
    before = f"header, main > p, main > section:has(~ section {heading}), nav"
    style = f"{before} {{ display: none; }}</style>"
    return page.replace("</style>", style, 1)


if __name__ == "__main__":
    main()
