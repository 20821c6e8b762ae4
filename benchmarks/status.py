"""What `damp status` of one event costs among many: seconds a call, in ledgers of two lengths.

    python -m benchmarks.status [EVENTS]

Every event is received, started and decided, so that it has five entries and a signed statement.
Linear means that a ledger twice as long takes about twice as long to read, and no longer.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from flows.records import status
from flows.state.paths import Home
from flows.state.settings import settings
from tests.flows import decided

CALLS = 20


def seconds_a_call(home: Home, events: Sequence[str]) -> float:
    """Processor seconds of the status of one event, on average over some of them."""
    chosen = events[:: max(1, len(events) // CALLS)][:CALLS]
    status.one_event(home, chosen[0])  # imports, and whatever is kept
    began = time.process_time()
    for event in chosen:
        status.one_event(home, event)
    return (time.process_time() - began) / len(chosen)


def main() -> None:
    """Print a line for half of the events, and one for all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("events", nargs="?", type=int, default=200)
    count = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DAMP_KEYS"] = str(Path(folder) / "keys")
        settings.cache_clear()
        home, events = Home(Path(folder) / "state"), []
        for target in (count // 2, count):
            while len(events) < target:
                events.append(decided.put(home))
                decided.decide(home, events[-1])
            print(f"{target:>5} events: {seconds_a_call(home, events):.4f} s a call")


if __name__ == "__main__":
    main()
