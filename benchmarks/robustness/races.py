"""Eight processes start events on one model at the same moment: one wins, nothing forks."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.robustness import many_events
from compliance.ledger import Ledger, verify
from flows.state.paths import Home

Facts = dict[str, Any]

PROCESSES = 8
BUSY = 4


@dataclass
class Raced:
    """Counts.

    Attributes:
        rounds: How many times eight processes started.
        winners: Events that were carried out, over all rounds.
        busy: Processes that were told so, with exit code 4.
        problems: What must not be, in words.
    """

    rounds: int = 0
    winners: int = 0
    busy: int = 0
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> Facts:
        """The counts."""
        figures = {"rounds": self.rounds, "processes": PROCESSES, "winners": self.winners}
        return figures | {"told_busy": self.busy, "problems": self.problems}


def loop(home: Home, rounds: int, minutes: float = math.inf) -> Raced:
    """So many rounds, each on a model of its own with a request for each process.

    After so many minutes no new round begins.
    """
    counted = Raced()
    setup = many_events.prepare(home, models=rounds, requests=PROCESSES)
    run: dict[str, list[str]] = {}
    many_events.warm_up()
    with many_events.server(home):
        end = time.monotonic() + 60 * minutes
        for name, events in setup["events"].items():
            if time.monotonic() > end:
                break
            run[name] = events
            _round(home, name, events, counted)
    _registry(home, run, counted)
    verification = verify(home.ledger)
    if verification.broken is not None:
        counted.problems.append(f"ledger: {verification.problem}")
    return counted


def _round(home: Home, name: str, events: list[str], counted: Raced) -> None:
    gate, door = os.pipe()
    children = [_waiting(home, event, gate, door) for event in events]
    os.close(gate)
    os.close(door)  # now all start
    codes = Counter(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)
    counted.rounds += 1
    winners = codes[0] + codes[2]
    counted.winners += winners
    counted.busy += codes[BUSY]
    if winners != 1 or codes[BUSY] != PROCESSES - 1:
        counted.problems.append(f"{name}: exit codes {dict(codes)}")
    started = [e for e in events if Ledger(home.ledger).of(e, "attempt_started")]
    if len(started) != winners:
        counted.problems.append(f"{name}: {len(started)} events were started")


def _waiting(home: Home, event: str, gate: int, door: int) -> int:
    """A child that runs the event once the door is closed by everybody."""

    def work() -> int:
        os.close(door)
        os.read(gate, 1)  # returns when the last writer is gone
        return many_events.run(home, event)

    return many_events.start(work, many_events.log_of(home))


def _registry(home: Home, events: dict[str, list[str]], counted: Raced) -> None:
    """At most one successor of each base; the alias on it if it passed."""
    every = many_events.registered(home)
    for name, model in ((name, every[name]) for name in events):
        figures = {n: t for n, t in model["versions"].items() if t.get("damp.event_id")}
        if len(figures) != 1:
            counted.problems.append(f"{name}: {len(figures)} successors of one base")
            continue
        ((number, tags),) = figures.items()
        if tags["damp.event_id"] not in events[name]:
            counted.problems.append(f"{name}: a successor by an unknown event")
        champion = number if tags.get("damp.verdict") == "PASSED" else 1
        if model["champion"] != champion:
            counted.problems.append(f"{name}: champion is {model['champion']}, not {champion}")
