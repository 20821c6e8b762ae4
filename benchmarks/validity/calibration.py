"""Does what a plan forecasts come true? Forecast of an event against its honest models' verdicts.

The forecast is the one that `submit`, `cost` and the plan print: the chance that one more model,
retrained by the same recipe, passes every required row. It is worked out from the references
before anybody is judged; the honest models are others, trained by that recipe under seeds of their
own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from benchmarks.validity.intervals import clustered
from benchmarks.validity.judging import HONEST, Judged
from benchmarks.validity.tally import SAME_RECIPE, clusters
from compliance.verdict import PASSED

GROUPS = ((0.0, 0.5), (0.5, 0.8), (0.8, 1.0))
"""Forecasts that are counted together; the last one is what a plan calls likely."""
TARGET = 10.0
"""Points between the mean forecast and the share that passed, where a pass is likely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Events with like forecasts.

    Attributes:
        low: Least forecast.
        high: Greatest.
        events: How many.
        models: Honest models of theirs.
        forecast: Mean forecast over the models.
        passed: How many of the models PASSED.
        interval: Of the share that passed, 95%, events counted as clusters.
    """

    low: float
    high: float
    events: int
    models: int
    forecast: float
    passed: int
    interval: tuple[float, float]

    @property
    def points_apart(self) -> float:
        """Points between the mean forecast and the share that passed."""
        return round(100 * abs(self.forecast - self.passed / self.models), 1)


def groups(verdicts: Iterable[Judged]) -> list[Group]:
    """Forecast and outcome of the honest models of the event's own recipe, by forecast."""
    honest = [
        one
        for one in verdicts
        if one.case.kind == HONEST and one.case.candidate in SAME_RECIPE and one.power is not None
    ]
    by_group: dict[tuple[float, float], list[Judged]] = defaultdict(list)
    for one in honest:
        by_group[_group(float(one.power or 0.0))].append(one)
    return [_counted(ends, by_group[ends]) for ends in GROUPS if by_group[ends]]


def _group(forecast: float) -> tuple[float, float]:
    return next(ends for ends in reversed(GROUPS) if forecast >= ends[0])


def _counted(ends: tuple[float, float], models: Sequence[Judged]) -> Group:
    share = clustered(clusters(models, lambda one: one.result == PASSED))
    return Group(
        low=ends[0],
        high=ends[1],
        events=len({one.case.event for one in models}),
        models=len(models),
        forecast=round(fmean(float(one.power or 0.0) for one in models), 3),
        passed=sum(one.result == PASSED for one in models),
        interval=(round(share.low, 3), round(share.high, 3)),
    )


def to_json(counted: Sequence[Group]) -> list[dict[str, Any]]:
    """As validity.json has it."""
    return [asdict(group) | {"points_apart": group.points_apart} for group in counted]
