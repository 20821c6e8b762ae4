"""How large and how powerful is each kind of rule, and which reader sees which planted leak?

    python -m benchmarks.statistics [--draws 4000] [--worlds 12] [--only rules]

Every figure comes from the shipped functions on worlds that are known: made-up trainings whose
spread is 1 (`worlds.py`), and made-up features in which a class is hidden (`leaks.py`).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.statistics import families, leaks, report, rules

RESULTS = Path(__file__).parent.parent / "results"


def main() -> None:
    """Simulate, and write `results/statistics.json` and `.md`; what is not asked for is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=4000, help="candidates simulated per figure")
    parser.add_argument("--worlds", type=int, default=12, help="small networks with leaks")
    parser.add_argument("--wide", type=int, default=4, help="worlds of 2048 features")
    parser.add_argument("--scores", type=int, default=40, help="attacks on membership")
    parser.add_argument("--only", choices=("rules", "leaks"), help="one half; the other is kept")
    chosen = parser.parse_args()
    measured: dict[str, Any] = {}
    if chosen.only != "leaks":
        measured |= {"alpha": rules.ALPHA, "draws": chosen.draws}
        measured["rules"] = [asdict(each) for each in rules.table(draws=chosen.draws)]
        measured["limits"] = [asdict(each) for each in rules.limits()]
        measured["families"] = [asdict(each) for each in families.table(draws=chosen.draws)]
    if chosen.only != "rules":
        outcomes = leaks.table(worlds=chosen.worlds, wide=chosen.wide, scores=chosen.scores)
        measured["leaks"] = [asdict(each) for each in outcomes]
    file = RESULTS / "statistics.json"
    content: dict[str, Any] = {
        "rules": [],
        "limits": [],
        "families": [],
        "leaks": [],
        "draws": chosen.draws,
    }
    # read last, so that the halves may run side by side
    content |= (json.loads(file.read_text()) if file.exists() else {}) | measured
    file.write_text(json.dumps(content, indent=1) + "\n")
    (RESULTS / "statistics.md").write_text(
        report.markdown(
            [rules.Rates(**each) for each in content["rules"]],
            [rules.Limit(**each) for each in content["limits"]],
            [families.Family(**each) for each in content["families"]],
            [leaks.LeakOutcome.of(each) for each in content["leaks"]],
            content["draws"],
        )
    )


if __name__ == "__main__":
    main()
