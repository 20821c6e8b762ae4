"""Draw mutants, try those that were not tried yet, and write benchmarks/results/mutants.json."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine
from benchmarks.mutants import mutation, own_tests, report, trial, warm
from benchmarks.mutants.mutation import Mutation
from benchmarks.mutants.trial import Trial

COUNT = 200
DECIDING = (
    "compliance/verdict",
    "compliance/signing",
    "compliance/ledger",
    "compliance/documents",
    "audits",
    "damp",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A mutant that is to be tried."""

    module: Path
    mutation: Mutation


def modules(folders: Iterable[str]) -> Iterator[Path]:
    """Python files of the folders, from the root; tours and tables of words decide nothing."""
    for folder in folders:
        for path in sorted((own_tests.ROOT / folder).rglob("*.py")):
            if path.name not in ("__init__.py", "catalogue.py", "wording.py", "version.py"):
                yield path.relative_to(own_tests.ROOT)


def drawn(folders: Sequence[str], *, count: int, seed: int) -> list[Drawn]:
    """Mutants at random, each as likely as any other; a larger count adds to a smaller one's."""
    every = [
        Drawn(module=module, mutation=each)
        for module in modules(folders)
        for each in mutation.mutations((own_tests.ROOT / module).read_text())
    ]
    random.Random(seed).shuffle(every)  # noqa: S311 - a sample, no secret
    return every[:count]


def before() -> dict[str, Trial]:
    """Mutants that were tried before, by key; the module may have changed since."""
    rows = [
        Trial(**{k: v for k, v in each.items() if k != report.WHY})
        for each in machine.load("mutants").get("trials", [])
    ]
    return {each.key: each for each in rows}


def is_valid(tried: Trial) -> bool:
    """Whether neither the module nor what its outcome rests on has changed since."""
    module = Path(tried.module)
    there = (own_tests.ROOT / module).exists()
    return there and tried.content == trial.content_of(module, tried.by)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="how many to draw")
    parser.add_argument("--seed", type=int, default=report.SEED)
    parser.add_argument("--under", action="append", default=[], help="a folder; repeatable")
    parser.add_argument("--minutes", type=float, help="stop after the mutant that ends then")
    asked = parser.parse_args()
    wanted = drawn(asked.under or DECIDING, count=asked.count, seed=asked.seed)
    trials = {key: each for key, each in before().items() if is_valid(each)}
    noticed = {str(k): str(v) for k, v in machine.load("mutants").get(report.NOTICED, {}).items()}
    began = time.monotonic()
    warm.hold_libraries()
    missing = [each for each in wanted if trial.key_of(each.module, each.mutation) not in trials]
    for new, each in enumerate(missing, 1):
        if asked.minutes is not None and time.monotonic() - began > 60 * asked.minutes:
            break
        try:
            first = noticed.get(trial.key_of(each.module, each.mutation), "")
            one = trial.tried(each.module, each.mutation, first=first)
        except RuntimeError as error:
            raise SystemExit(str(error)) from error
        trials[one.key] = one
        noticed.pop(one.key, None)
        if "::" in one.by:
            noticed[one.key] = one.by.partition(" ")[2]
        spent = time.monotonic() - began
        print(
            f"{spent:6.0f} s, {spent / new * (len(missing) - new) / 60:.0f} min left  "
            f"[{new}/{len(missing)}] {one.outcome}  {one.key}  {one.before} -> {one.after}",
            flush=True,
        )
        # at once: a run that is cut off goes on from here
        _write(wanted, trials, asked.seed, noticed)
    _write(wanted, trials, asked.seed, noticed)


def _write(
    wanted: Sequence[Drawn], trials: dict[str, Trial], seed: int, noticed: dict[str, str]
) -> None:
    keys = [trial.key_of(each.module, each.mutation) for each in wanted]
    tried = [trials[key] for key in keys if key in trials]
    report.write(tried, drawn=len(wanted), seed=seed, noticed_by=noticed)


if __name__ == "__main__":
    main()
