"""Measure what is not there yet, then write benchmarks/results/validity.json and .md."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.validity import bench, data, findings_archive, nets, report, tally
from benchmarks.validity.cheats import CHEATS

SEEDS = (11, 12)
"""Of the audits: the second says how often a verdict hangs on it."""
QUICK = 3
"""Events of a quick run."""
AGAIN = (
    "cifar10-2-seed6",
    "cifar100-residual-7-seed3",
    "tiny-residual-7-seed3",
    "cifar10-residual-9-seed4",
    "cifar10-4-seed7",
)
"""Events that are audited under the second seed as well, on candidates that take no training."""
TURNS = 6
"""Cheats and other edits are dealt out: each event has every sixth at first, the rest when all
events are there, so that six events in a row have met every kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A part of an event, measured in one go.

    Attributes:
        event: Whose candidates.
        seed: Of the audits.
        names: Of the candidates.
    """

    event: bench.Event
    seed: int
    names: frozenset[str]

    @property
    def missing(self) -> int:
        """Candidates that are not on disk yet."""
        return len(bench.missing_of(self.event, self.seed, only=set(self.names)))


def plan(*, quick: bool, settings: list[str]) -> list[Job]:
    """What is measured, in this order: a run that is cut short has a bit of everything.

    First every event with its honest models, the attempts that the policies declare and a sixth
    of the other edits and of the cheats, another sixth in the next event; then the other
    sixths; then honest models and edits of some events under another seed.
    """
    chosen = tuple(s for s in nets.SETTINGS if not settings or s.name in settings)
    every = bench.events(chosen)
    measured = [event for event in every if not event.choice]
    choice = [event for event in every if event.choice]
    everyone = [*measured, *choice]
    if quick:
        first = (measured or choice)[:QUICK]
        return [_job(event, SEEDS[0], bench.untrained(event)) for event in first]
    turns = [
        [
            _job(event, SEEDS[0], _turn(event, number + more))
            for number, event in enumerate(everyone)
        ]
        for more in range(TURNS)
    ]
    turns[0] = [_job(job.event, job.seed, job.names | _always(job.event)) for job in turns[0]]
    again = [
        _job(event, SEEDS[1], bench.untrained(event) - set(CHEATS))
        for event in measured
        if event.name in AGAIN
    ]
    return [job for jobs in turns for job in jobs] + again


def _turn(event: bench.Event, turn: int) -> set[str]:
    """A part of the other edits and of the cheats."""
    always = _always(event)
    others = [name for name in bench.everybody(event) if name not in always]
    return set(others[turn % TURNS :: TURNS])


def _always(event: bench.Event) -> set[str]:
    """The honest models and the declared attempts of an event."""
    return {*nets.honest(event.setting, event.scope), *tally.RUNGS}


def _job(event: bench.Event, seed: int, names: Collection[str]) -> Job:
    return Job(event=event, seed=seed, names=frozenset(names))


def part_of(jobs: Sequence[Job], part: str) -> list[Job]:
    """Every job of one of several processes; all jobs of an event go to the same one.

    Args:
        part: "0/2" is the first of two.
    """
    number, _, of = part.partition("/")
    names = list(dict.fromkeys(job.event.name for job in jobs))
    own = set(names[int(number) :: int(of)])
    return [job for job in jobs if job.event.name in own]


class Progress:
    """How far a run is, and how long it will take at this pace."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.all = sum(job.missing for job in jobs)
        self.done, self.began = 0, time.monotonic()

    def tell(self, job: Job, name: str) -> None:
        """One line for a candidate that is there now."""
        self.done += name != "controls"
        spent = time.monotonic() - self.began
        left = spent / max(1, self.done) * (self.all - self.done)
        print(
            f"{spent:6.0f} s, {left / 60:.0f} min left  [{self.done}/{self.all}] "
            f"{job.event.name} seed {job.seed}  {name}",
            flush=True,
        )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validity", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three events, ten minutes")
    parser.add_argument("--report", action="store_true", help="write what is there")
    parser.add_argument("--setting", action="append", default=[], help="repeatable")
    parser.add_argument(
        "--cache", type=Path, help="folder of trained models and findings (default: state folder)"
    )
    parser.add_argument("--minutes", type=float, help="stop after the candidate that ends then")
    parser.add_argument(
        "--part", default="0/1", help="0/2 and 1/2 share the events between two processes"
    )
    asked = parser.parse_args()
    if asked.cache:
        os.environ[data.CACHE] = str(asked.cache)
    np.seterr(all="raise", under="ignore")  # of this process only: a figure is never made up
    jobs = plan(quick=asked.quick, settings=asked.setting)
    events = list(dict.fromkeys(job.event for job in jobs))
    findings_archive.unpack(events)
    if not asked.report:
        measure(part_of(jobs, asked.part), minutes=asked.minutes)
    findings_archive.pack(events)
    report.write([(job.event, job.seed) for job in jobs], quick=asked.quick)


def measure(jobs: Sequence[Job], *, minutes: float | None) -> None:
    """Measure what is missing, until the time is up."""
    progress = Progress(jobs)
    for job in jobs:
        for name in bench.run(job.event, job.seed, only=set(job.names)):
            progress.tell(job, name)
            if minutes is not None and time.monotonic() - progress.began > 60 * minutes:
                return


if __name__ == "__main__":
    main()
