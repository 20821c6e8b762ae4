"""Step 7: observe every model once; candidate and controls face the same bench."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audits.finding import Finding
from flows.records import audit_cost
from flows.servers import cluster
from flows.state import progress
from flows.state.files import Artifact, canonical, digest_bytes, write_atomically
from flows.state.journal import entered
from flows.state.paths import Attempt, Home

if TYPE_CHECKING:
    from torch import nn

    from audits.evidence import Evidence, Shadow
    from audits.features import Observation
    from flows.data.dataset import Dataset
    from flows.steps.audit_rows import AuditRows

Facts = dict[str, Any]

CANDIDATE, MUST_FAIL, ORIGINAL = "candidate", "must_fail", "original"
IMPOSSIBLE = "impossible"
"""Among the parts: the controls that could not be made, with the reason of each."""


def audit(
    where: Facts, data: Facts, model: Facts, references: Facts, plan: Facts, edit: Facts
) -> Facts:
    """Findings on the candidate, on each control, and on each reference judged by the others."""
    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "audit"):
        known = json.loads((home.root / plan["yardstick"]["path"]).read_bytes())
        told = {"data": data, "model": model, "references": references, "plan": plan, "edit": edit}
        found, costs = _every(home, told, [CANDIDATE, MUST_FAIL])
        audit_cost.keep(attempt, "audit", costs)
        found |= known
        content = {
            "impossible": found.pop(IMPOSSIBLE),
            "candidate": found.pop(CANDIDATE),
            "controls": found,
        }
        write_atomically(attempt.findings, json.dumps(content, indent=1).encode())
    return {"findings": Artifact.of(home.root, attempt.findings).to_json()}


def yardstick(
    home: Home, attempt: Attempt, data: Facts, model: Facts, references: Facts, seed: int
) -> Facts:
    """Findings on the original and on each reference judged by the others: no candidate is there.

    They are the controls of the audit to come and what the plan's power is worked out from.
    """
    wanted = [ORIGINAL, *_names(references)]
    told = {"data": data, "model": model, "references": references, "edit": None}
    found, costs = _every(home, told | {"plan": {"seed": seed}}, wanted)
    audit_cost.keep(attempt, "yardstick", costs)
    write_atomically(attempt.yardstick, json.dumps(found).encode())
    return found


def measured(
    home: Home, data: Facts, model: Facts, references: Facts, plan: Facts, edit: Facts
) -> tuple[list[Finding], dict[str, list[Finding]]]:
    """Findings on the candidate, and on each control by its name."""
    told = {"data": data, "model": model, "references": references, "plan": plan, "edit": edit}
    parts, _ = _every(home, told, [CANDIDATE, MUST_FAIL, ORIGINAL, *_names(references)])
    parts.pop(IMPOSSIBLE)
    found = {
        name: [Finding.from_json(finding) for finding in findings]
        for name, findings in parts.items()
    }
    return found.pop(CANDIDATE), found


def _names(references: Facts) -> list[str]:
    return [f"reference_{i}" for i in range(len(references["models"]))]


def _every(home: Home, told: Facts, wanted: list[str]) -> tuple[Facts, list[Facts]]:
    """Findings as JSON by the name of the model judged, and what they cost.

    On a cluster where there is one.
    """
    jobs = [told | {"home": str(home.root), "part": name} for name in wanted]
    if cluster.is_on():
        done = cluster.everywhere(part, jobs, "audits")
        parts, costs = [each["findings"] for each in done], [each["cost"] for each in done]
    else:
        bench = _Bench(home, **told)
        parts = []
        for number, name in enumerate(wanted, 1):
            progress.current().advance(name.replace("_", " "), number - 1, len(wanted))
            parts.append(bench.judged(name))
        costs = [bench.meter.told()]
    return {name: findings for each in parts for name, findings in each.items()}, costs


def part(job: Facts) -> Facts:
    """One part of the audits, wherever this runs: `findings` by the model judged, and `cost`."""
    facts = {name: job[name] for name in ("data", "model", "references", "plan", "edit")}
    bench = _Bench(Home(Path(job["home"])), **facts)
    return {"findings": bench.judged(job["part"]), "cost": bench.meter.told()}


class _Bench:
    """The evidence of one event, and findings on whichever model is judged by it."""

    def __init__(
        self,
        home: Home,
        data: Facts,
        model: Facts,
        references: Facts,
        plan: Facts,
        edit: Facts | None,
    ) -> None:
        from audits.evidence import Evidence
        from flows.steps import audit_rows

        chosen = audit_rows.for_audit(data, model, seed=plan["seed"])
        self.meter = audit_cost.Meter()
        self.load = _Loader(home, data, model, chosen, self.meter)
        self.edit, self.seed = edit, plan["seed"]
        self.problems: dict[str, str] = references.get("problems", {})
        self.judges = tuple(self.load.observed(reference) for reference in references["models"])
        shadows = references.get("shadows", {"models": [], "seeds": []})
        original = self.load.observed(model["file"], retired=model["retired"])
        unseen = chosen.unseen_labels
        self.evidence = Evidence(
            original=original,
            candidate=self.load.candidate(edit) if edit else original,
            references=self.judges,
            train_labels=chosen.train_labels.numpy(),
            test_labels=chosen.test_labels.numpy(),
            forget=tuple(data["forget"]),
            seed=plan["seed"],
            memo={},
            fresh_labels=chosen.fresh_labels.numpy(),
            unseen_labels=None if unseen is None else unseen.numpy(),
            tuning=chosen.tuning,
            shadows=tuple(
                self.load.shadow(file, seed, shadows.get("edited"))
                for file, seed in zip(shadows["models"], shadows["seeds"], strict=True)
            ),
            # those that a claimant handed in have no seeds: they may be copies
            trained_here=bool(references["seeds"]),
        )

    def judged(self, name: str) -> Facts:
        """Findings as JSON, by the name of the model: the candidate, the controls, a reference."""
        if name == CANDIDATE:
            self.meter.candidate = dict(self.evidence.candidate.passes)
            return {name: self._run(self.evidence)}
        if name == ORIGINAL:
            return {name: self._run(self.evidence.with_candidate(self.evidence.original))}
        if name == MUST_FAIL:
            made, impossible = self.load.must_fail(self.edit or {}, self.seed)
            found: Facts = {
                n: self._run(self.evidence.with_candidate(seen)) for n, seen in made.items()
            }
            return found | {IMPOSSIBLE: impossible | self.problems}
        index = int(name.removeprefix("reference_"))
        others = self.judges[:index] + self.judges[index + 1 :]
        return {
            name: self._run(self.evidence.with_candidate(self.judges[index], references=others))
        }

    def _run(self, evidence: Evidence) -> list[Facts]:
        """What every audit finds, each timed: the first that asks pays for what all share."""
        from audits import AUDITS

        found = []
        for name, run in AUDITS.items():
            with self.meter.timed(name):
                found.append(run(evidence).to_json())
        return found


class _Loader:
    """Loads models of this event and observes each once on the same rows."""

    def __init__(
        self, home: Home, data: Facts, model: Facts, rows: AuditRows, meter: audit_cost.Meter
    ) -> None:
        self.home, self.data, self.model, self.rows = home, data, model, rows
        self.meter = meter

    def network(self, file: Facts, architecture: str | None = None) -> nn.Module:
        from flows.models import weights

        network, _ = weights.load_weights(
            self.home.root / file["path"],
            architecture=architecture or self.model["architecture"],
            classes=self.data["classes"],
            input_shape=self.rows.input_shape,
        )
        return network

    @cached_property
    def dataset(self) -> Dataset:
        """The data that the model before knows."""
        from flows.data import loaders

        return loaders.learned(self.data, self.model)

    def candidate(self, edit: Facts) -> Observation:
        """The model after; a claim's may be of another architecture than the model before."""
        named = edit.get("architecture")
        return self.observed(edit["after"], retired=edit["retired"], architecture=named)

    def observed(
        self,
        file: Facts,
        *,
        retired: list[int] | None = None,
        architecture: str | None = None,
    ) -> Observation:
        """From the cache where this model was seen on these rows before."""
        from audits import features
        from flows.state import files

        key = digest_bytes(
            canonical([file["sha256"], self.rows.key, retired or [], architecture or ""])
        )
        path = self.home.observations / f"{key}.safetensors"
        if path.exists():
            known = features.from_arrays(*files.load_arrays(path))
            self.meter.looked_at(known, kept=True)
            return known
        progress.current().advance("observing a model", 0, 1)
        network = self.network(file, architecture)
        seen = self._observe(network, file["sha256"], retired or [])
        files.save_arrays(path, *features.to_arrays(seen))
        return seen

    def shadow(self, file: Facts, seed: int, method: Facts | None) -> Shadow:
        """What a shadow model says of the rows, edited first where there is a method to do it by.

        Its answers alone, one forward pass.
        """
        from audits import features
        from flows.state.settings import settings
        from flows.steps import shadows

        with self.meter.timed(audit_cost.OBSERVE):
            network = self.network(file)
            if method:
                forget = self.data["forget"]
                network = shadows.edited(network, self.dataset, seed, forget, method)
            seen = features.observe(
                network,
                self.rows.train_inputs,
                self.rows.test_inputs,
                depths=1,
                device=settings().device,
                digest=file["sha256"],
            )
        self.meter.looked_at(seen, kept=False)
        answers = seen.train_logits, seen.test_logits
        return shadows.shown(*answers, self.rows, seed, edited=method is not None)

    def must_fail(self, edit: Facts, seed: int) -> tuple[Mapping[str, Observation], dict[str, str]]:
        """The controls of AUDIT.md section 3, made of original and candidate; those that cannot be.

        The original itself is a part of its own.
        """
        from audits import controls

        made, impossible = controls.possible(
            self.network(self.model["file"]),
            self.network(edit["after"], edit.get("architecture")),
            forget=tuple(self.data["forget"]),
            inputs=self.rows.train_inputs,
            labels=self.rows.train_labels,
            seed=seed,
        )
        retired = {"output_retired": edit["retired"], "random_direction": edit["retired"]}
        seen = {
            name: self._observe(network, f"control:{name}", retired.get(name, []))
            for name, network in made.items()
            if name != ORIGINAL
        }
        return seen, impossible

    def _observe(self, network: nn.Module, digest: str, retired: list[int]) -> Observation:
        from audits import features, weight_record
        from flows.state.settings import settings

        shown = [
            i for i, c in enumerate(self.rows.test_labels.tolist()) if c in self.data["forget"]
        ]
        with self.meter.timed(audit_cost.OBSERVE):
            device = settings().device
            record = weight_record.record(
                network, self.rows.test_inputs, shown=shown, device=device
            )
            seen = features.observe(
                network,
                self.rows.train_inputs,
                self.rows.test_inputs,
                device=device,
                retired=tuple(retired),
                digest=digest,
                fresh=self.rows.fresh_inputs,
                unseen=self.rows.unseen_inputs,
                tuning=self.rows.tuning,
                weights=True,
            )
            seen = replace(seen, record=record)
        self.meter.looked_at(seen, kept=False)
        return seen
