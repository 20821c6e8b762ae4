"""A study of events of choice, from its command line to its results: some measured, others kept."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.machine import RESULTS, described, load, save
from benchmarks.validity import data

R = TypeVar("R", bound=Any)


def command_of(name: str) -> str:
    """What is typed to make a study."""
    return f"python -m benchmarks.method.{name}"


def run(
    name: str,
    words: str | None,
    row: Callable[..., R],
    rows_of: Callable[[str], Iterable[R]],
    *,
    events: Sequence[str],
    page: Callable[[Sequence[R]], str],
    digits: int,
) -> None:
    """Measure the events that are asked for, and write benchmarks/results/NAME.json and .md.

    Args:
        name: Of the module and of its results.
        words: For `--help`.
        row: Dataclass of a row, whose first field is the event.
        rows_of: All rows of one event, in their order.
        events: All, in their order.
        page: Makes the Markdown.
        digits: Behind the point, of what is kept.
    """
    parser = argparse.ArgumentParser(prog=command_of(name), description=words)
    parser.add_argument("--event", action="append", choices=events, help="repeatable")
    parser.add_argument("--cache", type=Path, help="folder of trained models")
    given = parser.parse_args()
    if given.cache:
        os.environ[data.CACHE] = str(given.cache)
    wanted = given.event or list(events)
    kept = [row(**each) for each in load(name).get("rows", []) if each["event"] not in wanted]
    rows = sorted(
        [*kept, *(each for event in wanted for each in rows_of(event))],
        key=lambda each: events.index(each.event),
    )
    content = [_rounded(asdict(each), digits) for each in rows]
    save(name, {"command": command_of(name), "machine": described(), "rows": content})
    (RESULTS / f"{name}.md").write_text(page(rows))
    print(f"Results: {RESULTS / f'{name}.md'}")


def _rounded(row: dict[str, Any], digits: int) -> dict[str, Any]:
    return {k: round(v, digits) if isinstance(v, float) else v for k, v in row.items()}
