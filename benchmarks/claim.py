"""What does a whole L3 audit of a CIFAR-10 network take where its references are there?

    python -m benchmarks.claim

The networks are those of the validity study (trained where they are missing). Five claims about one
original, that five retrained models have forgotten class 8, are audited by one `damp audit`, as a
process, in a state folder of its own; then one of them alone, in another. Interpreter, imports,
Prefect, observation of all models, controls, record and report count, of all processes.
"""

from __future__ import annotations

import json
import resource
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import described, save
from benchmarks.operations.office import Office
from benchmarks.validity import data, nets

Facts = dict[str, Any]

ROOT = Path(__file__).parents[1]
SCOPE = (8,)
POLICY = "default-v1"


BATCH = 5
CODE = "benchmarks.validity.data"
"""Ours, and a claim's all the same: it runs because it is allowed."""


def main() -> None:
    """Measure, print, and write benchmarks/results/claim.json."""
    setting = nets.CLAIMED
    judges = nets.references(setting, SCOPE)
    before = nets.original(setting, 0)
    after = [nets.Training(setting=setting, seed=2000 + n, exclude=SCOPE) for n in range(BATCH)]
    for training in (before, *after, *judges):
        training.model()

    def named(training: nets.Training) -> Facts:
        return {"file": str(training.path), "architecture": setting.architecture}

    claims = [
        {
            "apiVersion": "damp/v1",
            "kind": "ForgettingClaim",
            "scope": {"type": "class", "selector": {"index": SCOPE[0]}},
            "original": named(before),
            "edited": named(edited),
            "references": [str(training.path) for training in judges],
            "data": {"name": f"benchmarks.validity.data:{setting.data}"},
            "policy": POLICY,
        }
        for edited in after
    ]
    machine = described()
    batch, alone = audited(claims), audited(claims[:1])
    save(
        "claim",
        {
            "command": "python -m benchmarks.claim",
            "machine": machine,
            "audit_seconds": alone["seconds"],
            "verdict": alone["claims"][0]["verdict"],
            "cost": alone["claims"][0]["cost"],
            "cpu_seconds": alone["cpu_seconds"],
            "batch": {
                "claims": BATCH,
                "audit_seconds": batch["seconds"],
                "cpu_seconds": batch["cpu_seconds"],
                "cpu_seconds_per_claim": round(batch["cpu_seconds"] / BATCH, 1),
                "verdicts": [claim["verdict"] for claim in batch["claims"]],
                "costs": [claim["cost"] for claim in batch["claims"]],
            },
        },
    )


def audited(claims: Sequence[Facts]) -> Facts:
    """Seconds by the clock and of the processors, and the answers, of one `damp audit`."""
    with tempfile.TemporaryDirectory() as folder:
        office = Office(Path(folder), PYTHONPATH=str(ROOT))
        _hand_over_images(office.folder / "state" / "validity")
        files = []
        for number, claim in enumerate(claims):
            files.append(office.folder / f"claim{number}.yaml")
            files[-1].write_text(json.dumps(claim))
        began, spent = time.perf_counter(), _of_children()
        content = json.loads(office.damp("audit", *files, "--allow-code", CODE, "--json"))
        return {
            "seconds": round(time.perf_counter() - began, 1),
            "cpu_seconds": round(_of_children() - spent, 1),
            "claims": content if isinstance(content, list) else [content],
        }


def _hand_over_images(place: Path) -> None:
    """Decoded images to where the claim's data look for them: allowed code may read the state
    folder, writes nothing and gets no variable of ours."""
    place.mkdir(parents=True)
    for images in data.cache().glob("*.npz"):
        shutil.copy(images, place)


def _of_children() -> float:
    """Processor seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
