"""How often does each rung of the ladder pass, and what does it cost?

    python -m benchmarks.method.ladder choice confirm [--data digits]

Events, trained networks and audits are those of `damp run`: references by the recipe, rows and
audits of the flow, verdicts by a shipped policy at the level of one of three attempts. Events of
`choice` are those on which the settings of `flows/models/renewal.py` were chosen; those of
`confirm` had no part in that. What is measured is kept under `.cache/method/ladder`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import damp
from audits import AUDITS
from audits.finding import Finding
from audits.references import train
from benchmarks.machine import RESULTS, described
from benchmarks.method import store
from benchmarks.method.data import CACHE
from compliance.documents.policy import load_policy
from compliance.documents.request import DataSource
from compliance.verdict import judge
from flows.models import architectures, recipes, renewal, statistics_cache, weights
from flows.state.facts import Edit, Model, References
from flows.state.files import Artifact
from flows.state.paths import Home
from flows.state.settings import keep_freed_memory, prepare_environment
from flows.steps import audit, prepare, references

RUNGS = 3
"""Attempts that are declared: each is judged at a third of the policy's level."""
COSTLY = ("relearning",)
"""Audits that no shipped policy asks for and that take most of the time."""
SOURCES = ("audits", "damp", "flows/models/renewal.py", "compliance/verdict")
"""Code that decides what comes out: a change in it makes every event anew."""
READERS = ("few_shot.1", "few_shot.5", "linear_probe.dprime", "head_refit")
SEED = 7
"""Of the audits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One original and the classes that it is to forget."""

    data: str
    recipe: str
    policy: str
    forget: tuple[int, ...]
    seed: int

    @property
    def name(self) -> str:
        return f"{self.data} {'+'.join(map(str, self.forget))}, original {self.seed}"


def _events(data: str, policy: str, classes: str, seeds: tuple[int, ...]) -> list[Event]:
    return [
        Event(data=data, recipe=data, policy=policy, forget=(int(c),), seed=seed)
        for seed in seeds
        for c in classes
    ]


EVENTS = {
    "choice": [
        *_events("digits", "demo-v1", "385", (0,)),
        *_events("mnist5k", "default-v1", "380", (0,)),
    ],
    "confirm": [
        *_events("digits", "demo-v1", "1792", (1,)),
        *_events("mnist5k", "default-v1", "9247", (1,)),
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A candidate and what making it cost."""

    network: nn.Module
    share: float | None
    seconds: float


class Bench:
    """One event before the audits of the flow."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.home = Home((CACHE / "ladder" / "home").absolute())
        self.data = prepare.versions_of(
            self.home,
            source=DataSource(name=event.data),
            unseen=None,
            origin=Path.cwd(),
            forget=event.forget,
            retired=(),
        )
        self.recipe = recipes.get(event.recipe)
        from flows.data import loaders

        self.dataset = loaders.load(self.data.spec)
        self.original = self._base()
        self.model = Model(
            file=Artifact.of(self.home.root, self._file("base")),
            architecture=self.recipe.architecture,
            input_shape=self.dataset.input_shape,
            parameters=sum(value.numel() for value in self.original.parameters()),
            registry=None,
            retired=(),
        )
        self.training = references.Training.of(self.data, self.model, event.recipe)
        self.policy = load_policy(event.policy)

    def build(self) -> nn.Module:
        return architectures.build(
            self.recipe.architecture, self.data.classes, self.dataset.input_shape
        )

    def _file(self, name: str) -> Path:
        return self.home.models / f"{name}-{self.event.data}-{self.event.seed}.safetensors"

    def _base(self) -> nn.Module:
        path = self._file("base")
        if not path.exists():
            network = train(
                self.build,
                self.dataset.train_inputs,
                self.dataset.train_labels,
                recipe=self.recipe.training,
                seed=self.event.seed,
            )
            weights.save_weights(network, path, {})
        network, _ = weights.load_weights(
            path,
            architecture=self.recipe.architecture,
            classes=self.data.classes,
            input_shape=self.dataset.input_shape,
        )
        return network

    def suite(self, models: References, network: nn.Module, name: str) -> audit.Suite:
        path = self._file(f"candidate-{name}-{'+'.join(map(str, self.event.forget))}")
        weights.save_weights(network, path, {})
        edit = Edit(
            after=Artifact.of(self.home.root, path),
            record=Artifact.of(self.home.root, path),
            retired=self.event.forget,
            seed=None,
            architecture=None,
        )
        case = audit.Case(data=self.data, model=self.model, references=models, edit=edit, seed=SEED)
        return audit.Suite(self.home, case)


def methods(bench: Bench) -> dict[str, Callable[[], Made]]:
    """The rungs: closed form, a renewed top, one more retrained model."""

    def timed(make: Callable[[], tuple[nn.Module, float | None]]) -> Made:
        began = time.process_time()
        network, share = make()
        return Made(network=network, share=share, seconds=time.process_time() - began)

    def closed(preset: str) -> tuple[nn.Module, float | None]:
        batches = statistics_cache.batches(bench.dataset)
        forget = bench.event.forget
        return damp.forget(bench.original, batches, forget=forget, preset=preset).unretired, None

    def renewed() -> tuple[nn.Module, float | None]:
        done = renewal.renew(
            bench.original,
            bench.dataset,
            bench.event.forget,
            build=bench.build,
            recipe=bench.recipe.training,
            seed=renewal.FIRST_SEED + bench.event.seed,
            folder=bench.home.root,
        )
        return done.network, done.record.share

    def retrained() -> tuple[nn.Module, float | None]:
        return (
            train(
                bench.build,
                bench.dataset.train_inputs,
                bench.dataset.train_labels,
                recipe=bench.recipe.training,
                seed=2000 + bench.event.seed,
                exclude=bench.event.forget,
            ),
            1.0,
        )

    return {
        "mended": lambda: timed(lambda: closed("mended")),
        "renewed": lambda: timed(renewed),
        "retrained": lambda: timed(retrained),
    }


def run(event: Event) -> dict[str, Any]:
    """Verdict and figures of every rung on one event."""
    bench = Bench(event)
    models = references.train(bench.home, bench.training, references=bench.policy.references)
    policy = bench.policy.model_copy(update={"alpha": bench.policy.alpha / RUNGS})
    controls: dict[str, list[Finding]] | None = None
    rows: dict[str, Any] = {}
    for name, make in methods(bench).items():
        edit = make()
        suite = bench.suite(models, edit.network, name)
        if controls is None:
            parts = [audit.MUST_FAIL, *suite.case.baseline]
            controls = {n: _findings(e) for part in parts for n, e in suite_parts(suite, part)}
        ((_, evidence),) = suite_parts(suite, audit.CANDIDATE)
        findings = _findings(evidence)
        verdict = judge(findings, controls, policy)
        outside = [row.name for row in verdict.rows if row.required and row.outcome == "outside"]
        open_ = [row.name for row in verdict.rows if row.required and row.outcome == "undecided"]
        rows[name] = {
            "result": verdict.result,
            "outside": outside,
            "undecided": open_,
            "reasons": list(verdict.reasons),
            "share": edit.share,
            "seconds": round(edit.seconds, 2),
            **_figures(findings),
        }
        print(event.name, name, verdict.result, outside, open_, edit.share, flush=True)
    return {"event": event.name, "data": event.data, "rungs": rows}


def suite_parts(suite: audit.Suite, part: str) -> Iterator[tuple[str, Any]]:
    """Evidence of a part of the audits, by the name of the model that it is about."""
    evidence = suite.evidence
    if part == audit.CANDIDATE:
        yield part, evidence
    elif part == audit.ORIGINAL:
        yield part, evidence.with_candidate(evidence.original)
    elif part == audit.MUST_FAIL:
        controls, _ = suite.observe.must_fail()
        for name, each in controls.items():
            yield name, evidence.with_candidate(each)
    else:
        index = int(part.removeprefix(audit.REFERENCE))
        others = suite.references[:index] + suite.references[index + 1 :]
        yield part, evidence.with_candidate(suite.references[index], references=others)


def _findings(evidence: Any) -> list[Finding]:
    return [run(evidence) for name, run in AUDITS.items() if name not in COSTLY]


def _figures(findings: list[Finding]) -> dict[str, Any]:
    """Retain accuracy against retrained, and mean distance of readers in retrained spreads."""
    measured = {m.name: m for finding in findings for m in finding.measurements}
    figures: dict[str, Any] = {}
    retain = measured["accuracy.retain"]
    figures["retain"] = round(float(retain.value) - float(np.mean(retain.null)), 4)
    for where in ("penultimate", "earlier"):
        distances = []
        for reader in READERS:
            one = measured.get(f"{reader}@{where}")
            if one is not None and one.value is not None and len(one.null) > 1:
                floor = 0.06 if "dprime" in reader else 0.015
                spread = max(float(np.std(one.null, ddof=1)), floor)
                distances.append(abs(float(one.value) - float(np.mean(one.null))) / spread)
        figures[f"z_{where}"] = round(float(np.mean(distances)), 2) if distances else None
    return figures


def page(report: dict[str, Any]) -> str:
    """The whole as Markdown."""
    lines = [
        "# The ladder, rung by rung",
        "",
        "Made by `python -m benchmarks.method.ladder choice confirm`. Verdicts by the policy in "
        f"force, each rung at a level of alpha / {RUNGS}; five references each. Share: operations "
        "counted, of a full retraining. Retain: difference to the retrained models' mean. z: mean "
        "distance of few-shot readers and linear probe to the retrained mean, in their spreads, at "
        "the last features.",
        "",
    ]
    for part, events in report["parts"].items():
        lines += [f"## {part}", "", "| event | rung | verdict | retain | z | share | seconds |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for event in events:
            for name, row in event["rungs"].items():
                share = "closed form" if row["share"] is None else f"{row['share']:.2f}"
                open_ = ", ".join(row["outside"] or row["undecided"])
                result = row["result"] + (f" ({open_})" if open_ else "")
                lines.append(
                    f"| {event['event']} | {name} | {result} | {row['retain']:+.4f} | "
                    f"{row['z_penultimate']} | {share} | {row['seconds']} |"
                )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Write `ladder.json` and `ladder.md`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.method.ladder", description=__doc__)
    parser.add_argument("parts", nargs="+", choices=tuple(EVENTS))
    parser.add_argument("--data", nargs="+", metavar="NAME", help="only events on these data")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    prepare_environment((CACHE / "ladder" / "home").absolute())
    source = store.source(SOURCES)
    path = RESULTS / "ladder.json"
    report = json.loads(path.read_text()) if path.exists() else {"parts": {}}
    for part in options.parts:
        asked = [e for e in EVENTS[part] if e.data in (options.data or (e.data,))]
        names = {event.data for event in asked}
        others = [row for row in report["parts"].get(part, []) if row["data"] not in names]
        events = []
        for event in asked:
            facts = {"event": repr(event), "source": source}
            events.append(store.kept("ladder", facts, lambda event=event: run(event)))
            report["parts"][part] = [*others, *events]
            report |= {"made": described(), "command": "python -m benchmarks.method.ladder"}
            path.write_text(json.dumps(report, indent=1) + "\n")
            (RESULTS / "ladder.md").write_text(page(report))


if __name__ == "__main__":
    main()
