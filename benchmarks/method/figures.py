"""Figures of every network and method of a study: made where they are missing, else read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import nn

from benchmarks.method import cases, store
from benchmarks.method.cases import METHODS, Study
from benchmarks.method.data import Data, load
from benchmarks.method.measures import JUDGED, Figures, measured, observe, routing, shares
from benchmarks.method.training import RECIPES, key, trained

Settings = Mapping[str, float]
Unit = tuple[tuple[int, ...], int]
"""A request and a seed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """A study with its data; everything asked of it is remembered on disk."""

    study: Study
    tell: Callable[[str], None]

    @cached_property
    def data(self) -> Data:
        """Its data set."""
        return load(self.study.data)

    @property
    def units(self) -> list[Unit]:
        """Every request with every seed."""
        return [
            (request, seed)
            for request in self.study.requests
            for seed in self.study.trained(request)
        ]

    def retrained(self, unit: Unit, part: str) -> Figures:
        """Figures of the network that never saw the classes; routing against the other seeds."""
        request, seed = unit
        observation = self._observed(
            unit, part, self._key(seed, request), lambda: self._net(seed, request)
        )
        others = [
            self._routes(request, other, part)
            for other in self.study.trained(request)
            if other != seed
        ]
        own = self._routes(request, seed, part)
        return observation["figures"] | ({"routing": routing(own, others)} if others else {})

    def edited(self, unit: Unit, part: str, name: str, settings: Settings) -> Figures:
        """Figures of an edited network; routing against all retrained ones."""
        request, seed = unit
        self.tell(f"{self.study.name}: {name}, forget {_listed(request)}, seed {seed}")
        networks: dict[str, nn.Module] = {}

        def edit() -> nn.Module:
            if "model" not in networks:
                rows = cases.batches(self.data, self.study, request)
                original = self._net(seed, ())
                networks["model"] = METHODS[name].edit(original, rows, request, settings).eval()
            return networks["model"]

        facts = {
            "original": self._key(seed, ()),
            "forget": request,
            "rows": [self.study.kept, self.study.gone, cases.BATCH],
            "code": store.source(METHODS[name].code),
            "method": name.split(", gain")[0],
            "settings": dict(settings),
        }
        digest = store.kept("edits", facts, lambda: store.fingerprint(edit()))
        observation = self._observed(unit, part, digest, edit)
        others = [self._routes(request, other, part) for other in self.study.trained(request)]
        return observation["figures"] | {
            "routing": routing(np.array(observation["shares"]), others)
        }

    def model(self, unit: Unit, name: str, settings: Settings) -> nn.Module:
        """The edited network itself."""
        rows = cases.batches(self.data, self.study, unit[0])
        return METHODS[name].edit(self._net(unit[1], ()), rows, unit[0], settings).eval()

    def chosen(self, name: str) -> dict[str, float]:
        """Settings of a method, by the validation rows of the first seed: least shortfall."""
        method = METHODS[name]
        settings: dict[str, float] = {}
        for setting, values in method.choices.items():
            scores = [self._score(name, {setting: value}) for value in values]
            settings[setting] = values[int(np.argmin(scores))]
        return settings

    def _score(self, name: str, settings: Settings) -> float:
        """How far a method misses its targets on validation rows, summed over the columns."""
        units = [(request, self.study.seeds[0]) for request in self.study.requests]
        own = averaged([self.edited(unit, "validation", name, settings) for unit in units])
        other, spread = self.yardstick("validation")
        columns = [column for column in JUDGED if not column.startswith("refit")]
        return sum(
            cases.shortfall(self.study.targets, c, own[c], other.get(c, 0.0), spread.get(c, 0.0))
            for c in columns
        )

    def yardstick(self, part: str) -> tuple[Figures, Figures]:
        """Means of the retrained networks, and their seeds' spread: 2 sd, pooled over requests."""
        by_unit = {unit: self.retrained(unit, part) for unit in self.units}
        means = averaged(list(by_unit.values()))
        return means, {column: self._spread(by_unit, column) for column in means}

    def _spread(self, by_unit: Mapping[Unit, Figures], column: str) -> float:
        """Twice the standard deviation over seeds, pooled over requests; 0 where it is unknown."""
        squares, freedom = 0.0, 0
        for request in self.study.requests:
            values = [by_unit[request, seed].get(column) for seed in self.study.trained(request)]
            values = [value for value in values if value is not None]
            squares += float(np.var(values) * len(values)) if values else 0.0
            freedom += max(len(values) - 1, 0)
        return 2 * float(np.sqrt(squares / freedom)) if freedom else 0.0

    def _net(self, seed: int, exclude: tuple[int, ...]) -> nn.Module:
        left = f"without {_listed(exclude)}" if exclude else "on all classes"
        self.tell(f"{self.study.name}: seed {seed}, trained {left}")
        return trained(self.study.data, self.study.net, self.data, seed=seed, exclude=exclude)

    def _key(self, seed: int, exclude: tuple[int, ...]) -> str:
        recipe = RECIPES[self.study.data, self.study.net]
        return key(recipe, self.data, seed, exclude)

    def _routes(self, request: tuple[int, ...], seed: int, part: str) -> np.ndarray:
        observation = self._observed(
            (request, seed), part, self._key(seed, request), lambda: self._net(seed, request)
        )
        return np.array(observation["shares"])

    def _observed(
        self, unit: Unit, part: str, digest: str, network: Callable[[], nn.Module]
    ) -> dict[str, Any]:
        """Figures and routes of a network on a part of the data."""
        facts = {
            "network": digest,
            "data": self.data.digest,
            "part": part,
            "forget": unit[0],
            "code": store.source(("benchmarks/method/measures.py",)),
        }

        def make() -> dict[str, Any]:
            labels = self.data.labels[part].numpy()
            observation = observe(network(), self.study.net, self.data.inputs(part))
            return {
                "figures": measured(observation, labels, unit[0], refit=part == "test"),
                "shares": shares(observation, labels, unit[0]).tolist(),
            }

        return store.kept("figures", facts, make)


def averaged(rows: list[Figures]) -> Figures:
    """Mean of each figure, over the rows that have it."""
    columns = dict.fromkeys(column for row in rows for column in row)
    return {c: float(np.mean([row[c] for row in rows if c in row])) for c in columns}


def _listed(classes: tuple[int, ...]) -> str:
    return " and ".join(map(str, classes))
