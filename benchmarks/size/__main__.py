"""The parts, each in a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable

from benchmarks.machine import described, load, save
from benchmarks.size import events, finetuned, passes, pictures, rows, trainings
from benchmarks.size.common import FULL, QUICK, Counts, Figures

PARTS: dict[str, Callable[[Counts, int], Figures]] = {
    "event": events.event,
    "passes": passes.passes,
    "edit": passes.edit,
    "large": passes.large,
    "decode": pictures.decode,
    "streaming": pictures.streaming,
    "version": pictures.version,
    "imagenet": pictures.imagenet,
    "rows": rows.rows,
    "recipe": trainings.recipe,
    "references": trainings.references,
    "finetuned": finetuned.finetuned,
}


def main() -> None:
    """Measure every part, or those that are named; the others keep their figures."""
    parser = argparse.ArgumentParser(description="The figures of docs/scale.md at size.")
    parser.add_argument("--quick", action="store_true", help="Smaller counts, for a first look.")
    parser.add_argument(
        "--part",
        choices=PARTS,
        help="This part alone, in this process and in the folder DAMP_SIZE.",
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="These parts alone.")
    parser.add_argument("--count", type=int, default=0, help="Images, where a part takes a number.")
    options = parser.parse_args()
    counts = QUICK if options.quick else FULL
    if options.part:
        print(json.dumps(PARTS[options.part](counts, options.count)))
        return
    several = {"event": counts.memory, "large": (counts.large[0], -counts.large[1])}
    for name in options.only or PARTS:
        sizes = (options.count,) if options.count else several.get(name, (0,))
        each = [_apart(name, options.quick, count) for count in sizes]
        part = {"quick": options.quick, "machine": described()}
        figures = {"several": each} if len(each) > 1 else each[0]
        save(
            "size",
            {"command": "python -m benchmarks.size"} | load("size") | {name: part | figures},
        )


def _apart(part: str, quick: bool, count: int) -> Figures:
    """A part in a process and a state folder of its own."""
    with tempfile.TemporaryDirectory(prefix="damp-size-") as folder:
        command = [sys.executable, "-m", "benchmarks.size", "--part", part, "--count", str(count)]
        done = subprocess.run(
            command + (["--quick"] if quick else []),
            env=os.environ | {"DAMP_HOME": f"{folder}/state", "DAMP_SIZE": folder},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
