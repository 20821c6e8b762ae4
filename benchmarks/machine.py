"""What every benchmark says of itself, and where its results go."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def described() -> dict[str, Any]:
    """The machine, what else it did, and the packages that decide a timing."""
    return {
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "processor": platform.machine(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "prefect", "mlflow", "dvc")},
    }


def load(name: str) -> dict[str, Any]:
    """The parts of a result as they are on disk now: another may have been measured meanwhile."""
    file = RESULTS / f"{name}.json"
    parts: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return parts


def keep(
    name: str,
    part: str,
    figures: dict[str, Any],
    *,
    order: Iterable[str],
    page: Callable[[dict[str, Any]], str],
) -> None:
    """Put a part's figures in their place in benchmarks/results, as JSON and as a page.

    Args:
        name: Of the result's files.
        part: Whose figures they are; the other parts keep theirs.
        figures: What was measured.
        order: Of all parts.
        page: Makes the Markdown of all of them.
    """
    by_name = load(name) | {part: figures}
    ordered = {each: by_name[each] for each in order if each in by_name}
    (RESULTS / f"{name}.json").write_text(json.dumps(ordered, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(page(ordered))


def save(name: str, figures: dict[str, Any]) -> None:
    """Print the figures and write them to benchmarks/results."""
    text = json.dumps(figures, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)
