"""From mutants to figures: benchmarks/results/mutants.json and .md."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import machine
from benchmarks.mutants.trial import ALIVE, KILLED, TIMED_OUT, UNTESTED, Trial

Facts = dict[str, Any]
EQUIVALENT: dict[str, str] = {}
"""Why a mutant that is alive changes nothing that could be noticed, by its key."""


def write(trials: Sequence[Trial], *, drawn: int, seed: int) -> None:
    """Write both files."""
    counts = Counter(trial.outcome for trial in trials)
    explained = [t for t in trials if t.outcome == ALIVE and t.key in EQUIVALENT]
    killed = counts[KILLED] + counts[TIMED_OUT]
    deciding = len(trials) - len(explained)
    figures: Facts = {
        "command": "make bench-mutants",
        "machine": machine.described(),
        "seed": seed,
        "drawn": drawn,
        "tried": len(trials),
        "killed": killed,
        "of_them_timed_out": counts[TIMED_OUT],
        "alive": counts[ALIVE] + counts[UNTESTED],
        "of_them_equivalent": len(explained),
        "share_killed": round(killed / deciding, 4) if deciding else None,
        "trials": [asdict(trial) for trial in trials],
    }
    (machine.RESULTS / "mutants.json").write_text(json.dumps(figures, indent=1) + "\n")
    (machine.RESULTS / "mutants.md").write_text(page(figures, trials))


def page(figures: Facts, trials: Sequence[Trial]) -> str:
    """The figures as a page."""
    share = figures["share_killed"]
    lines = [
        "# Would the tests notice?",
        "",
        f"Made by `{figures['command']}`: {figures['tried']} of {figures['drawn']} small changes "
        "drawn at random from the deciding modules of `compliance/`, `audits/` and `damp/`, each "
        "run against the tests of its own module (those named after it and those of its room that "
        "import it, without what is marked `long`). "
        + (
            ""
            if share is None
            else f"{figures['killed']} were noticed: {share:.1%} of those that change anything. "
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
            why = EQUIVALENT.get(trial.key, "no test" if trial.outcome == UNTESTED else "")
            cells = (f"`{trial.module}:{trial.line}`", trial.kind, _code(trial.before))
            lines.append(f"| {' | '.join(cells)} | {_code(trial.after)} | {why} |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text[:120]}`".replace("|", "\\|")
