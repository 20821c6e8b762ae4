"""Run an entrant on an event; choose its settings on rows that no network was trained on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.race.data import Rows
from benchmarks.race.entrants import OTHERS, RENEWED, SHARES, Entrant
from benchmarks.race.nets import build
from benchmarks.race.store import Store
from benchmarks.race.tracks import Event, Track
from benchmarks.race.trainings import original, trained
from damp import methods
from damp.errors import DampError
from damp.methods import presets
from damp.methods.catalogue import METHODS, Settings
from flows.models import renewal
from flows.state.errors import FlowError

MOST_LOST = 0.005
"""Retain accuracy on the rows to choose on that a setting may cost."""
CANDIDATE_SEED = 2000
"""Of retrained entrants: no reference has it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """One run of an entrant.

    Attributes:
        model: What came out, all outputs in place; None where nothing did.
        problem: Why, where nothing did.
        cost: What it took.
    """

    model: nn.Module | None
    problem: str
    cost: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Race:
    """One event of a track with its rows and what is kept."""

    track: Track
    event: Event
    rows: Rows
    store: Store

    def build(self) -> nn.Module:
        """A fresh network."""
        return build(self.track.net, self.rows.shape, self.rows.classes)

    @property
    def facts(self) -> dict[str, Any]:
        """What decides what a method does here."""
        return {
            **self.track.facts(),
            "rows": self.rows.digest,
            "original": self.event.seed,
            "forget": self.event.forget,
        }

    def original(self) -> nn.Module:
        """The model before."""
        return original(self.track, self.rows, self.store, self.event)

    def run(self, entrant: Entrant, settings: Settings) -> Run:
        """What an entrant makes of the original; from what was kept where it was run before."""
        facts = {**self.facts, "entrant": entrant.key, "settings": dict(settings)}
        note = self.store.result("runs", facts)
        if note is None:
            done = self._run(entrant, settings)
            if done.model is not None:
                self.store.keep_model(facts, done.model, {})
            note = self.store.result(
                "runs", facts, lambda: {"problem": done.problem, "cost": dict(done.cost)}
            )
        kept = None if note["problem"] else self.store.model(facts, self.build())
        return Run(model=kept and kept[0], problem=note["problem"], cost=note["cost"])

    def _run(self, entrant: Entrant, settings: Settings) -> Run:
        began = time.process_time()
        try:
            model, cost = self._forgotten(entrant, settings)
        except (DampError, FlowError) as problem:
            return Run(model=None, problem=str(problem), cost={})
        seconds = round(time.process_time() - began, 3)
        return Run(model=model, problem="", cost={"seconds": seconds, **cost})

    def _forgotten(
        self, entrant: Entrant, settings: Settings
    ) -> tuple[nn.Module, dict[str, float]]:
        """The model and its cost, as a share of the rows of a full retraining."""
        before = self.original()
        if entrant.kind == "original":
            return before, {"forward": 0.0, "backward": 0.0, "share": 0.0}
        if entrant.name in SHARES:
            share = SHARES[entrant.name]
            model, seconds = trained(
                self.track, self.rows, self.store,
                seed=CANDIDATE_SEED, exclude=self.event.forget, share=share,
            )  # fmt: skip
            passes = share * self.track.recipe.epochs * self._kept_share()
            return model, self._cost(passes, passes) | {"seconds": seconds}
        if entrant.name == RENEWED:
            return self._renewed(before)
        images = self.rows.train[0]
        row = METHODS.get(entrant.name)
        half = self.track.half and row is not None and row.function.startswith("trained.")
        if half:  # as the recipe trains: eight times as fast on a CPU
            before = before.to(memory_format=torch.channels_last)
            images = images.contiguous(memory_format=torch.channels_last)
        job = methods.Job(
            model=before,
            inputs=images,
            labels=self.rows.train[1],
            forget=self.event.forget,
            seed=self.event.seed,
            build=self.build,
        )
        if entrant.kind == OTHERS:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                done = methods.run(entrant.name, job, settings)
        else:
            done = methods.forgotten(presets.run, entrant.name, job, {"preset": entrant.name})  # type: ignore[dict-item]
        rows = len(self.rows.train[1])
        return done.model, self._cost(done.passes.forward / rows, done.passes.backward / rows)

    def _renewed(self, before: nn.Module) -> tuple[nn.Module, dict[str, float]]:
        done = renewal.renew(
            before,
            self.rows.dataset(),
            self.event.forget,
            build=self.build,
            recipe=self.track.recipe,
            seed=renewal.FIRST_SEED + self.event.seed,
            folder=Path("."),
        )
        # parts of a network: counted in operations, and shown as passes of the whole one
        passes = done.record.share * self.track.recipe.epochs * self._kept_share()
        cost = self._cost(passes, passes)
        return done.network, cost | {"share": done.record.share}

    def _kept_share(self) -> float:
        labels = self.rows.train[1]
        return float((~_among(labels, self.event.forget)).float().mean())

    def _cost(self, forward: float, backward: float) -> dict[str, float]:
        """Passes over all training rows, and their share of a full retraining.

        A backward pass counts as two forward ones.
        """
        whole = 3 * self.track.recipe.epochs * self._kept_share()
        return {
            "forward": round(forward, 4),
            "backward": round(backward, 4),
            "share": round((forward + 2 * backward) / whole, 5),
        }


def tried(race: Race, entrant: Entrant) -> list[dict[str, Any]]:
    """Every setting of an entrant's grid on the first event of the track, with what it keeps.

    Accuracies are on the rows to choose on, before any output is retired.
    """
    first = replace(race, event=race.track.events[0])
    before = accuracies(first.original(), first.rows.choice, first.event.forget)
    notes = []
    for settings in entrant.grid:
        run = first.run(entrant, settings)
        note: dict[str, Any] = {"settings": dict(settings), "cost": dict(run.cost)}
        if run.model is None:
            note |= {"problem": run.problem}
        else:
            after = accuracies(run.model, first.rows.choice, first.event.forget)
            note |= {"lost": round(before[0] - after[0], 6), "forget": after[1]}
        notes.append(note)
    return notes


def chosen(notes: list[dict[str, Any]]) -> int | None:
    """The one criterion: retain drop of half a point at most, then lowest forget accuracy.

    Where no setting keeps so much, the one that loses least; the earlier of two alike. None where
    none could be run.

    >>> kept, better = {"lost": .004, "forget": .3}, {"lost": .002, "forget": .1}
    >>> chosen([kept, better, {"lost": .2, "forget": 0.}]), chosen([{"problem": "diverged"}])
    (1, None)
    >>> chosen([{"lost": .3, "forget": 0.}, {"lost": .1, "forget": .2}])
    1
    """
    ran = [(i, note) for i, note in enumerate(notes) if "problem" not in note]
    fair = [(i, note) for i, note in ran if note["lost"] <= MOST_LOST + 1e-9]
    if fair:
        return min(fair, key=lambda pair: (pair[1]["forget"], pair[0]))[0]
    return min(ran, key=lambda pair: (pair[1]["lost"], pair[0]))[0] if ran else None


def accuracies(
    model: nn.Module, rows: tuple[Tensor, Tensor], forget: tuple[int, ...]
) -> tuple[float, float]:
    """On rows to keep, the forgotten outputs retired, and on those to forget, before retiring."""
    inputs, labels = rows
    with torch.no_grad():
        logits = torch.cat([model(part) for part in inputs.split(500)])
    gone = _among(labels, forget)
    hits = logits.argmax(1) == labels
    retired = logits.clone()
    retired[:, list(forget)] = -torch.inf
    kept = (retired.argmax(1) == labels)[~gone].double().mean()
    return round(float(kept), 6), round(float(hits[gone].double().mean()), 6)


def _among(labels: Tensor, classes: tuple[int, ...]) -> Tensor:
    return torch.isin(labels, torch.tensor(classes))
