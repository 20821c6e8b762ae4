"""Step 7: observe every model once; candidate and controls face the same bench."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audits.finding import Finding
from flows import fanout, progress
from flows.journal import entered
from flows.layout import Attempt, Home
from flows.store import Artifact, canonical, digest_bytes, write_atomically

if TYPE_CHECKING:
    from torch import nn

    from audits.evidence import Evidence
    from audits.features import Observation
    from flows.rows import AuditRows

Facts = dict[str, Any]

CANDIDATE, MUST_FAIL = "candidate", "must_fail"


def audit(
    where: Facts, data: Facts, model: Facts, references: Facts, plan: Facts, edit: Facts
) -> Facts:
    """Findings on the candidate, on each control, and on each reference judged by the others."""
    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "audit"):
        findings, controls = measured(home, data, model, references, plan, edit)
        content = {
            "candidate": [finding.to_json() for finding in findings],
            "controls": {name: [f.to_json() for f in found] for name, found in controls.items()},
        }
        write_atomically(attempt.findings, json.dumps(content, indent=1).encode())
    return {"findings": Artifact.of(home.root, attempt.findings).to_json()}


def measured(
    home: Home, data: Facts, model: Facts, references: Facts, plan: Facts, edit: Facts
) -> tuple[list[Finding], dict[str, list[Finding]]]:
    """Findings on the candidate, and on each control by its name."""
    told = {"data": data, "model": model, "references": references, "plan": plan, "edit": edit}
    wanted = [CANDIDATE, MUST_FAIL, *(f"reference_{i}" for i in range(len(references["models"])))]
    jobs = [told | {"home": str(home.root), "part": name} for name in wanted]
    if fanout.is_on():
        parts = fanout.everywhere(part, jobs, "audits")
    else:
        bench = _Bench(home, **told)
        parts = []
        for number, name in enumerate(wanted, 1):
            progress.current().advance(name.replace("_", " "), number - 1, len(wanted))
            parts.append(bench.judged(name))
    found = {
        name: [Finding.from_json(finding) for finding in findings]
        for each in parts
        for name, findings in each.items()
    }
    return found.pop(CANDIDATE), found


def part(job: Facts) -> Facts:
    """One part of the audits, wherever this runs: findings by the name of the model judged."""
    facts = {name: job[name] for name in ("data", "model", "references", "plan", "edit")}
    return _Bench(Home(Path(job["home"])), **facts).judged(job["part"])


class _Bench:
    """The evidence of one event, and findings on whichever model is judged by it."""

    def __init__(
        self, home: Home, data: Facts, model: Facts, references: Facts, plan: Facts, edit: Facts
    ) -> None:
        from audits.evidence import Evidence
        from flows import rows

        chosen = rows.for_audit(data, model, seed=plan["seed"])
        self.load = _Loader(home, data, model, chosen)
        self.edit, self.seed = edit, plan["seed"]
        self.judges = tuple(self.load.observed(reference) for reference in references["models"])
        self.evidence = Evidence(
            original=self.load.observed(model["file"], retired=model["retired"]),
            candidate=self.load.observed(edit["after"], retired=edit["retired"]),
            references=self.judges,
            train_labels=chosen.train_labels.numpy(),
            test_labels=chosen.test_labels.numpy(),
            forget=tuple(data["forget"]),
            seed=plan["seed"],
            memo={},
            fresh_labels=chosen.fresh_labels.numpy(),
            tuning=chosen.tuning,
        )

    def judged(self, name: str) -> Facts:
        """Findings as JSON, by the name of the model: the candidate, the controls, a reference."""
        if name == CANDIDATE:
            return {name: _run(self.evidence)}
        if name == MUST_FAIL:
            made = self.load.must_fail(self.edit, self.seed)
            return {control: _run(self.evidence.judging(seen)) for control, seen in made.items()}
        index = int(name.removeprefix("reference_"))
        others = self.judges[:index] + self.judges[index + 1 :]
        return {name: _run(self.evidence.judging(self.judges[index], references=others))}


def _run(evidence: Evidence) -> list[Facts]:
    from audits import AUDITS

    return [run(evidence).to_json() for run in AUDITS.values()]


class _Loader:
    """Loads models of this event and observes each once on the same rows."""

    def __init__(self, home: Home, data: Facts, model: Facts, rows: AuditRows) -> None:
        self.home, self.data, self.model, self.rows = home, data, model, rows

    def network(self, file: Facts) -> nn.Module:
        from flows import models

        network, _ = models.load_weights(
            self.home.root / file["path"],
            architecture=self.model["architecture"],
            classes=self.data["classes"],
            input_shape=self.rows.input_shape,
        )
        return network

    def observed(self, file: Facts, *, retired: list[int] | None = None) -> Observation:
        """From the cache where this model was seen on these rows before."""
        from audits import features
        from flows import store

        key = digest_bytes(canonical([file["sha256"], self.rows.key, retired or []]))
        path = self.home.observations / f"{key}.safetensors"
        if path.exists():
            return features.from_arrays(*store.load_arrays(path))
        progress.current().advance("observing a model", 0, 1)
        seen = self._observe(self.network(file), file["sha256"], retired or [])
        store.save_arrays(path, *features.to_arrays(seen))
        return seen

    def must_fail(self, edit: Facts, seed: int) -> Mapping[str, Observation]:
        """The controls of AUDIT.md section 3, made on the spot from original and candidate."""
        from audits import controls

        made = controls.must_fail(
            self.network(self.model["file"]),
            self.network(edit["after"]),
            forget=tuple(self.data["forget"]),
            inputs=self.rows.train_inputs,
            labels=self.rows.train_labels,
            seed=seed,
        )
        retired = {"output_retired": edit["retired"], "random_direction": edit["retired"]}
        return {
            name: self._observe(network, f"control:{name}", retired.get(name, []))
            for name, network in made.items()
        }

    def _observe(self, network: nn.Module, digest: str, retired: list[int]) -> Observation:
        from audits import features
        from flows.settings import settings

        return features.observe(
            network,
            self.rows.train_inputs,
            self.rows.test_inputs,
            device=settings().device,
            retired=tuple(retired),
            digest=digest,
            fresh=self.rows.fresh_inputs,
            tuning=self.rows.tuning,
            weights=True,
        )
