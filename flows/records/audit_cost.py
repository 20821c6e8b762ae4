"""What the audits of an event cost: processor seconds of each, forward passes of the models.

Kept beside the findings and never in them: the same models give the same findings again, a clock
does not. The statement names it where it names the other times, in `event`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flows.state.files import write_atomically
from flows.state.paths import Attempt

if TYPE_CHECKING:
    from audits.observation import Observation

Facts = dict[str, Any]

OBSERVE = "observe"
"""Under which name the seconds stand that looking at the models took."""


class Meter:
    """Adds up what a part of the audits costs, in whatever process it runs."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.observed = self.kept = 0
        self.passes = 0.0
        self.candidate: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count the processor seconds of this process to `name`."""
        began = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - began

    def count(self, observation: Observation, *, kept: bool) -> None:
        """Count a model that was observed, or found as it was observed before."""
        self.kept += kept
        self.observed += not kept
        self.passes += 0.0 if kept else sum(observation.passes.values())

    def to_json(self) -> Facts:
        """What was counted, JSON-able."""
        return {
            "cpuSeconds": self.seconds,
            "forwardPasses": self.passes,
            "modelsObserved": self.observed,
            "modelsKept": self.kept,
            "candidateForwardPasses": self.candidate,
        }


def total(costs: Iterable[Facts]) -> Facts:
    """The sum of what several parts cost; of the candidate there is one."""
    meter = Meter()
    for cost in costs:
        for name, seconds in cost["cpuSeconds"].items():
            meter.seconds[name] = meter.seconds.get(name, 0.0) + seconds
        meter.passes += cost["forwardPasses"]
        meter.observed += cost["modelsObserved"]
        meter.kept += cost["modelsKept"]
        meter.candidate |= cost["candidateForwardPasses"]
    return meter.to_json()


def keep(attempt: Attempt, step: str, costs: Iterable[Facts]) -> None:
    """Write what a step of an attempt cost; the step done again replaces it."""
    steps = json.loads(attempt.cost.read_bytes()) if attempt.cost.exists() else {}
    steps[step] = total(costs)
    write_atomically(attempt.cost, json.dumps(steps, indent=1).encode())


def of_attempt(attempt: Attempt) -> Facts:
    """What all of its audits cost, rounded to what a clock can tell, as the statement holds it."""
    cost = total(json.loads(attempt.cost.read_bytes()).values())
    return cost | {
        "cpuSeconds": {name: round(s, 3) for name, s in cost["cpuSeconds"].items()},
        "forwardPasses": round(cost["forwardPasses"], 2),
        "candidateForwardPasses": {
            n: round(p, 2) for n, p in cost["candidateForwardPasses"].items()
        },
    }


def in_words(cost: Facts) -> str:
    """One line for the end of a run."""
    seconds = cost["cpuSeconds"]
    most = max(seconds, key=lambda name: seconds[name])
    return (
        f"{sum(cost['candidateForwardPasses'].values()):.1f} forward passes for this model, "
        f"{cost['forwardPasses']:.1f} for the {cost['modelsObserved']} models observed now "
        f"({cost['modelsKept']} were known); {sum(seconds.values()):.1f} s of processor time, "
        f"most of it {most} ({seconds[most]:.1f} s)"
    )
