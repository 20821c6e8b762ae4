"""How long does a whole L3 audit of a CIFAR-10 network take where its references are there?

    python -m benchmarks.claim

The networks are those of the validity study (trained where they are missing); the claim that a
retrained one has forgotten class 8 is audited by `damp audit`, as a process, in a state folder of
its own. Interpreter, imports, Prefect, observation of all models, controls, record and report
count.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import described, save
from benchmarks.operations.office import Office
from benchmarks.validity import data, nets

Facts = dict[str, Any]

ROOT = Path(__file__).parents[1]
SCOPE = (8,)
POLICY = "default-v1"


def main() -> None:
    """Measure, print, and write benchmarks/results/claim.json."""
    setting = nets.CLAIMED
    judges = nets.references(setting, SCOPE)
    before = nets.original(setting, 0)
    after = nets.honest(setting, SCOPE)["retrained_2000"]
    for training in (before, after, *judges):
        training.model()

    def named(training: nets.Training) -> Facts:
        return {"file": str(training.path), "architecture": setting.architecture}

    claim = {
        "apiVersion": "damp/v1",
        "kind": "ForgettingClaim",
        "scope": {"type": "class", "selector": {"index": SCOPE[0]}},
        "original": named(before),
        "edited": named(after),
        "references": [str(training.path) for training in judges],
        "data": {"name": f"benchmarks.validity.data:{setting.data}"},
        "policy": POLICY,
    }
    with tempfile.TemporaryDirectory() as folder:
        # where the claim's data come from, and where they lie decoded
        office = Office(Path(folder), PYTHONPATH=str(ROOT), **{data.CACHE: str(data.cache())})
        file = office.folder / "claim.yaml"
        file.write_text(json.dumps(claim))
        machine, began = described(), time.perf_counter()
        told = json.loads(office.damp("audit", file, "--json"))
        seconds = time.perf_counter() - began
    save(
        "claim",
        {
            "command": "python -m benchmarks.claim",
            "machine": machine,
            "audit_seconds": round(seconds, 1),
            "verdict": told["verdict"],
            "cost": told["cost"],
        },
    )


if __name__ == "__main__":
    main()
