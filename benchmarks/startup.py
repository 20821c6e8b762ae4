"""Processor seconds that commands take on a small state folder, and how much of it is imports.

    python -m benchmarks.startup [COMMAND ...]

`damp demo` fills a state folder; then each command runs some times, in a process of its own, and
the least of its processor seconds counts, user and system together. A busy machine makes every
figure larger, so that what imports take in the same minute stands beside: a command that loads a
model cannot take less than `import torch`, one that writes into the registry not less than `import
mlflow`, and such a one without a server not less than MLflow's own store. Figures go into
benchmarks/results/startup.json.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import machine

RUNS = 4
TARGET = 2.0
"""Processor seconds of `damp submit` on an idle machine."""
FLOORS = {
    "torch": ("-c", "import torch"),
    "mlflow": ("-c", "import mlflow"),
    "mlflow and its store": ("-c", "import mlflow.store.tracking.sqlalchemy_store"),
}
"""What others take, which commands import."""


def main() -> None:
    """Measure the commands that are named, all by default, and keep the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    chosen = parser.parse_args().commands or list(COMMANDS)
    if unknown := set(chosen) - set(COMMANDS):
        parser.error(f"no command here is called {', '.join(sorted(unknown))}")
    described = machine.described()
    with tempfile.TemporaryDirectory(prefix="damp-bench-") as name:
        office = Place(Path(name))
        office.run("-m", "flows", "demo")
        floors = {name: least(office, lambda code=code: code) for name, code in FLOORS.items()}
        seconds = {each: least(office, lambda each=each: COMMANDS[each](office)) for each in chosen}
    figures = {
        "command": "python -m benchmarks.startup",
        "machine": described,
        "import_seconds": {name: round(taken, 2) for name, taken in floors.items()},
        "seconds": {each: round(taken, 2) for each, taken in seconds.items()},
        "times_import_torch": {
            each: round(taken / floors["torch"], 2) for each, taken in seconds.items()
        },
        "target_submit_seconds": TARGET,
    }
    machine.save("startup", figures)


class Place:
    """A state folder and commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "DAMP_HOME": str(folder / "state"),
            "DAMP_KEYS": str(folder / "keys"),
            "OMP_NUM_THREADS": "1",
        }

    def run(self, *arguments: str) -> str:
        """What a command prints; it must end with 0."""
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{arguments} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    def request(self) -> str:
        """A new request on the demo's model, as a file."""
        file = self.folder / "request.yaml"
        options = ("--forget", "4", "--model", "digits@champion", "--data", "digits")
        rules = ("--recipe", "digits", "--policy", "demo-v3", "--regulation", "gdpr")
        file.write_text(self.run("-m", "flows", "request", *options, *rules))
        return str(file)

    @property
    def event(self) -> str:
        """The demo's event, which was there before any request."""
        statements = (self.folder / "state" / "events").glob("*/attempt-1/statement.dsse.json")
        (statement,) = statements
        return statement.parent.parent.name


def least(office: Place, arguments: Callable[[], Sequence[str]]) -> float:
    """The least processor seconds, user and system, that a command takes in some runs."""
    taken = []
    for _ in range(RUNS):
        line = arguments()
        before = _of_children()
        office.run(*line)
        taken.append(_of_children() - before)
    return min(taken)


def _of_children() -> float:
    """Processor seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


COMMANDS: dict[str, Callable[[Place], Sequence[str]]] = {
    "--help": lambda office: ("-m", "flows", "--help"),
    "submit": lambda office: ("-m", "flows", "submit", office.request()),
    "status": lambda office: ("-m", "flows", "status"),
    "inbox": lambda office: ("-m", "flows", "inbox"),
    "lineage": lambda office: ("-m", "flows", "lineage", "digits"),
    "purge": lambda office: ("-m", "flows", "purge", "--event", office.event, "--dry-run"),
    "promote": lambda office: ("-m", "flows", "promote", "digits/2"),
}


if __name__ == "__main__":
    main()
