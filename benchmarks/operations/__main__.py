"""What do schedules, locks, kills and clusters cost, and what do they leave?

    python -m benchmarks.operations [orchestration] [queue] [nightly] [kills] [calls] [gate]
                                    [spread] [statistics]

Each part works on state folders of its own, with real servers, and writes its figures into
benchmarks/results/operations.json, and as tables beside it; parts that were not asked for keep
theirs. KILLS says how often to kill (60), MODELS on how many models requests wait (5).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS, described
from benchmarks.operations.faults import calls, gate, kills
from benchmarks.operations.flow import nightly, orchestration, queue
from benchmarks.operations.office import Facts
from benchmarks.operations.workers import spread, statistics_pass


def main() -> None:
    """Measure the parts that are named, all by default."""
    wanted = sys.argv[1:] or list(PARTS)
    file = RESULTS / "operations.json"
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="damp-bench-") as folder:
            began = time.perf_counter()
            machine = described()
            figures = PARTS[name](Path(folder))
        found: Facts = json.loads(file.read_text()) if file.exists() else {}
        found[name] = figures | {
            "command": f"python -m benchmarks.operations {name}",
            "machine": machine,
            "seconds": round(time.perf_counter() - began, 1),
        }
        print(json.dumps({name: found[name]}, indent=2), flush=True)
        file.write_text(json.dumps(found, indent=2) + "\n")
        file.with_suffix(".md").write_text(page(found))


def page(found: Facts) -> str:
    """The figures as a page, a table for each part."""
    told = ["# What operations cost", ""]
    for name, figures in found.items():
        told += [f"## {name}", "", "| figure | value |", "|---|---|"]
        rows = figures | {"machine": ", ".join(f"{k} {v}" for k, v in figures["machine"].items())}
        told += [f"| {key.replace('_', ' ')} | {_cell(value)} |" for key, value in rows.items()]
        told.append("")
    return "\n".join(told)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(_cell(each) for each in value) or "none"
    return str(value).replace("|", "\\|").replace("\n", " ")


PARTS: dict[str, Callable[[Path], Facts]] = {
    "orchestration": orchestration,
    "queue": queue,
    "nightly": nightly,
    "kills": kills,
    "calls": calls,
    "gate": gate,
    "spread": spread,
    "statistics": statistics_pass,
}


if __name__ == "__main__":
    main()
