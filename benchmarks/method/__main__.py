"""`make bench-method`: train, cut, read, compare."""

from __future__ import annotations

import argparse
import json
import sys

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.machine import RESULTS, described
from benchmarks.method import pictures, tables
from benchmarks.method.cases import STUDIES, quick
from benchmarks.method.figures import Bench
from flows.settings import keep_freed_memory

GAINED = ("mixture", "mended")


def main() -> None:
    """Write `method.json`, `method.md`, the pictures; with --quick `method-quick.*` alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one class, one seed, small data sets")
    parser.add_argument("--only", nargs="*", help="data sets, for a part of the table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    keep_freed_memory()
    studies = quick(STUDIES) if options.quick else STUDIES
    if options.only:
        studies = tuple(study for study in studies if study.data in options.only)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn()) as progress:
        task = progress.add_task("", total=sum(len(study.methods) for study in studies))

        def tell(text: str) -> None:
            progress.update(task, description=text)

        benches = [Bench(study=study, tell=tell) for study in studies]
        found = [tables.table(bench, lambda: progress.advance(task)) for bench in benches]
        single = [bench for bench in benches if "mixture, gain chosen" in bench.study.methods]
        trade = [] if options.quick else pictures.tradeoff(single, GAINED)
        depth = [] if options.quick else [pictures.by_depth(bench) for bench in single]
    report = {
        "command": " ".join(["python -m benchmarks.method", *sys.argv[1:]]),
        "machine": described(),
        "what": "what is left of forgotten classes, beside networks that never saw them",
        "studies": found,
        "tradeoff_on_validation_rows": trade,
        "by_depth": depth,
    }
    name = "method-quick" if options.quick else "method"
    (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(tables.page(report))
    if not options.quick:
        pictures.draw(trade, depth)


if __name__ == "__main__":
    main()
