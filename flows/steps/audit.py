"""Step 7: observe every model once; candidate and controls face the same suite of audits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from audits.finding import Finding
from flows.records import audit_cost
from flows.servers import cluster
from flows.state import progress
from flows.state.errors import EventError
from flows.state.facts import Data, Edit, Findings, Json, Method, Model, Plan, References
from flows.state.files import Artifact, canonical, digest_bytes, write_atomically
from flows.state.paths import Attempt, Home
from flows.steps.step import step

if TYPE_CHECKING:
    from torch import nn

    from audits.evidence import Evidence, Shadow
    from audits.features import Observation
    from flows.data.dataset import Dataset
    from flows.steps.audit_rows import AuditRows

CANDIDATE, MUST_FAIL, ORIGINAL = "candidate", "must_fail", "original"
NEAR_MARGIN = "near_margin"
REFERENCE = "reference_"
"""The parts of the audits: the candidate, the controls made of it, the original, the control near
the margin, each reference."""
OF_ORIGINAL = ("output_retired", "head_refitted")
"""Controls that are made of the original alone, whatever the candidate is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is audited, and with what it is compared.

    Attributes:
        data: Of the event, and so on.
        edit: The candidate; None where there is none yet.
        seed: The plan's.
        near_margin: The share of what the original knows that a control holds; None for none.
        alone: Whether it is judged under a qualification, without a baseline.
    """

    data: Data
    model: Model
    references: References
    edit: Edit | None
    seed: int
    near_margin: float | None = None
    alone: bool = False

    @property
    def baseline(self) -> list[str]:
        """The parts that need no candidate."""
        return [ORIGINAL, *(f"{REFERENCE}{i}" for i in range(len(self.references.models)))]

    @property
    def about_candidate(self) -> list[str]:
        """The parts that are audited once there is one."""
        return [CANDIDATE, MUST_FAIL, *([NEAR_MARGIN] if self.near_margin else [])]

    def with_candidate(self, after: Artifact) -> Case:
        """The same case about other weights.

        Raises:
            EventError: There is no candidate whose place they could take.
        """
        if self.edit is None:
            raise EventError("The case has no candidate yet: edit the model first.")
        return replace(self, edit=replace(self.edit, after=after))


@dataclass(frozen=True, slots=True, kw_only=True)
class PartJob:
    """One part of a case's audits, wherever it runs."""

    home: Home
    case: Case
    part: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartResult:
    """What came of it.

    Attributes:
        findings: As JSON, by the name of the model that was audited.
        impossible: The controls that could not be made, with the reason of each.
    """

    findings: dict[str, list[Json]]
    impossible: dict[str, str] = field(default_factory=dict)


@step("Audit candidate and controls")
def audit(
    attempt: Attempt, data: Data, model: Model, references: References, plan: Plan, edit: Edit
) -> Findings:
    """Findings on the candidate, on each control, and on each reference beside the others."""
    policy = json.loads((attempt.home.root / plan.file.path).read_bytes())["policy"]
    case = Case(
        data=data,
        model=model,
        references=references,
        edit=edit,
        seed=plan.seed,
        near_margin=policy.get("near_margin"),
        alone=bool(policy.get("yardstick")),
    )
    return audit_candidate(attempt, case, plan.baseline)


def audit_candidate(attempt: Attempt, case: Case, baseline: Artifact) -> Findings:
    """Findings on the candidate and the controls made of it, written beside those of the baseline.

    Args:
        attempt: Whose they are.
        case: With a candidate.
        baseline: What `audit_baseline` has written.
    """
    root = attempt.home.root
    parts, cost = _run(attempt.home, case, case.about_candidate)
    audit_cost.keep(attempt, "audit", cost)
    candidate, controls = _split(parts)
    content = {
        "impossible": _impossible(parts),
        "candidate": candidate,
        "controls": controls | json.loads((root / baseline.path).read_bytes()),
    }
    write_atomically(attempt.findings, json.dumps(content, indent=1).encode())
    return Findings(file=Artifact.of(root, attempt.findings))


def audit_baseline(
    attempt: Attempt,
    data: Data,
    model: Model,
    references: References,
    seed: int,
    *,
    alone: bool = False,
) -> dict[str, list[Json]]:
    """Findings on the original and on each reference compared with the others.

    No candidate is there yet. They are the controls of the audit to come and what the plan's power
    is worked out from.
    """
    case = Case(data=data, model=model, references=references, edit=None, seed=seed, alone=alone)
    parts, cost = _run(attempt.home, case, case.baseline)
    audit_cost.keep(attempt, "yardstick", cost)
    findings = _merged(parts)
    write_atomically(attempt.baseline, json.dumps(findings).encode())
    return findings


def audit_again(home: Home, case: Case) -> tuple[list[Finding], dict[str, list[Finding]]]:
    """Findings on the candidate, and on each control by its name; nothing is written."""
    parts, _ = _run(home, case, [*case.about_candidate, *case.baseline])
    candidate, controls = _split(parts)
    return (
        [Finding.from_json(each) for each in candidate],
        {name: [Finding.from_json(each) for each in every] for name, every in controls.items()},
    )


def _merged(parts: Iterable[PartResult]) -> dict[str, list[Json]]:
    return {name: every for part in parts for name, every in part.findings.items()}


def _split(parts: Iterable[PartResult]) -> tuple[list[Json], dict[str, list[Json]]]:
    """Findings on the candidate, and those on the controls."""
    findings = _merged(parts)
    return findings.pop(CANDIDATE), findings


def _impossible(parts: Iterable[PartResult]) -> dict[str, str]:
    return {name: why for part in parts for name, why in part.impossible.items()}


def _run(home: Home, case: Case, parts: Sequence[str]) -> tuple[list[PartResult], list[Json]]:
    """What came of each part, and what they cost; on a cluster where there is one."""
    if cluster.is_on():
        jobs = [PartJob(home=home, case=case, part=part) for part in parts]
        answers = cluster.map(run_part, jobs, "audits")
        return [result for result, _ in answers], [cost for _, cost in answers]
    suite = Suite(home, case)
    results = []
    for number, part in enumerate(parts, 1):
        progress.current().advance(part.replace("_", " "), number - 1, len(parts))
        results.append(suite.run(part))
    return results, [suite.meter.to_json()]


def run_part(job: PartJob) -> tuple[PartResult, Json]:
    """One part of the audits on a worker of a cluster, and what it cost."""
    suite = Suite(job.home, job.case)
    return suite.run(job.part), suite.meter.to_json()


class Suite:
    """The evidence of one case, and findings on whichever model is put in the candidate's place."""

    def __init__(self, home: Home, case: Case) -> None:
        from audits.evidence import Evidence
        from flows.steps import audit_rows

        rows = audit_rows.for_audit(case.data, case.model, seed=case.seed)
        self.case, self.meter = case, audit_cost.Meter()
        self.observe = _Observer(home, case, rows, self.meter)
        self.references = tuple(self.observe.model(file) for file in case.references.models)
        original = self.observe.model(case.model.file, retired=case.model.retired)
        candidate = self.observe.candidate(case.edit) if case.edit else original
        unseen, shadows = rows.unseen_labels, case.references.shadows
        self.evidence = Evidence(
            original=original,
            candidate=candidate,
            references=self.references,
            train_labels=rows.train_labels.numpy(),
            test_labels=rows.test_labels.numpy(),
            forget=case.data.forget,
            seed=case.seed,
            memo={},
            fresh_labels=rows.fresh_labels.numpy(),
            unseen_labels=None if unseen is None else unseen.numpy(),
            tuning=rows.tuning,
            shadows=tuple(
                self.observe.shadow(file, seed, shadows.edited)
                for file, seed in zip(shadows.models, shadows.seeds, strict=True)
            ),
            # those that a claimant handed in have no seeds: they may be copies
            trained_here=bool(case.references.seeds),
            alone=case.alone,
        )

    def run(self, part: str) -> PartResult:
        """One part of the audits: every audit of the model or models that it names."""
        if part == CANDIDATE:
            self.meter.candidate = dict(self.evidence.candidate.passes)
            return PartResult(findings={part: self.findings(self.evidence)})
        if part == ORIGINAL:
            own = self.evidence.with_candidate(self.evidence.original)
            return PartResult(findings={part: self._shared(own)})
        if part == MUST_FAIL:
            controls, impossible = self.observe.must_fail()
            findings = {}
            for name, observation in controls.items():
                own = self.evidence.with_candidate(observation)
                findings[name] = self._shared(own) if name in OF_ORIGINAL else self.findings(own)
            return PartResult(
                findings=findings, impossible=impossible | self.case.references.problems
            )
        if part == NEAR_MARGIN:
            return self._near_margin()
        index = int(part.removeprefix(REFERENCE))
        others = self.references[:index] + self.references[index + 1 :]
        own = self.evidence.with_candidate(self.references[index], references=others)
        return PartResult(findings={part: self._shared(own)})

    def _near_margin(self) -> PartResult:
        """A blend of the original and a reference that holds more than the margins allow."""
        from audits import spiked
        from audits.errors import BadControl

        share = self.case.near_margin
        if share is None:
            raise EventError("The policy asks for no control near the margin.")
        try:
            blended = spiked.near_margin(self.evidence, share=share)
        except BadControl as problem:
            return PartResult(findings={}, impossible={NEAR_MARGIN: str(problem)})
        return PartResult(findings={NEAR_MARGIN: self.findings(blended)})

    def _shared(self, evidence: Evidence) -> list[Json]:
        """Findings that no candidate has a part in: they serve every claim by the same seed.

        A later attempt of a request draws its own seed, so that nobody can suit an edit to it, and
        works them out again. Kept beside the observations that they were worked out from, under
        all that they follow from, the source of audits and networks among it.
        """
        from audits.observation import CONTENT
        from flows.records import qualifications
        from flows.state import files

        case, audited = self.case, evidence.candidate
        shadows = case.references.shadows
        follows_from = [
            *(qualifications.suite(), qualifications.code(), CONTENT),
            *(self.observe.rows.key, case.seed),
            *(list(case.data.forget), case.data.classes, case.model.architecture),
            *([o.digest, list(o.retired)] for o in (evidence.original, audited)),
            *([o.digest for o in evidence.references], [file.sha256 for file in shadows.models]),
            *(list(shadows.seeds), shadows.edited and shadows.edited.to_json()),
            *(evidence.trained_here, evidence.alone),
        ]
        key = digest_bytes(canonical(follows_from))
        path = self.observe.home.observations / f"{key}.safetensors"
        if path.exists():
            kept: list[Json] = json.loads(files.load_metadata(path)["findings"])
            return kept
        findings = self.findings(evidence)
        # under the digest of the model that they are about: whoever purges that one purges them too
        files.save_arrays(path, {}, {"digest": audited.digest, "findings": json.dumps(findings)})
        return findings

    def findings(self, evidence: Evidence) -> list[Json]:
        """Of every audit, each timed: the first that asks pays for what all share."""
        from audits import AUDITS

        findings = []
        for name, run in AUDITS.items():
            with self.meter.timed(name):
                findings.append(run(evidence).to_json())
        return findings


class _Observer:
    """Loads the models of a case and observes each once on the same rows."""

    def __init__(self, home: Home, case: Case, rows: AuditRows, meter: audit_cost.Meter) -> None:
        self.home, self.case, self.rows, self.meter = home, case, rows, meter

    def network(self, file: Artifact, architecture: str | None = None) -> nn.Module:
        from flows.models import weights

        network, _ = weights.load_weights(
            self.home.root / file.path,
            architecture=architecture or self.case.model.architecture,
            classes=self.case.data.classes,
            input_shape=self.rows.input_shape,
        )
        return network

    @cached_property
    def dataset(self) -> Dataset:
        """The data of the model before."""
        from flows.data import loaders

        return loaders.learned(self.case.data, self.case.model)

    def candidate(self, edit: Edit) -> Observation:
        """The model after; a claim's may be of another architecture than the model before."""
        return self.model(edit.after, retired=edit.retired, architecture=edit.architecture)

    def model(
        self,
        file: Artifact,
        *,
        retired: Sequence[int] = (),
        architecture: str | None = None,
    ) -> Observation:
        """From the cache where this model was observed on these rows before."""
        from audits.observation import CONTENT

        model = [file.sha256, self.rows.key, list(retired), architecture or ""]

        def observed() -> Observation:
            progress.current().advance("observing a model", 0, 1)
            return self._observe(self.network(file, architecture), file.sha256, retired)

        return self._kept(digest_bytes(canonical([*model, CONTENT])), observed)

    def shadow(self, file: Artifact, seed: int, method: Method | None) -> Shadow:
        """What a shadow model says of the rows, edited first where there is a method to do it by.

        Its answers alone, one forward pass.
        """
        from audits import features
        from flows.models import held_tensors
        from flows.state.settings import settings
        from flows.steps import shadows

        with self.meter.timed(audit_cost.OBSERVE):
            network = self.network(file)
            if method:
                forget = self.case.data.forget
                network = shadows.edited(network, self.dataset, seed, forget, method)
            with held_tensors.unchanged(network, f"The shadow model {file.path}"):
                observation = features.observe(
                    network,
                    self.rows.train_inputs,
                    self.rows.test_inputs,
                    depths=1,
                    device=settings().device,
                    digest=file.sha256,
                )
        self.meter.count(observation, kept=False)
        answers = observation.train_logits, observation.test_logits
        return shadows.as_evidence(*answers, self.rows, seed, edited=method is not None)

    def must_fail(self) -> tuple[Mapping[str, Observation], dict[str, str]]:
        """The controls of AUDIT.md section 3, made of original and candidate; those that cannot be.

        The original itself is a part of its own.
        """
        from audits import controls

        edit = self.case.edit
        if edit is None:
            raise EventError("Controls are made of a candidate, and there is none yet: edit first.")
        networks, impossible = controls.possible(
            self.network(self.case.model.file),
            self.network(edit.after, edit.architecture),
            forget=self.case.data.forget,
            inputs=self.rows.train_inputs,
            labels=self.rows.train_labels,
            seed=self.case.seed,
        )
        retired = {"output_retired": edit.retired, "random_direction": edit.retired}
        observations = {
            name: self._control(name, network, retired.get(name, ()))
            for name, network in networks.items()
            if name != ORIGINAL
        }
        return observations, impossible

    def _control(self, name: str, network: nn.Module, retired: Sequence[int]) -> Observation:
        """A control's observation; one made of the original alone serves every claim about it."""
        if name not in OF_ORIGINAL:
            return self._observe(network, f"control:{name}", retired)
        from audits.observation import CONTENT

        # its digest begins with the original's: whoever purges that one purges it too
        digest = f"{self.case.model.file.sha256}:{name}"
        kept = [digest, self.rows.key, self.case.seed, list(retired), CONTENT]
        return self._kept(
            digest_bytes(canonical(kept)), lambda: self._observe(network, digest, retired)
        )

    def _kept(self, key: str, observe: Callable[[], Observation]) -> Observation:
        """From the state folder where it was observed before, else observed now and kept."""
        from audits import features
        from flows.state import files

        path = self.home.observations / f"{key}.safetensors"
        if path.exists():
            observation = features.from_arrays(*files.load_arrays(path))
            self.meter.count(observation, kept=True)
            return observation
        observation = observe()
        files.save_arrays(path, *features.to_arrays(observation))
        return observation

    def _observe(self, network: nn.Module, digest: str, retired: Sequence[int]) -> Observation:
        from audits import features, weight_record
        from flows.models import held_tensors
        from flows.state.settings import settings

        shown = [
            i for i, c in enumerate(self.rows.test_labels.tolist()) if c in self.case.data.forget
        ]
        with (
            self.meter.timed(audit_cost.OBSERVE),
            held_tensors.unchanged(network, f"The model {digest[:16]}"),
        ):
            device = settings().device
            record = weight_record.record(
                network, self.rows.test_inputs, shown=shown, device=device
            )
            observation = features.observe(
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
            observation = replace(observation, record=record)
        self.meter.count(observation, kept=False)
        return observation
