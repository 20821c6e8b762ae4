"""`make bench-method`: train, cut, read, compare; written study by study."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.machine import RESULTS
from benchmarks.method import pictures, tables
from benchmarks.method.cases import STUDIES, Study, quick
from benchmarks.method.figures import Bench
from flows.state.settings import keep_freed_memory

GAINED = ("mixture", "mended", "rewritten")
Facts = dict[str, Any]


def main() -> None:
    """Write `method.json`, `method.md`, the pictures; with --quick `method-quick.*` alone."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.method", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one class, one seed, small data sets")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="STUDY",
        help="a data set or a study's name; the others stay as they are: "
        + "; ".join(study.name for study in STUDIES),
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="only the first so many seeds of each study"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    keep_freed_memory()
    studies = quick(STUDIES) if options.quick else STUDIES
    if options.only:
        studies = tuple(s for s in studies if s.data in options.only or s.name in options.only)
    if options.seeds:
        studies = tuple(replace(study, seeds=study.seeds[: options.seeds]) for study in studies)
    name = "method-quick" if options.quick else "method"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn()) as progress:
        task = progress.add_task("", total=sum(len(study.methods) for study in studies))
        for study in studies:
            bench = Bench(study=study, tell=lambda text: progress.update(task, description=text))
            figures = tables.table(bench, lambda: progress.advance(task))
            gains, depth = "gains" in study.drawn, "depth" in study.drawn
            figures |= {
                "tradeoff_on_validation_rows": pictures.tradeoff(bench, GAINED) if gains else [],
                "by_depth": pictures.by_depth(bench) if depth else None,
            }
            _keep(name, study, figures)
    if not options.quick:
        pictures.draw(_stored(name))


def _keep(name: str, study: Study, figures: Facts) -> None:
    """Put a study's figures in the place of those that were there."""
    by_name = {facts["name"]: facts for facts in _stored(name)} | {study.name: figures}
    ordered = [by_name[each.name] for each in STUDIES if each.name in by_name]
    report = {
        "command": "python -m benchmarks.method",
        "what": "what is left of forgotten classes, beside networks that never saw them",
        "studies": ordered,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(tables.page(report))


def _stored(name: str) -> list[Facts]:
    """The studies that are on disk."""
    path = RESULTS / f"{name}.json"
    studies: list[Facts] = json.loads(path.read_text())["studies"] if path.exists() else []
    return studies


if __name__ == "__main__":
    main()
