"""The pictures in docs/, taken of a real event by a real browser.

    python -m benchmarks.screenshots STATE [EVENT]

STATE is a state folder with a finished event, as `damp demo` leaves it: its report is taken. Where
`damp up` ran meanwhile and still does, the event's pages at Prefect and MLflow are taken too.
Pictures are made smaller by limiting them to 256 colours, which a page of text does not miss.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
from PIL import Image

from flows import browser, services
from flows.layout import Home

DOCS = Path(__file__).parents[1] / "docs"
WIDTH = 1000
"""Of the window, in the page's pixels."""
SCALE = 1.6


def main() -> None:
    """Take all pictures anew."""
    home = Home(Path(sys.argv[1]).absolute())
    events = sorted(home.events.glob("*")) if len(sys.argv) < 3 else [home.events / sys.argv[2]]
    report = max(events[0].glob("attempt-*/report.html"))
    page = report.read_text(encoding="utf-8")
    for name, (start, height) in PICTURES.items():
        take(page, name, start, height)
    if (prefect := services.running(home, "prefect")) is not None:
        save(_prefect(prefect.url, events[0].name), "operations-prefect")
    if (mlflow := services.running(home, "mlflow")) is not None:
        save(_mlflow(mlflow.url, events[0].name), "operations-mlflow")


def _prefect(url: str, event: str) -> Image.Image:
    """The run of an event, and below it the artifact with its verdict."""

    def asked(what: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = httpx.post(f"{url}/api/{what}/filter", json={}).json()
        return found

    run = next(each for each in asked("flow_runs") if each["name"].startswith(event))
    told = next(each for each in asked("artifacts") if each["key"].startswith(f"verdict-{event}"))
    above = served(f"{url}/runs/flow-run/{run['id']}", 1400, 600)
    below = served(f"{url}/artifacts/artifact/{told['id']}", 1400, 450)
    both = Image.new("RGB", (1400, 895))  # below that, the page names paths of this machine
    both.paste(above, (0, 0))
    both.paste(below, (0, 600))
    return both


def _mlflow(url: str, event: str) -> Image.Image:
    """The version that an event has made, without the assistant that MLflow puts beside it."""
    told = {"filter": f"tags.`damp.event_id` = '{event}'"}
    path = "api/2.0/mlflow/model-versions/search"
    version = httpx.get(f"{url}/{path}", params=told).json()["model_versions"][0]
    address = f"{url}/#/models/{version['name']}/versions/{version['version']}"
    return served(address, 1700, 850).crop((0, 0, 1262, 850))


def served(address: str, width: int, height: int) -> Image.Image:
    """A server's page, some seconds after it was opened: it draws itself."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        shot = Path(folder) / "shot.png"
        command = [browser.find(), *browser.FLAGS, f"--user-data-dir={folder}/profile"]
        command += ["--virtual-time-budget=20000", f"--window-size={width},{height}"]
        subprocess.run(
            [*command, f"--screenshot={shot}", address],
            check=True,
            capture_output=True,
            timeout=browser.PATIENCE,
        )
        return Image.open(shot).convert("RGB")


def save(picture: Image.Image, name: str) -> None:
    """A picture of docs/."""
    file = DOCS / f"{name}.png"
    picture.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    print(file)


PICTURES = {"report": (None, 1300), "report-evidence": ("evidence", 1250)}
"""File name: id of the heading that the picture starts with, height in the page's pixels."""


def take(page: str, name: str, start: str | None, height: int) -> None:
    """One picture of a page from a heading on."""
    hidden = "" if start is None else f"#{start}"
    with tempfile.TemporaryDirectory() as folder:
        file, shot = Path(folder) / "page.html", Path(folder) / "shot.png"
        file.write_text(page if not hidden else _from(page, hidden), encoding="utf-8")
        browser.screenshot(file, shot, width=WIDTH, height=height, scale=SCALE)
        save(Image.open(shot).convert("RGB"), name)


def _from(page: str, heading: str) -> str:
    """The page without what stands before the section with a heading."""
    style = f"header, main > section:has(~ section {heading}), nav {{ display: none; }}</style>"
    return page.replace("</style>", style, 1)


if __name__ == "__main__":
    main()
