"""How long `damp verify` takes, as a process, also with a long ledger beside it."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from compliance.ledger import Ledger, chain
from flows.state.paths import Attempt

ENTRIES = 100_000
ROUNDS = 9


def measured(attempt: Attempt, folder: Path) -> dict[str, Any]:
    """Wall and CPU time of the command, beside a Python that does nothing on this machine."""
    long = folder / "long-ledger.jsonl"
    grown(attempt.home.ledger, long, ENTRIES)
    command = [sys.executable, "-m", "flows", "verify", os.fspath(attempt.statement)]
    command += ["--trust", os.fspath(attempt.home.trust), "--model", os.fspath(attempt.after)]
    return {
        "statement_bytes": attempt.statement.stat().st_size,
        "python_that_does_nothing": _timed([sys.executable, "-c", "pass"]),
        "verify": _timed(command),
        "verify_with_own_ledger": _timed([*command, "--ledger", os.fspath(attempt.home.ledger)]),
        f"verify_with_a_ledger_of_{ENTRIES}": _timed([*command, "--ledger", os.fspath(long)]),
        "long_ledger_bytes": long.stat().st_size,
    }


def grown(ledger: Path, target: Path, entries: int) -> None:
    """A copy of a ledger that went on for very long: events of others, eight entries each."""
    earlier = Ledger(ledger).entries()
    last = earlier[-1]
    with target.open("wb") as out:
        out.write(ledger.read_bytes())
        for number in range(entries - len(earlier)):
            whose = f"{number // 8:08x}-0000-4000-8000-{number // 8:012x}"
            body = {"attempt": 1, "verdict": "PASSED", "statement": f"{number:064x}"}
            content = {"time": last.time, "kind": "statement_signed", "event": whose}
            last = chain.seal(content | {"key": "attempt-1", "body": body}, last)
            out.write(chain.line(last))


def _timed(command: list[str]) -> dict[str, Any]:
    """Median and least over the rounds; the command must succeed, PASSED or not."""
    walls, busy = [], []
    for _ in range(ROUNDS):
        before, began = os.times(), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        walls.append(time.perf_counter() - began)
        after = os.times()
        busy.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
        if done.returncode not in (0, 2):
            raise SystemExit(f"{' '.join(command)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return {
        "wall_s_median": round(statistics.median(walls), 3),
        "wall_s_least": round(min(walls), 3),
        "cpu_s_median": round(statistics.median(busy), 3),
    }
