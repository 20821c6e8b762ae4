"""Measure what is not there yet, then write benchmarks/results/validity.json and .md."""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.validity import bench, nets, report

SEEDS = (11, 12)
"""Of the audits: the second says how often a verdict hangs on it."""
QUICK = 3
"""Events of a quick run."""
AGAIN = 8
"""Events that are audited under the second seed as well, on candidates that take no training."""
TRAINED = 8
"""Events, the first of the list, in which the cheats that must be trained are made as well."""


def plan(*, quick: bool, settings: list[str]) -> list[tuple[bench.Event, int]]:
    """Events and audit seeds, in the order in which they are measured."""
    chosen = tuple(s for s in nets.SETTINGS if not settings or s.name in settings)
    events = bench.events(chosen)
    if quick:
        events = events[:QUICK]
    first = [(event, SEEDS[0]) for event in events]
    again = [(event, SEEDS[1]) for event in events[: 1 if quick else AGAIN]]
    return [*first[:AGAIN], *again, *first[AGAIN:]]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validity", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three events, a few minutes")
    parser.add_argument("--report", action="store_true", help="write what is there")
    parser.add_argument("--setting", action="append", default=[], help="repeatable")
    asked = parser.parse_args()
    np.seterr(all="raise", under="ignore")  # of this process only: a figure is never made up
    todo = plan(quick=asked.quick, settings=asked.setting)
    trained = [event for event, _ in todo[:TRAINED]]
    began = time.monotonic()
    for number, (event, seed) in enumerate([] if asked.report else todo, 1):
        trains = seed == SEEDS[0] and event in trained
        only = None if trains else bench.untrained(event)
        for name in bench.run(event, seed, only=only):
            print(
                f"{time.monotonic() - began:6.0f} s  [{number}/{len(todo)}] {event.name} "
                f"seed {seed}  {name}",
                flush=True,
            )
    report.write(todo, quick=asked.quick)


if __name__ == "__main__":
    main()
