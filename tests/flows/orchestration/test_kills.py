"""Kills at random moments, races and repetitions of real events, by the benchmark's own drivers.

For minutes instead of an hour: `make bench-robustness` does the same three hundred times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compliance.ledger import Ledger
from flows.intake import requests
from flows.state.paths import Home
from tests.flows.world import EVENT, World

KILLS, ROUNDS, REPLAYS, CONTENDERS = 12, 3, 100, 8

DRIVE = """
import json, sys
from pathlib import Path
from benchmarks.robustness import __main__ as bench
folder, what, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
folder.mkdir(parents=True)
loop = {"kills": lambda home: bench.kills.loop(home, count, bench.SEED),
        "races": lambda home: bench.races.loop(home, count),
        "contention": lambda home: bench.contention.loop(home, count)}[what]
print("\\n" + json.dumps(loop(bench.state(folder / "state")).to_json()))
"""


def driven(folder: Path, what: str, count: int) -> dict[str, Any]:
    """The benchmark's loop in a process of its own, which forks."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVE, str(folder), what, str(count)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    content: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return content


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_at_random_moments_no_model_is_mixed_and_no_entry_lost(tmp_path: Path) -> None:
    figures = driven(tmp_path / "place", "kills", KILLS)
    assert figures["problems"] == []
    assert figures["kills"] == KILLS


@pytest.mark.long
@pytest.mark.timeout(900)
def test_of_eight_processes_on_one_model_one_wins(tmp_path: Path) -> None:
    figures = driven(tmp_path / "place", "races", ROUNDS)
    assert figures["problems"] == []
    assert (figures["winners"], figures["told_busy"]) == (ROUNDS, 7 * ROUNDS)


@pytest.mark.slow
def test_of_many_processes_at_once_no_key_and_no_request_is_lost(tmp_path: Path) -> None:
    counts = driven(tmp_path / "place", "contention", CONTENDERS)
    assert counts["problems"] == []
    assert (counts["lost"], counts["submitted"]) == (0, 3 * CONTENDERS)


def test_a_hundred_repetitions_of_a_request_have_one_effect(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(world.home.root)
    monkeypatch.setenv("DAMP_HOME", str(home.root))
    before = home.ledger.read_bytes()
    file = next(home.root.rglob("*request*.yaml"))
    answers = [requests.submit(home, file) for _ in range(REPLAYS)]
    assert not any(answer.new for answer in answers)
    assert {answer.id for answer in answers} == {EVENT}
    assert home.ledger.read_bytes() == before
    assert len(Ledger(home.ledger).of(EVENT, "request_received")) == 1
