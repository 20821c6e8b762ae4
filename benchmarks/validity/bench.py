"""One event of the validity study before the bench: candidates, controls, findings, kept on disk.

Everything is measured as `flows.steps.audit` measures it; only the models come from elsewhere.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

import torch
from torch import Tensor, nn

import damp
from audits import AUDITS, controls, fresh, spiked
from audits.errors import BadControl, BadEvidence
from audits.evidence import Evidence
from audits.features import observe
from audits.finding import Finding
from audits.observation import Observation
from audits.tuning import Tuning
from audits.weight_record import record
from benchmarks.baselines import METHODS, Method
from benchmarks.validity import data, kept_cheats, nets
from benchmarks.validity.cheats import CHEATS, Candidate, Case
from benchmarks.validity.nets import Setting
from benchmarks.validity.source_digest import editing, measuring
from damp.catalogue import DEFAULT_PRESET, PRESETS
from flows.models import renewal, statistics_cache
from flows.state.files import write_atomically
from flows.steps import audit_rows

RETAIN_TEST = 400
"""Held-out rows of each other class at most, fewer than in an event, so that more events can be
measured: nine times as many say next to nothing more."""
COSTLY = ("relearning",)
"""Audits that no shipped policy asks for and that take most of the time."""
EDITS: Mapping[str, dict[str, object]] = {
    row.name: {"preset": row.name} for row in PRESETS.values() if row.superseded_by is None
}
"""Our own edits in closed form: every current preset, with its defaults."""
RENEWED = "renewed"
"""The one edit of ours that trains: what the shipped policies declare as the second attempt."""
BASELINES = tuple(METHODS)
"""Closed-form methods of others, with their settings as published; on the sets of choice only."""
NEAR_MARGIN = "near_margin"
RANDOM = "random_direction"
"""The control that is made of the candidate, and cannot be made of every one."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One original model and the classes that it is to forget."""

    setting: Setting
    scope: tuple[int, ...]
    seed: int

    @property
    def whole(self) -> bool:
        """Whether the costly audits run as well: on the first event of each small setting."""
        return self.setting.small and self.scope == self.setting.scopes[0]

    @property
    def choice(self) -> bool:
        """Whether margins were, or could have been, chosen by it: it is counted apart."""
        return self.setting.choice or self.name in nets.SEEN

    @property
    def name(self) -> str:
        return f"{self.setting.name}-{'+'.join(map(str, self.scope))}-seed{self.seed}"


def events(settings: tuple[Setting, ...]) -> list[Event]:
    """All events of some settings, one of each in turn: a run may be cut short.

    Each has an original and references of its own: no trained model is shared by two events.
    """
    lanes = [
        [Event(setting=s, scope=scope, seed=seed) for seed, scope in enumerate(s.scopes)]
        for s in settings
    ]
    rounds = zip_longest(*lanes)
    return [event for each in rounds for event in each if event is not None]


class Bench:
    """The audits of one event under one seed."""

    def __init__(self, event: Event, audit_seed: int) -> None:
        self.event, self.audit_seed = event, audit_seed
        self.setting, self.forget = event.setting, event.scope
        self.dataset = event.setting.dataset()
        self.memo: dict[object, object] = {}
        self.passes: dict[str, dict[str, float]] = {}

    @cached_property
    def original(self) -> nn.Module:
        return nets.original(self.setting, self.event.seed).model()

    @cached_property
    def references(self) -> tuple[Observation, ...]:
        found = nets.references(self.setting, self.forget)
        return tuple(self.observed(t.model(), f"reference {t.seed}") for t in found)

    @cached_property
    def case(self) -> Case:
        """What the cheats have in their hands."""
        honest = nets.honest(self.setting, self.forget)
        return Case(
            original=self.original,
            dataset=self.dataset,
            forget=self.forget,
            recipe=self.setting.recipe,
            build=self.setting.build,
            retrained=next(iter(honest.values())).model(),
        )

    @cached_property
    def chosen(self) -> dict[str, Tensor]:
        """The rows, capped as in an event."""
        told = self.dataset
        caps = {
            c: audit_rows.FORGET_TRAIN if c in self.forget else audit_rows.RETAIN_TRAIN
            for c in range(told.classes)
        }
        train = audit_rows._sample(told.train_labels, caps)
        held_out = {
            c: audit_rows.FORGET_TEST if c in self.forget else RETAIN_TEST
            for c in range(told.classes)
        }
        test = audit_rows._sample(told.test_labels, held_out)
        moved = fresh.choose(told.train_labels, self.forget, seed=self.audit_seed)
        found = {
            "train": told.train_inputs[train],
            "train_labels": told.train_labels[train],
            "test": told.test_inputs[test],
            "test_labels": told.test_labels[test],
            "fresh": fresh.perturbed(told.train_inputs[moved], seed=self.audit_seed),
            "fresh_labels": told.train_labels[moved],
        }
        if self.setting.unseen:
            *_, inputs, labels = getattr(data, self.setting.unseen)()
            found |= {"unseen": inputs, "unseen_labels": labels}
        return found

    @cached_property
    def tuning(self) -> Tuning | None:
        if not self.event.whole:
            return None
        live = tuple(int(c) for c in self.chosen["test_labels"].unique())
        return Tuning(
            labels=self.chosen["test_labels"].numpy(),
            forget=self.forget,
            live=live,
            seed=self.audit_seed,
        )

    def observed(
        self, model: nn.Module, name: str, retired: tuple[int, ...] = (), *, weights: bool = False
    ) -> Observation:
        """What a model says about the rows."""
        seen = observe(
            model,
            self.chosen["train"],
            self.chosen["test"],
            digest=name,
            retired=retired,
            fresh=self.chosen["fresh"],
            unseen=self.chosen.get("unseen"),
            tuning=self.tuning,
            weights=weights,
        )
        self.passes[name] = seen.passes
        shown = torch.isin(self.chosen["test_labels"], torch.tensor(self.forget))
        held = record(model, self.chosen["test"], shown=shown.nonzero().flatten().tolist())
        return replace(seen, record=held)

    @cached_property
    def evidence(self) -> Evidence:
        """The original before the bench; `judging` puts others there."""
        gone = tuple(
            c for c in range(self.dataset.classes) if not (self.dataset.test_labels == c).any()
        )
        original = self.observed(self.original, "original", gone, weights=True)
        unseen = self.chosen.get("unseen_labels")
        return Evidence(
            original=original,
            candidate=original,
            references=self.references,
            train_labels=self.chosen["train_labels"].numpy(),
            test_labels=self.chosen["test_labels"].numpy(),
            forget=self.forget,
            seed=self.audit_seed,
            memo=self.memo,  # type: ignore[arg-type]
            fresh_labels=self.chosen["fresh_labels"].numpy(),
            unseen_labels=None if unseen is None else unseen.numpy(),
            tuning=self.tuning,
            trained_here=True,
        )

    def without_references(self, seen: Observation) -> Evidence:
        """The same model judged at L2: by classes that it was never trained on."""
        return self.evidence.with_candidate(seen, references=())

    def must_fail(
        self, candidate: nn.Module, names: Collection[str] | None = None
    ) -> tuple[dict[str, Observation], dict[str, str]]:
        """The controls of AUDIT.md section 3, and those that cannot be made, with the reason."""
        models, impossible = controls.possible(
            self.original,
            candidate,
            forget=self.forget,
            inputs=self.chosen["train"],
            labels=self.chosen["train_labels"],
            seed=self.audit_seed,
        )
        retired = {"output_retired": self.forget, RANDOM: self.forget}
        observed = {
            name: self.observed(model, f"control {name}", retired.get(name, ()))
            for name, model in models.items()
            if name != "original" and (names is None or name in names)
        }
        return {"original": self.evidence.original, **observed}, impossible

    def findings(
        self, evidence: Evidence, seconds: dict[str, float] | None = None
    ) -> list[dict[str, object]]:
        """What every audit of this event finds, without the series that only pictures need."""
        found: list[Finding] = []
        for name, audit in AUDITS.items():
            if name in COSTLY and not self.event.whole:
                continue
            began = time.process_time()
            found.append(audit(evidence))
            if seconds is not None:
                seconds[name] = time.process_time() - began
        return [finding.to_json() | {"series": {}} for finding in found]


def candidates(bench: Bench) -> dict[str, Callable[[], Candidate]]:
    """Everybody who claims to have forgotten: honest, our own, cheats; made when called."""
    honest = nets.honest(bench.setting, bench.forget)
    found: dict[str, Callable[[], Candidate]] = {}
    for name, training in honest.items():
        found[name] = lambda training=training: Candidate(model=training.model())
    for name, settings in EDITS.items():
        found[name] = lambda settings=settings: edited(bench, settings)
    found[RENEWED] = lambda: _renewed(bench)
    for name, method in METHODS.items() if bench.setting.choice else ():
        found[name] = lambda method=method: _by_others(bench, method)
    for name, cheat in CHEATS.items():
        found[name] = lambda cheat=cheat: kept_cheats.made(
            bench.setting, bench.event.name, cheat, bench.case
        )
    return found


def edited(bench: Bench, settings: dict[str, object]) -> Candidate:
    """The original edited by a preset."""
    edited = damp.forget(
        copy.deepcopy(bench.original),
        statistics_cache.batches(bench.dataset),
        forget=list(bench.forget),
        **settings,  # type: ignore[arg-type]
    )
    return Candidate(model=edited.unretired, retired=bench.forget)


def _renewed(bench: Bench) -> Candidate:
    return Candidate(model=renewed(bench).network, retired=bench.forget)


def renewed(bench: Bench, *, more: int = 0) -> renewal.Renewed:
    """The original with a top that started afresh.

    Args:
        more: Added to the event's own seed of such tops.
    """
    return renewal.renew(
        bench.original,
        bench.dataset,
        bench.forget,
        build=bench.setting.build,
        recipe=bench.setting.recipe,
        seed=renewal.FIRST_SEED + bench.event.seed + more,
        folder=data.cache(),
    )


def _by_others(bench: Bench, method: Method) -> Candidate:
    batches = statistics_cache.batches(bench.dataset)
    edited = method(copy.deepcopy(bench.original), batches, forget=list(bench.forget))
    return Candidate(model=edited.eval(), retired=bench.forget)


def folder_of(event: Event, audit_seed: int) -> Path:
    """Where the findings of an event lie."""
    return data.cache() / "found" / measuring() / event.name / str(audit_seed)


def untrained(event: Event) -> set[str]:
    """Candidates that cost nothing but their audit and the trainings of the event itself."""
    honest = nets.honest(event.setting, event.scope)
    others = BASELINES if event.setting.choice else ()
    cheap = (name for name, cheat in CHEATS.items() if not cheat.trained)
    return {*honest, *EDITS, RENEWED, *others, *cheap}


def run(event: Event, audit_seed: int, *, only: set[str] | None = None) -> Iterator[str]:
    """Measure what is not on disk yet; tells each name when it is there.

    A candidate's file is written whole and at once: a run that is cut off goes on behind the last.
    """
    folder = folder_of(event, audit_seed)
    bench = Bench(event, audit_seed)
    made = candidates(bench)
    missing = [name for name in missing_of(event, audit_seed, only=only) if name in made]
    if missing and not (folder / "_controls.json").exists():
        keep(folder / "_controls.json", controls_of(bench, made[DEFAULT_PRESET]().model))
        yield "controls"
    own_control = {*EDITS, RENEWED, *nets.honest(event.setting, event.scope)}
    for name in missing:
        try:
            found = measured(bench, name, made[name](), own_control=name in own_control)
        except BadEvidence as problem:  # as a claim is refused that cannot be observed
            found = {"refused": str(problem), "findings": [], "seconds": {}, "passes": {}}
        keep(folder / f"{name}.json", found | edited_by(name))
        yield name


def edited_by(name: str) -> dict[str, str]:
    """The digest that stands in the findings on an edit of ours; nothing for all others."""
    return {"edited_by": editing(name)} if name in {*EDITS, RENEWED} else {}


def is_current(path: Path) -> bool:
    """Whether there are findings, of today's edit where they are on one of ours."""
    if not path.exists():
        return False
    wanted = edited_by(path.stem)
    return not wanted or wanted.items() <= json.loads(path.read_text()).items()


def everybody(event: Event) -> list[str]:
    """Names of all candidates of an event, in the order in which they are measured."""
    others = BASELINES if event.setting.choice else ()
    honest = nets.honest(event.setting, event.scope)
    return [*honest, RENEWED, *EDITS, *others, *CHEATS]


def missing_of(event: Event, audit_seed: int, *, only: set[str] | None = None) -> list[str]:
    """Names of candidates that were not measured yet, in the order in which they will be."""
    folder = folder_of(event, audit_seed)
    return [
        name
        for name in everybody(event)
        if (only is None or name in only) and not is_current(folder / f"{name}.json")
    ]


def controls_of(bench: Bench, edited: nn.Module) -> dict[str, object]:
    """Findings on every control, for the verdicts of the candidates of the event."""
    evidence = bench.evidence
    seen, _ = bench.must_fail(edited)
    found = {name: bench.findings(evidence.with_candidate(s)) for name, s in seen.items()}
    apart = {}
    if evidence.novel_classes:
        apart = {name: bench.findings(bench.without_references(s)) for name, s in seen.items()}
    for index, reference in enumerate(bench.references):
        others = bench.references[:index] + bench.references[index + 1 :]
        found[f"reference_{index}"] = bench.findings(
            evidence.with_candidate(reference, references=others)
        )
    told: dict[str, object] = {"controls": found, "controls_without_references": apart}
    share = bench.setting.policy.near_margin
    if share is not None:
        try:
            found[NEAR_MARGIN] = bench.findings(spiked.near_margin(evidence, share=share))
        except BadControl as problem:
            told["near_margin_problem"] = str(problem)
    return told


def measured(
    bench: Bench, name: str, candidate: Candidate, *, own_control: bool
) -> dict[str, object]:
    """Findings on a candidate, and on what has to be measured anew for it.

    Args:
        own_control: Whether the random edit is made to this candidate's size. Where it is not, the
            event's, made to the default preset's, stands in for it; what a cheat could win by that
            it does win.
    """
    began = time.process_time()
    seen = bench.observed(candidate.model, name, candidate.retired, weights=True)
    watched = time.process_time() - began
    evidence, told = bench.evidence, {}
    if candidate.references is not None:
        own = tuple(
            bench.observed(model, f"{name} copy {i}")
            for i, model in enumerate(candidate.references)
        )
        # handed in: their answers, not their provenance, must say that they are no copies
        evidence = replace(evidence.with_candidate(seen, references=own), trained_here=False)
        must_fail, _ = bench.must_fail(candidate.model)
        told["controls"] = {
            control: bench.findings(evidence.with_candidate(s)) for control, s in must_fail.items()
        }
        for i, reference in enumerate(own):
            others = own[:i] + own[i + 1 :]
            told["controls"][f"reference_{i}"] = bench.findings(
                evidence.with_candidate(reference, others)
            )
    seconds: dict[str, float] = {"observe": watched}
    findings = bench.findings(evidence.with_candidate(seen), seconds)
    result: dict[str, object] = {"findings": findings, "seconds": seconds, **told}
    if evidence.novel_classes:
        result["without_references"] = bench.findings(bench.without_references(seen))
    result |= _random(bench, name, candidate.model, evidence, own_control=own_control)
    result["passes"] = seen.passes
    return result


def _random(
    bench: Bench, name: str, model: nn.Module, evidence: Evidence, *, own_control: bool
) -> dict[str, object]:
    """Whether a random edit of the candidate's size can be made, and what is said of it."""
    try:
        edit = controls.random_edit(
            bench.original,
            model,
            forget=bench.forget,
            inputs=bench.chosen["train"],
            seed=bench.audit_seed,
        )
    except BadControl as problem:
        return {"controls_possible": False, "problem": str(problem)}
    told: dict[str, object] = {"controls_possible": True}
    if own_control:
        seen = bench.observed(edit, f"control {RANDOM} of {name}", bench.forget)
        told[RANDOM] = bench.findings(evidence.with_candidate(seen))
        if evidence.novel_classes:
            told[f"{RANDOM}_apart"] = bench.findings(bench.without_references(seen))
    return told


def keep(path: Path, content: Mapping[str, object]) -> None:
    """Write findings whole and at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content).encode())


torch.set_num_threads(1)
