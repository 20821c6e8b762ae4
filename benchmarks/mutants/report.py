"""From mutants to figures: benchmarks/results/mutants.json and .md."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import machine
from benchmarks.mutants.equivalent import EQUIVALENT
from benchmarks.mutants.trial import ALIVE, KILLED, TIMED_OUT, UNTESTED, Trial

Facts = dict[str, Any]
SEED = 16
"""Of the draw that is made where none is asked for."""
NOTICED = "noticed_by"
"""The key under which it is kept who noticed a mutant, also one whose module has changed since."""
WHY = "why"
"""The key under which a trial's row says why it changes nothing."""


def write(trials: Sequence[Trial], *, drawn: int, seed: int, noticed_by: Mapping[str, str]) -> None:
    """Write both files.

    Args:
        trials: Those that count.
        drawn: How many mutants were drawn.
        seed: By which.
        noticed_by: Key of a mutant to the test that noticed it, now or before its module changed.
    """
    facts = figures(trials, drawn=drawn, seed=seed) | {NOTICED: dict(sorted(noticed_by.items()))}
    (machine.RESULTS / "mutants.json").write_text(json.dumps(facts, indent=1) + "\n")
    (machine.RESULTS / "mutants.md").write_text(page(facts, trials))


def figures(trials: Sequence[Trial], *, drawn: int, seed: int) -> Facts:
    """Counts, and every trial; the share is of those that change anything."""
    counts = Counter(trial.outcome for trial in trials)
    explained = [t for t in trials if t.outcome == ALIVE and reason(t)]
    killed = counts[KILLED] + counts[TIMED_OUT]
    deciding = len(trials) - len(explained)
    return {
        "command": "make bench-mutants" + ("" if seed == SEED else f' ARGS="--seed {seed}"'),
        "machine": machine.described(),
        "seed": seed,
        "drawn": drawn,
        "tried": len(trials),
        "killed": killed,
        "of_them_timed_out": counts[TIMED_OUT],
        "alive": counts[ALIVE] + counts[UNTESTED],
        "of_them_equivalent": len(explained),
        "share_killed": round(killed / deciding, 4) if deciding else None,
        "trials": [asdict(trial) | {WHY: reason(trial)} for trial in trials],
    }


def page(facts: Facts, trials: Sequence[Trial]) -> str:
    """The figures as a page."""
    share = facts["share_killed"]
    lines = [
        "# Would the tests notice?",
        "",
        f"Made by `{facts['command']}`: {facts['tried']} of {facts['drawn']} small changes "
        "drawn at random from the deciding modules of `compliance/`, `audits/` and `damp/`, each "
        "run against the tests of its own module (its examples, the tests named after it and those "
        "of its room that import it, without what is marked `slow` or `long`). "
        + (
            ""
            if share is None
            else f"{facts['killed']} were noticed: {share:.1%} of those that change anything. "
        )
        + "A test that starts a process does not see the change there.",
        "",
        "## Alive",
        "",
        "| where | kind | before | after | |",
        "|---|---|---|---|---|",
    ]
    for trial in trials:
        if trial.outcome in (ALIVE, UNTESTED):
            why = reason(trial) or ("no test" if trial.outcome == UNTESTED else "")
            cells = (f"`{trial.module}:{trial.line}`", trial.kind, _code(trial.before))
            lines.append(f"| {' | '.join(cells)} | {_code(trial.after)} | {why} |")
    return "\n".join(lines) + "\n"


def reason(trial: Trial) -> str:
    """Why a mutant changes nothing that could be noticed; empty where nobody has said so."""
    return EQUIVALENT.get((trial.key, f"{trial.before} -> {trial.after}"), "")


def _code(text: str) -> str:
    return f"`{text[:120]}`".replace("|", "\\|")
