"""One class of a study: cut as an event would cut it, and compared with retrained models.

The same functions as an event's steps, called plainly. Beside the cuts stand models that must fail,
made as in a validity study, so that what is measured without retrained models has known errors.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.formats import typed
from compliance.formats.errors import FindingsError
from compliance.qualification import kept, rules
from compliance.qualification.study import CUT, MUST_FAIL, RETRAINED, StudiedClass, StudiedModel
from flows.state import progress
from flows.state.facts import AcceptedRequest, Edit, Json, Method, Model, Rung
from flows.state.files import write_atomically
from flows.state.paths import Home, StudyCase
from flows.steps import method_cost, prepare, qualified
from flows.steps import references as training

if TYPE_CHECKING:
    from audits.finding import Finding
    from compliance.documents.policy import Policy
    from compliance.documents.preprocessing import Preprocessing
    from compliance.documents.study import Study
    from flows.steps.audit import Suite

TRAININGS, CUTS, AUDITS = "trainings", "cuts", "audits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a study is about, located and read.

    Attributes:
        home: The state folder.
        id: Of the study.
        study: As it was asked for.
        origin: The folder that its paths start in.
        recipe: A recipe's name, or the absolute path of its file.
        policy: By which its classes are judged.
        preprocessing: What its model sees of an image.
    """

    home: Home
    id: str
    study: Study
    origin: Path
    recipe: str
    policy: Policy
    preprocessing: Preprocessing | None

    @property
    def level(self) -> float:
        """Error level of one of the attempts: equal parts, as those of events under it have."""
        return self.policy.alpha / len(self.study.attempts)

    @property
    def rules(self) -> Policy:
        """By which events will be judged beside the share that is kept, at the same level."""
        study = self.study
        policy = rules.policy_of(study.name, self.policy, study.attempts)
        return policy.at_level(self.level)

    @property
    def judged_by(self) -> Policy:
        """At the level of one of the attempts, as an event's are judged."""
        return self.policy.at_level(self.level)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A class that was studied, and the model that its last cut has left.

    Attributes:
        studied: What came of it.
        model: For the next edit in sequence; None where no cut passed.
        reasons: Why each cut that did not pass did not, by its preset.
    """

    studied: StudiedClass
    model: Model | None
    reasons: Mapping[str, tuple[str, ...]]


def kept_file(subject: Subject, label: int, edits: int) -> Path:
    """Where a class's results lie, once they are whole."""
    return subject.home.qualifications / subject.id / f"class-{label}-after-{edits}.json"


def study_class(subject: Subject, model: Model, label: int, *, head: str) -> Cut:
    """Study a class, or take it from where it was studied before it was killed.

    Args:
        subject: Of the study.
        model: Before the cut; earlier edits of a sequence are in it.
        label: The class.
        head: Hash that the study's seeds come from.
    """
    edits = len(model.retired)
    file = kept_file(subject, label, edits)
    if file.exists():
        return _kept(subject, model, label, json.loads(file.read_bytes()))
    cut = _Work(subject, model, label, head).carried_out()
    content = {
        "studied": typed.plain(cut.studied),
        "model": cut.model.to_json() if cut.model else None,
        "reasons": {preset: list(every) for preset, every in cut.reasons.items()},
    }
    write_atomically(file, json.dumps(content, indent=1).encode())
    return cut


def _kept(subject: Subject, model: Model, label: int, content: Json) -> Cut:
    studied = typed.read(StudiedClass, content["studied"])
    after = Model.from_json(content["model"]) if content["model"] else None
    reasons = {preset: tuple(every) for preset, every in content.get("reasons", {}).items()}
    return Cut(studied=studied, model=after, reasons=reasons)


class _Work:
    """The work on one class, in its order."""

    def __init__(self, subject: Subject, model: Model, label: int, head: str) -> None:
        self.subject, self.model, self.label = subject, model, label
        self.home = subject.home
        self.data = prepare.versions_of(
            self.home,
            source=subject.study.data,
            unseen=None,
            origin=subject.origin,
            forget=[label],
            retired=model.retired,
            preprocessing=subject.preprocessing,
        )
        text = f"study {head} {label} {len(model.retired)}"
        self.seed = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
        self.models: list[StudiedModel] = []
        self.baseline: dict[str, list[Finding]] = {}
        self.reasons: dict[str, tuple[str, ...]] = {}
        self.seconds = dict.fromkeys((TRAININGS, CUTS, AUDITS), 0.0)

    def carried_out(self) -> Cut:
        """All of it."""
        from flows.data import loaders

        subject, dataset = self.subject, loaders.learned(self.data, self.model)
        facts = qualified.class_facts(self.home, dataset, self.data, self.model, [self.label])[
            self.label
        ]
        began = time.monotonic()
        made_of = training.Training.of(self.data, self.model, subject.recipe)
        self.references = training.train(self.home, made_of, references=subject.policy.references)
        each = method_cost.training_seconds(self.home, self.references.models)
        trained = time.monotonic() - began
        count = len(self.references.models)
        self.seconds[TRAININGS] += each * count if each is not None else trained
        rung, edit = self._cuts()
        self._must_fail(edit)
        partly = len(subject.study.partly)
        studied = StudiedClass(
            label=self.label,
            edits=len(self.model.retired),
            facts=facts,
            rung=rung,
            models=tuple(self.models),
            trainings=count + partly,
            seconds={name: round(value, 3) for name, value in self.seconds.items()},
        )
        after = None
        if rung is not None:
            after = replace(self.model, file=edit.after, retired=edit.retired, registry=None)
        return Cut(studied=studied, model=after, reasons=self.reasons)

    def _cuts(self) -> tuple[int | None, Edit]:
        """The ladder's cuts in their order, until one passes."""
        from compliance.verdict import PASSED

        ladder = self.subject.study.attempts
        for place, preset in enumerate(ladder, 1):
            edit = self._cut(place, preset)
            began = time.monotonic()
            self.suite = self._suite(edit)
            result = self._judge_cut(preset, first=place == 1)
            self.seconds[AUDITS] += time.monotonic() - began
            if result == PASSED:
                return place, edit
        return None, edit

    def _cut(self, place: int, preset: str) -> Edit:
        """The model after one way to cut, as step 6 of an event makes it."""
        from flows.steps.edit import edit

        began = time.monotonic()
        attempt = StudyCase(
            self.home,
            f"{self.subject.id}/class-{self.label}-after-{len(self.model.retired)}",
            place,
        )
        attempt.folder.mkdir(parents=True, exist_ok=True)
        accepted = self._accepted(preset, place)
        edited = edit.function(attempt, accepted, self.data, self.model, self.references)
        self.seconds[CUTS] += time.monotonic() - began
        return edited

    def _accepted(self, preset: str, place: int) -> AcceptedRequest:
        """The terms that an event about this class would run on."""
        from compliance.documents.request import Request

        study, now = self.subject.study, datetime.now(UTC).isoformat(timespec="seconds")
        request = Request.model_validate(
            {
                "apiVersion": "damp/v1",
                "kind": "ErasureRequest",
                "subject_request_id": str(uuid.uuid4()),
                "regulation": "other",
                "submitted_time": now,
                "scope": {"type": "class", "selector": {"index": self.label}},
                "model": study.model.model_dump(exclude_none=True),
                "data": study.data.model_dump(exclude_none=True),
                "recipe": study.recipe,
                "policy": study.policy,
                "method": {"preset": preset},
            }
        )
        return AcceptedRequest(
            request=request,
            digest=request.digest(),
            origin=str(self.subject.origin),
            regulation="other",
            received=now,
            due=now,
            verified_by=None,
            forget=(self.label,),
            policy=self.subject.policy,
            started=now,
            previous=(),
            recipe=self.subject.recipe,
            method=method_of(preset),
            rung=Rung(
                place=place,
                declared=study.attempts,
                level=self.subject.judged_by.alpha,
                skipped=(),
            ),
        )

    def _suite(self, edit: Edit) -> Suite:
        from flows.steps import audit

        case = audit.Case(
            data=self.data,
            model=self.model,
            references=self.references,
            edit=edit,
            seed=self.seed,
            near_margin=self.subject.policy.near_margin,
        )
        return audit.Suite(self.home, case)

    def _judge_cut(self, preset: str, *, first: bool) -> str:
        """A cut's verdict by the study's policy, controls and all."""
        from compliance.verdict import judge
        from flows.steps import audit

        case = self.suite.case
        parts = [*case.about_candidate, *(case.baseline if first else ())]
        results = []
        for number, part in enumerate(parts, 1):
            text = f"class {self.label}, {preset}: {part.replace('_', ' ')}"
            progress.current().advance(text, number - 1, len(parts))
            results.append(self.suite.run(part))
        findings = _findings(results)
        impossible = {name: why for each in results for name, why in each.impossible.items()}
        candidate = findings.pop(audit.CANDIDATE)
        if first:
            self.baseline = {n: f for n, f in findings.items() if n in case.baseline}
        controls = self.baseline | findings
        verdict = judge(candidate, controls, self.subject.judged_by, impossible=impossible)
        if verdict.reasons:
            self.reasons[preset] = verdict.reasons
        self._note(preset, CUT, candidate, verdict.result)
        for name, own in controls.items() if first else findings.items():
            kind = RETRAINED if name.startswith(audit.REFERENCE) else MUST_FAIL
            self._note(f"{name} of {preset}" if not first else name, kind, own)
        return verdict.result

    def _note(
        self, name: str, kind: str, findings: Sequence[Finding], result: str | None = None
    ) -> None:
        """Enter a model with what it came out, by the rows alone where it is no candidate."""
        from compliance.verdict import judge_rows, result_of

        against = result or result_of(judge_rows(findings, self.subject.judged_by))
        alone = result_of(judge_rows(findings, self.subject.rules))
        try:
            share: float | None = kept.share(findings)
        except FindingsError:
            share = None
        self.models.append(
            StudiedModel(name=name, kind=kind, result=against, rules=alone, kept=share)
        )

    def _must_fail(self, edit: Edit) -> None:
        """Models that hold the class behind some disguise, beside the controls."""
        from audits.finding import Finding
        from flows.qualification import study_disguises

        disguises = study_disguises.Disguises(
            subject=self.subject,
            suite=self.suite,
            label=self.label,
            retired=edit.retired,
            seconds=self.seconds,
        )
        for name, observe in disguises.every():
            progress.current().advance(f"class {self.label}: {name}", 0, 1)
            evidence = observe()
            if evidence is None:
                continue
            began = time.monotonic()
            findings = [Finding.from_json(each) for each in self.suite.findings(evidence)]
            self.seconds[AUDITS] += time.monotonic() - began
            self._note(name, MUST_FAIL, findings)


def method_of(preset: str) -> Method:
    """A preset with the settings that a request has that names none."""
    return Method(preset=preset, gain=1.0, sequential=False, skip=())


def _findings(results: Sequence[Any]) -> dict[str, list[Finding]]:
    from audits.finding import Finding

    return {
        name: [Finding.from_json(one) for one in every]
        for result in results
        for name, every in result.findings.items()
    }


def costs(classes: Sequence[StudiedClass]) -> Mapping[str, float]:
    """Seconds of all classes, by what they went into."""
    return {
        name: round(sum(each.seconds.get(name, 0.0) for each in classes), 3)
        for name in (TRAININGS, CUTS, AUDITS)
    }
