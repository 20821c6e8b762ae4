"""Step 7: observe every model once; candidate and controls face the same bench."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flows import progress
from flows.journal import entered
from flows.layout import Attempt, Home
from flows.store import Artifact, canonical, digest_bytes, write_atomically

if TYPE_CHECKING:
    from torch import nn

    from audits.evidence import Evidence
    from audits.features import Observation
    from audits.finding import Finding
    from flows.rows import AuditRows

Facts = dict[str, Any]


def audit(
    where: Facts, data: Facts, model: Facts, references: Facts, plan: Facts, edit: Facts
) -> Facts:
    """Findings on the candidate, on each control, and on each reference judged by the others."""
    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "audit"):
        findings, controls = _findings(home, data, model, references, plan, edit)
        content = {
            "candidate": [finding.to_json() for finding in findings],
            "controls": {name: [f.to_json() for f in found] for name, found in controls.items()},
        }
        write_atomically(attempt.findings, json.dumps(content, indent=1).encode())
    return {"findings": Artifact.of(home.root, attempt.findings).to_json()}


def _findings(
    home: Home, data: Facts, model: Facts, references: Facts, plan: Facts, edit: Facts
) -> tuple[list[Finding], dict[str, list[Finding]]]:
    from audits.evidence import Evidence
    from flows import rows

    chosen = rows.for_audit(data, model, seed=plan["seed"])
    load = _Loader(home, data, model, chosen)
    judges = tuple(load.observed(reference) for reference in references["models"])
    evidence = Evidence(
        original=load.observed(model["file"], retired=model["retired"]),
        candidate=load.observed(edit["after"], retired=edit["retired"]),
        references=judges,
        train_labels=chosen.train_labels.numpy(),
        test_labels=chosen.test_labels.numpy(),
        forget=tuple(data["forget"]),
        seed=plan["seed"],
        memo={},
        fresh_labels=chosen.fresh_labels.numpy(),
        tuning=chosen.tuning,
    )
    found = _run(evidence)
    controls = {
        name: _run(evidence.judging(observation))
        for name, observation in load.must_fail(edit, plan["seed"]).items()
    }
    for index, reference in enumerate(judges):
        others = judges[:index] + judges[index + 1 :]
        controls[f"reference_{index}"] = _run(evidence.judging(reference, references=others))
        progress.current().advance(f"reference {index} by the others", index + 1, len(judges))
    return found, controls


def _run(evidence: Evidence) -> list[Finding]:
    from audits import AUDITS

    return [run(evidence) for run in AUDITS.values()]


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
