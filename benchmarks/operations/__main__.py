"""What do schedules, locks, kills and clusters cost, and what do they leave?

    python -m benchmarks.operations [--minutes M] [--more] [PART ...]

Each part works on state folders of its own, with real servers, and writes its figures into
benchmarks/results/operations.json, and as tables beside it; parts that were not asked for keep
theirs. Kills take half an hour: `--minutes` begins none later than that, `--more` goes on after the
last one that is counted there.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.operations.faults import calls, claims, folders, gate, kills, origins
from benchmarks.operations.flow import nightly, orchestration, queue
from benchmarks.operations.forecast import forecast
from benchmarks.operations.office import Facts
from benchmarks.operations.proxies import proxies
from benchmarks.operations.workers import spread, statistics_pass

RESULT = "operations"


def main() -> None:
    """Measure the parts that are named, all by default."""
    asked = argparse.ArgumentParser(prog="python -m benchmarks.operations")
    asked.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    asked.add_argument("--minutes", type=float, default=math.inf, help="begin no later kill")
    asked.add_argument("--more", action="store_true", help="go on after the kills counted so far")
    chosen = asked.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        asked.error(f"no part is called {', '.join(sorted(unknown))}")
    for name in chosen.parts or PARTS:
        part = PARTS[name]
        if name == "kills":
            before = machine.load(RESULT).get(name) if chosen.more else None
            part = partial(kills, before=before, minutes=chosen.minutes)
        figures = _measured(name, part)
        print(json.dumps({name: figures}, indent=2), flush=True)
        machine.keep(RESULT, name, figures, order=PARTS, page=page)


def _measured(name: str, part: Callable[[Path], Facts]) -> Facts:
    with tempfile.TemporaryDirectory(prefix="damp-bench-") as folder:
        began, described = time.perf_counter(), machine.described()
        return part(Path(folder)) | {
            "command": f"python -m benchmarks.operations {name}",
            "machine": described,
            "seconds": round(time.perf_counter() - began, 1),
        }


def page(results: Facts) -> str:
    """The figures as a page, a table for each part."""
    lines = ["# What operations cost", ""]
    for name, figures in results.items():
        lines += [f"## {name}", "", "| figure | value |", "|---|---|"]
        rows = figures | {"machine": ", ".join(f"{k} {v}" for k, v in figures["machine"].items())}
        lines += [f"| {key.replace('_', ' ')} | {_cell(value)} |" for key, value in rows.items()]
        lines.append("")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(_cell(each) for each in value) or "none"
    return str(value).replace("|", "\\|").replace("\n", " ")


PARTS: dict[str, Callable[[Path], Facts]] = {
    "orchestration": orchestration,
    "queue": queue,
    "forecast": forecast,
    "nightly": nightly,
    "kills": kills,
    "calls": calls,
    "gate": gate,
    "folders": folders,
    "claims": claims,
    "origins": origins,
    "proxies": proxies,
    "spread": spread,
    "statistics": statistics_pass,
}


if __name__ == "__main__":
    main()
