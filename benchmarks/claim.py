"""How long does a whole L3 audit of a CIFAR-10 network take where its references are there?

    python -m benchmarks.claim

The networks are those of the validity study (trained where they are missing); the claim that a
retrained one has forgotten class 8 is audited by `damp audit`, as a process, in a state folder of
its own. Interpreter, imports, Prefect, observation of all models, controls, record and report
count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import described, save
from benchmarks.validity import nets

Facts = dict[str, Any]

SCOPE = (8,)
POLICY = "default-v1"


def main() -> None:
    """Measure, print, and write benchmarks/results/claim.json."""
    (setting,) = (each for each in nets.SETTINGS if each.name == "cifar")
    judges = nets.references(setting, SCOPE)
    before = nets.original(setting, setting.seeds[0])
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
        file = Path(folder) / "claim.yaml"
        file.write_text(json.dumps(claim))
        home = Path(folder) / "state"
        keys = os.environ | {"DAMP_KEYS": str(Path(folder) / "keys")}
        _damp(home, keys, "keys", "new", "--role", "executor")
        machine, began = described(), time.perf_counter()
        told = _damp(home, keys, "audit", str(file), "--json")
        seconds = time.perf_counter() - began
        statement = json.loads(told.stdout)
        save(
            "claim",
            {
                "command": "python -m benchmarks.claim",
                "machine": machine,
                "models_observed": 2 + len(judges),
                "audit_seconds": round(seconds, 1),
                "verdict": statement["verdict"],
                "cost": statement.get("cost"),
            },
        )


def _damp(
    home: Path, environment: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "flows", "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode not in (0, 2):
        raise SystemExit(f"damp {' '.join(arguments)} failed:\n{done.stderr}")
    return done


if __name__ == "__main__":
    main()
