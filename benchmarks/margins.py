"""Choice events: how far honest models, and models that kept a part, lie from retrained ones.

Margins of the shipped policies were chosen by what this prints, on 8x8 digits and MNIST alone:
other data had no part in it (docs/policies.md). `python -m benchmarks.margins` measures what is
not there yet, then judges all of it by a policy.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from audits import AUDITS, controls, fresh, reference_independence, spiked
from audits.errors import BadControl
from audits.evidence import Evidence
from audits.features import observe
from audits.finding import Finding
from audits.observation import Observation
from audits.references import Recipe, train
from audits.weight_record import record
from compliance.documents.policy import Policy, load_policy
from compliance.verdict import Verdict, judge
from flows.data.dataset import DataSpec
from flows.data.loaders import load
from flows.models.small_nets import SmallCNN
from flows.state.files import write_atomically

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "margins"
SHARED = ROOT.parent / "shared" / "data"
SEED = 20260416
REFERENCES = tuple(range(1000, 1010))
HONEST = tuple(range(2000, 2004))
LEFT_IN = (0.1, 0.2, 0.5)
"""Shares of the class's rows that were left in training."""
BLENDS = (0.3, 0.6)
"""Shares of what the original knows that a blend with a retrained model holds."""
AUDIT_SEED = 11
COUNTS = (3, 5, 10)
"""Numbers of references with which the check for copies is asked about honest models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Data, network and recipe.

    Attributes:
        rows: (training images, their classes, held-out images, their classes).
        build: A fresh network.
    """

    name: str
    rows: Callable[[], tuple[Tensor, Tensor, Tensor, Tensor]]
    build: Callable[[], nn.Module]
    recipe: Recipe
    classes: tuple[int, ...]
    seeds: tuple[int, ...]


@lru_cache(maxsize=4)
def mnist(side: int, train_rows: int, test_rows: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """MNIST as means over squares, so many images of each class; padded to 32 before."""
    whole = load(DataSpec(name="mnist", root=str(SHARED)))

    def small(images: Tensor) -> Tensor:
        return (
            images
            if side == 28
            else functional.avg_pool2d(functional.pad(images, (2,) * 4), 32 // side)
        )

    train_kept = _of_each(whole.train_labels, train_rows)
    test_kept = _of_each(whole.test_labels, test_rows)
    return (
        small(whole.train_inputs[train_kept]),
        whole.train_labels[train_kept],
        small(whole.test_inputs[test_kept]),
        whole.test_labels[test_kept],
    )


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """scikit-learn's digits, 900 images to train on and 900 held out."""
    d = load(DataSpec(name="digits"))
    return d.train_inputs, d.train_labels, d.test_inputs, d.test_labels


def _of_each(labels: Tensor, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(SEED)
    kept = []
    for c in labels.unique():
        rows = torch.nonzero(labels == c).flatten()
        kept.append(rows[torch.randperm(len(rows), generator=generator)[:count]])
    return torch.cat(kept).sort().values


def mlp() -> nn.Module:
    """Two hidden layers for 8x8 images."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def cnn() -> nn.Module:
    """The small network of damp."""
    return SmallCNN(1, 10)


SETTINGS = (
    Setting(
        name="mnist8-mlp",
        rows=lambda: mnist(8, 500, 500),
        build=mlp,
        recipe=Recipe(epochs=12, batch_size=128, learning_rate=3e-3),
        classes=tuple(range(10)),
        seeds=(0, 1),
    ),
    Setting(
        name="mnist8-cnn",
        rows=lambda: mnist(8, 500, 500),
        build=cnn,
        recipe=Recipe(epochs=6, batch_size=128, learning_rate=5e-3),
        classes=(0, 3, 4, 8),
        seeds=(0,),
    ),
    Setting(
        name="digits-cnn",
        rows=digits,
        build=cnn,
        recipe=Recipe(epochs=30, learning_rate=5e-3),
        classes=(3, 8),
        seeds=(0,),
    ),
    Setting(
        name="mnist-cnn",
        rows=lambda: mnist(28, 500, 500),
        build=cnn,
        recipe=Recipe(epochs=6, batch_size=128, learning_rate=5e-3),
        classes=(3, 8),
        seeds=(0,),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Event:
    """One original and the class that it is to forget."""

    setting: Setting
    forget: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.setting.name}-{self.forget}-{self.seed}"

    @property
    def folder(self) -> Path:
        return CACHE / "measured" / _sources() / self.name

    def _kept(self, what: str, make: Callable[[], nn.Module]) -> nn.Module:
        path = CACHE / "models" / f"{self.setting.name}-{what}.pt"
        model = self.setting.build()
        if path.exists():
            model.load_state_dict(torch.load(path))
            return model.eval()
        model = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), path.with_suffix(f".{self.name}"))
        path.with_suffix(f".{self.name}").replace(path)
        return model

    def original(self) -> nn.Module:
        return self._trained(self.seed, ())

    def _trained(self, seed: int, exclude: tuple[int, ...]) -> nn.Module:
        x, y, *_ = self.setting.rows()
        recipe = self.setting.recipe
        return self._kept(
            f"{exclude}-{seed}",
            lambda: train(self.setting.build, x, y, recipe=recipe, seed=seed, exclude=exclude),
        )

    def retrained(self, seed: int) -> nn.Module:
        return self._trained(seed, (self.forget,))

    def left_in(self, share: float) -> nn.Module:
        x, y, *_ = self.setting.rows()
        recipe, forget = self.setting.recipe, (self.forget,)
        return self._kept(
            f"left-{self.forget}-{share}",
            lambda: spiked.partly_retrained(
                self.setting.build, x, y, recipe=recipe, seed=3000, forget=forget, share=share
            ),
        )

    @cached_property
    def rows(self) -> dict[str, Tensor]:
        x, y, tx, ty = self.setting.rows()
        train_kept = (
            torch.cat(
                [
                    torch.nonzero(y == c).flatten()[: 2000 if c == self.forget else 200]
                    for c in y.unique()
                ]
            )
            .sort()
            .values
        )
        moved = fresh.choose(y, (self.forget,), seed=AUDIT_SEED)
        return {
            "train": x[train_kept],
            "train_labels": y[train_kept],
            "test": tx,
            "test_labels": ty,
            "fresh": fresh.perturbed(x[moved], seed=AUDIT_SEED),
            "fresh_labels": y[moved],
        }

    def observed(
        self, model: nn.Module, name: str, *, retired: tuple[int, ...] = ()
    ) -> Observation:
        rows = self.rows
        observation = observe(
            model,
            rows["train"],
            rows["test"],
            digest=name,
            retired=retired,
            fresh=rows["fresh"],
            weights=True,
        )
        shown = torch.nonzero(rows["test_labels"] == self.forget).flatten().tolist()
        return replace(observation, record=record(model, rows["test"], shown=shown))


def measure(event: Event) -> None:
    """Findings on candidates and controls, kept; nothing where they are there."""
    path = event.folder / "findings.json"
    if path.exists():
        return
    original = event.original()
    references = tuple(event.observed(event.retrained(s), f"reference {s}") for s in REFERENCES)
    own = event.observed(original, "original")
    evidence = Evidence(
        original=own,
        candidate=own,
        references=references,
        train_labels=event.rows["train_labels"].numpy(),
        test_labels=event.rows["test_labels"].numpy(),
        forget=(event.forget,),
        seed=AUDIT_SEED,
        fresh_labels=event.rows["fresh_labels"].numpy(),
        trained_here=True,
    )
    candidates: dict[str, Evidence] = {}
    for seed in HONEST:
        observation = event.observed(event.retrained(seed), f"honest {seed}")
        candidates[f"honest_{seed}"] = evidence.with_candidate(observation)
    for share in LEFT_IN:
        observation = event.observed(event.left_in(share), f"left {share}")
        candidates[f"left_in_{share:g}"] = evidence.with_candidate(observation)
    models, _ = controls.possible(
        original,
        event.retrained(HONEST[0]),
        forget=(event.forget,),
        inputs=event.rows["train"],
        labels=event.rows["train_labels"],
        seed=AUDIT_SEED,
    )
    by_control = {
        name: evidence.with_candidate(event.observed(model, f"control {name}"))
        for name, model in models.items()
    }
    for i, reference in enumerate(references):
        others = references[:i] + references[i + 1 :]
        by_control[f"reference_{i}"] = evidence.with_candidate(reference, others)
    for share in BLENDS:
        try:
            candidates[f"blend_{share:g}"] = spiked.near_margin(evidence, share=share)
        except BadControl as problem:
            print(event.name, problem)
    copies = {
        str(count): reference_independence.dependence(
            replace(
                evidence.with_candidate(candidates["honest_2000"].candidate, references[:count]),
                trained_here=False,
            )
        )
        for count in COUNTS
    }
    content = {
        "refused_as_copies": copies,
        "candidates": {name: _findings(each) for name, each in candidates.items()},
        "controls": {name: _findings(each) for name, each in by_control.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content).encode())


def _findings(evidence: Evidence) -> list[object]:
    findings = [audit(evidence) for name, audit in AUDITS.items() if name != "relearning"]
    return [finding.to_json() | {"series": {}} for finding in findings]


def _sources() -> str:
    digest = hashlib.sha256()
    for file in sorted((ROOT / "audits").glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def events(only: str = "") -> Iterator[Event]:
    """All of them, a class of each setting first."""
    for setting in SETTINGS:
        for seed in setting.seeds:
            for c in setting.classes:
                event = Event(setting=setting, forget=c, seed=seed)
                if event.name.startswith(only):
                    yield event


def verdicts(event: Event, policy: Policy) -> dict[str, Verdict]:
    """The verdict on each candidate of an event."""
    content = json.loads((event.folder / "findings.json").read_text())
    by_control = {name: _read(rows) for name, rows in content["controls"].items()}
    blend = _read(content["candidates"].get("blend_0.6", []))
    by_control |= {"near_margin": blend} if policy.near_margin and blend else {}
    return {
        name: judge(_read(rows), by_control, policy) for name, rows in content["candidates"].items()
    }


def _read(rows: list[dict]) -> list[Finding]:
    return [Finding.from_json(each) for each in rows]


def report(policy: Policy, only: str) -> None:
    """Verdicts by candidate and setting, what kept honest models from passing, shares held."""
    results: dict[tuple[str, str], Counter[str]] = {}
    shares: dict[tuple[str, str, str], list[float]] = {}
    why: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for event in events(only):
        if not (event.folder / "findings.json").exists():
            continue
        content = json.loads((event.folder / "findings.json").read_text())
        refused.update(k for k, reason in content["refused_as_copies"].items() if reason)
        for name, verdict in verdicts(event, policy).items():
            kind = name.split("_2")[0] if name.startswith("honest") else name
            key = (event.setting.name, kind)
            results.setdefault(key, Counter())[verdict.result] += 1
            for row in verdict.rows:
                if row.measurement and row.measurement.gap and row.rule and row.rule.tested:
                    gap, difference = row.measurement.gap, row.measurement.difference or 0.0
                    shares.setdefault((*key, row.name), []).append(difference / gap)
            if kind == "honest" and verdict.result != "PASSED":
                why.update(reason.split(":")[0][:110] for reason in verdict.reasons[:3])
    for key, counter in results.items():
        print(*key, dict(counter))
    for key, values in shares.items():
        if key[2].startswith(("remainder", "linear_probe", "few_shot", "head_refit")):
            print(
                *key,
                f"{np.mean(values):+.2f} sd {np.std(values):.2f} "
                f"{min(values):+.2f} to {max(values):+.2f} n={len(values)}",
            )
    print("refused as copies, by number of references:", dict(refused) or "none")
    for reason, times in why.most_common(15):
        print(times, reason)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.margins", description=__doc__)
    parser.add_argument("--only", default="", help="events whose names begin so")
    parser.add_argument("--policy", default="default-v5", help="name or file")
    parser.add_argument("--report", action="store_true", help="judge what is there")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    for event in () if asked.report else events(asked.only):
        measure(event)
        print(f"{time.monotonic() - began:6.0f} s {event.name}", flush=True)
    report(load_policy(asked.policy), asked.only)


if __name__ == "__main__":
    main()
