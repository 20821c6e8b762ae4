"""What does `damp demo` cost, and how much of it is orchestration?

    python -m benchmarks.demo

`damp demo` runs in a state folder of its own, as a process, and is called again. In the same run
training, surgery and audits are called plainly, without Prefect, in one process: what the demo
took beyond them is orchestration (interpreter, imports, Prefect, DVC, MLflow, record, report).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.machine import described, save

Facts = dict[str, Any]

LIGHT_RUNS = 7


def main() -> None:
    """Measure, print, and write benchmarks/results/demo.json."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "state"
        first, outcome = _demo(home)
        entries = _lines(home)
        again, _ = _demo(home)
        added = _lines(home) - entries
        work = _plainly(Path(folder) / "plain")
        light = _light(home, Path(outcome["statement"]))
    steps = {name: round(seconds, 2) for name, seconds in work.items()}
    save(
        "demo",
        {
            "command": "python -m benchmarks.demo",
            "machine": described(),
            "verdict": outcome["verdict"],
            "demo_seconds": round(first, 2),
            "work_called_plainly_seconds": steps,
            "orchestration_seconds": round(first - sum(work.values()), 2),
            "repeat_seconds": round(again, 2),
            "ledger_entries_added_by_the_repeat": added,
            **light,
        },
    )


def _demo(home: Path) -> tuple[float, Facts]:
    began = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-m", "flows", "--home", str(home), "demo", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if result.returncode not in (0, 2):
        raise SystemExit(f"damp demo failed:\n{result.stderr}")
    return seconds, json.loads(result.stdout)


def _lines(home: Path) -> int:
    return len((home / "ledger.jsonl").read_text().splitlines())


def _plainly(home: Path) -> dict[str, float]:
    """Seconds of the same functions in a fresh process of their own, called one after the other."""
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.plain", str(home)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"DAMP_HOME": str(home)},
    )
    content: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return content


def _light(home: Path, statement: Path) -> Facts:
    """Wall time of the commands that must answer at once, median of several runs."""
    damp = [sys.executable, "-m", "flows", "--home", str(home)]
    return {
        "help_seconds": _median(lambda: _quiet([*damp, "--help"])),
        "verify_seconds": _median(lambda: _quiet([*damp, "verify", str(statement)])),
    }


def _quiet(command: list[str]) -> None:
    subprocess.run(command, capture_output=True, check=False)


def _median(run: Callable[[], None]) -> float:
    seconds = []
    for _ in range(LIGHT_RUNS):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return round(statistics.median(seconds), 3)


if __name__ == "__main__":
    main()
