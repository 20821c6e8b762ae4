"""One event of the validity study before the bench: candidates, controls, findings, kept on disk.

Everything is measured as `flows.steps.audit` measures it; only the models come from elsewhere.
"""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

import damp
from audits import AUDITS, controls, fresh
from audits.errors import BadControl
from audits.evidence import Evidence
from audits.features import observe
from audits.finding import Finding
from audits.observation import Observation
from audits.tuning import Tuning
from audits.weight_record import record
from benchmarks.baselines import METHODS, Method
from benchmarks.validity import data, nets
from benchmarks.validity.cheats import AT_ONCE, CHEATS, SHALLOW, Candidate, Case
from benchmarks.validity.data import CACHE
from benchmarks.validity.nets import Setting
from flows.models import statistics_cache
from flows.state.files import write_atomically
from flows.steps import audit_rows

SOURCES = ("audits", "benchmarks/validity/cheats", "benchmarks/validity/bench.py")
ROOT = Path(__file__).parents[2]
COSTLY = ("relearning",)
"""Audits that no shipped policy asks for and that take most of the time."""
EDITS: Mapping[str, dict[str, object]] = {
    "paper": {"preset": "paper"},
    "mixture": {"preset": "mixture"},
    "mended": {"preset": "mended"},
    "natural": {"preset": "natural"},
    "mended_sequential": {"preset": "mended", "sequential": True},
    "mended_gain3": {"preset": "mended", "gain": 3.0},
}
"""Our own edits."""
BASELINES = tuple(METHODS)
"""Closed-form methods of others, with their settings as published."""


def digest() -> str:
    """Of the bench and the cheats: what was measured by others is measured again."""
    told = hashlib.sha256()
    for source in SOURCES:
        path = ROOT / source
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            told.update(file.read_bytes())
    return told.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Event:
    """One original model and the classes that it is to forget."""

    setting: Setting
    scope: tuple[int, ...]
    seed: int

    @property
    def whole(self) -> bool:
        """Whether the costly audits run as well: on the first event of each small setting."""
        first = (self.setting.scopes[0], self.setting.seeds[0])
        return self.setting.small and (self.scope, self.seed) == first

    @property
    def name(self) -> str:
        return f"{self.setting.name}-{'+'.join(map(str, self.scope))}-seed{self.seed}"


def events(settings: tuple[Setting, ...]) -> list[Event]:
    """All events of some settings, a few of each setting first: a run may be cut short."""
    lanes = [
        [Event(setting=s, scope=scope, seed=seed) for seed in s.seeds for scope in s.scopes]
        for s in settings
    ]
    ends = [((place + 1) / len(lane), event) for lane in lanes for place, event in enumerate(lane)]
    return [event for _, event in sorted(ends, key=lambda pair: pair[0])]


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
            stranger=nets.stranger(self.setting, self.forget).model,
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
        test = audit_rows._sample(
            told.test_labels, dict.fromkeys(range(told.classes), audit_rows.TEST)
        )
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
        )

    def without_references(self, seen: Observation) -> Evidence:
        """The same model judged at L2: by classes that it was never trained on."""
        return self.evidence.with_candidate(seen, references=())

    def must_fail(self, candidate: nn.Module) -> dict[str, Observation]:
        """The controls of AUDIT.md section 3."""
        made = controls.must_fail(
            self.original,
            candidate,
            forget=self.forget,
            inputs=self.chosen["train"],
            labels=self.chosen["train_labels"],
            seed=self.audit_seed,
        )
        retired = {"output_retired": self.forget, "random_direction": self.forget}
        return {
            name: self.observed(model, f"control {name}", retired.get(name, ()))
            for name, model in made.items()
            if name != "original"
        } | {"original": self.evidence.original}

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
        found[name] = lambda settings=settings: _edited(bench, settings)
    for name, method in METHODS.items():
        found[name] = lambda method=method: _by_others(bench, method)
    for name, cheat in CHEATS.items():
        found[name] = lambda cheat=cheat: cheat(bench.case)
    return found


def _edited(bench: Bench, settings: dict[str, object]) -> Candidate:
    edited = damp.forget(
        copy.deepcopy(bench.original),
        statistics_cache.batches(bench.dataset),
        forget=list(bench.forget),
        **settings,  # type: ignore[arg-type]
    )
    return Candidate(model=edited.unretired, retired=bench.forget)


def _by_others(bench: Bench, method: Method) -> Candidate:
    batches = statistics_cache.batches(bench.dataset)
    edited = method(copy.deepcopy(bench.original), batches, forget=list(bench.forget))
    return Candidate(model=edited.eval(), retired=bench.forget)


def folder_of(event: Event, audit_seed: int) -> Path:
    """Where the findings of an event lie."""
    return CACHE / "found" / digest() / event.name / str(audit_seed)


def untrained(event: Event) -> set[str]:
    """Candidates that cost nothing but their audit."""
    honest = nets.honest(event.setting, event.scope)
    return {*honest, *EDITS, *BASELINES, *SHALLOW, *AT_ONCE}


def run(event: Event, audit_seed: int, *, only: set[str] | None = None) -> Iterator[str]:
    """Measure what is not on disk yet; tells each name when it is there."""
    folder = folder_of(event, audit_seed)
    bench = Bench(event, audit_seed)
    made = candidates(bench)
    wanted = [name for name in made if only is None or name in only]
    if not (folder / "_controls.json").exists():
        _keep(folder / "_controls.json", _controls(bench, made["mended"]().model))
        yield "controls"
    for name in wanted:
        path = folder / f"{name}.json"
        if not path.exists():
            _keep(path, _candidate(bench, name, made[name]()))
            yield name


def _controls(bench: Bench, edited: nn.Module) -> dict[str, object]:
    """Findings on every control, for the verdicts of all candidates of the event."""
    evidence = bench.evidence
    seen = bench.must_fail(edited)
    found = {name: bench.findings(evidence.with_candidate(s)) for name, s in seen.items()}
    apart = {}
    if evidence.novel_classes:
        apart = {name: bench.findings(bench.without_references(s)) for name, s in seen.items()}
    for index, reference in enumerate(bench.references):
        others = bench.references[:index] + bench.references[index + 1 :]
        found[f"reference_{index}"] = bench.findings(
            evidence.with_candidate(reference, references=others)
        )
    return {"controls": found, "controls_without_references": apart}


def _candidate(bench: Bench, name: str, candidate: Candidate) -> dict[str, object]:
    began = time.process_time()
    seen = bench.observed(candidate.model, name, candidate.retired, weights=True)
    watched = time.process_time() - began
    evidence, told = bench.evidence, {}
    if candidate.references is not None:
        own = tuple(
            bench.observed(model, f"{name} copy {i}")
            for i, model in enumerate(candidate.references)
        )
        evidence = evidence.with_candidate(seen, references=own)
        told["controls"] = {
            control: bench.findings(evidence.with_candidate(s))
            for control, s in bench.must_fail(candidate.model).items()
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
    try:
        controls.random_direction(bench.original, candidate.model, seed=0)
        result["controls_possible"] = True
    except BadControl as problem:
        result["controls_possible"] = False
        result["problem"] = str(problem)
    result["passes"] = seen.passes
    return result


def _keep(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content).encode())


torch.set_num_threads(1)
