"""How large and how powerful is each kind of rule, and which reader sees which planted leak?

    python -m benchmarks.statistics [--draws 4000]

Every figure comes from the shipped functions on worlds that are known: made-up trainings whose
spread is 1 (`worlds.py`), and made-up features in which a class is hidden (`leaks.py`).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.statistics import leaks, report, rules

RESULTS = Path(__file__).parent.parent / "results"


def main() -> None:
    """Simulate, and write `results/statistics.json` and `.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=4000, help="candidates simulated per figure")
    parser.add_argument("--worlds", type=int, default=20, help="worlds per planted leak")
    chosen = parser.parse_args()
    rates = list(rules.table(draws=chosen.draws))
    limits = rules.limits()
    seen = leaks.table(worlds=chosen.worlds)
    content = {
        "alpha": rules.ALPHA,
        "draws": chosen.draws,
        "rules": [asdict(each) for each in rates],
        "limits": [asdict(each) for each in limits],
        "leaks": [asdict(each) for each in seen],
    }
    (RESULTS / "statistics.json").write_text(json.dumps(content, indent=1) + "\n")
    (RESULTS / "statistics.md").write_text(report.markdown(rates, limits, seen, chosen.draws))


if __name__ == "__main__":
    main()
