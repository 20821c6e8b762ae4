"""What the audits of an event cost: processor seconds of each, forward passes of the models.

Kept beside the findings and never in them: the same models give the same findings again, a clock
does not. The statement names it where it names the other times, in `event`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flows.state.files import write_atomically
from flows.state.paths import Attempt

if TYPE_CHECKING:
    from audits.observation import Observation

Facts = dict[str, Any]

OBSERVE = "observe"
"""Under which name the seconds stand that looking at the models took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCost:
    """What audits cost.

    Attributes:
        seconds: Of the processor, by audit.
        passes: Forward passes over the models that were observed.
        observed: Number of those models.
        kept: Number of models whose observations were kept from before.
        candidate: Forward passes over the candidate, by what they were for.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    passes: float = 0.0
    observed: int = 0
    kept: int = 0
    candidate: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, content: Facts) -> AuditCost:
        """What `to_json` wrote."""
        return cls(
            seconds=content["cpuSeconds"],
            passes=content["forwardPasses"],
            observed=content["modelsObserved"],
            kept=content["modelsKept"],
            candidate=content["candidateForwardPasses"],
        )

    def to_json(self) -> Facts:
        """As the statement holds it."""
        return {
            "cpuSeconds": dict(self.seconds),
            "forwardPasses": self.passes,
            "modelsObserved": self.observed,
            "modelsKept": self.kept,
            "candidateForwardPasses": dict(self.candidate),
        }

    def __add__(self, other: AuditCost) -> AuditCost:
        """What both cost; there is one candidate."""
        names = {**self.seconds, **other.seconds}
        return AuditCost(
            seconds={n: self.seconds.get(n, 0.0) + other.seconds.get(n, 0.0) for n in names},
            passes=self.passes + other.passes,
            observed=self.observed + other.observed,
            kept=self.kept + other.kept,
            candidate={**self.candidate, **other.candidate},
        )

    def in_words(self) -> str:
        """One line for the end of a run."""
        most = max(self.seconds, key=lambda name: self.seconds[name])
        return (
            f"{sum(self.candidate.values()):.1f} forward passes for this model, "
            f"{self.passes:.1f} for the {self.observed} models observed now "
            f"({self.kept} were kept from before); {sum(self.seconds.values()):.1f} s of processor "
            f"time, most of it {most} ({self.seconds[most]:.1f} s)"
        )


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
        """Count a model that was observed, or whose observations were kept from before."""
        self.kept += kept
        self.observed += not kept
        self.passes += 0.0 if kept else sum(observation.passes.values())

    def to_json(self) -> Facts:
        """What was counted, as `AuditCost` writes it."""
        return AuditCost(**vars(self)).to_json()


def keep(attempt: Attempt, step: str, costs: Iterable[Facts]) -> None:
    """Write what a step of an attempt cost; the step done again replaces it."""
    steps = json.loads(attempt.cost.read_bytes()) if attempt.cost.exists() else {}
    steps[step] = _total(costs).to_json()
    write_atomically(attempt.cost, json.dumps(steps, indent=1).encode())


def of_attempt(attempt: Attempt) -> Facts:
    """What all of its audits cost, as the statement holds it."""
    cost = _total(json.loads(attempt.cost.read_bytes()).values())
    return AuditCost(  # rounded to what a clock can tell
        seconds={name: round(seconds, 3) for name, seconds in cost.seconds.items()},
        passes=round(cost.passes, 2),
        observed=cost.observed,
        kept=cost.kept,
        candidate={name: round(passes, 2) for name, passes in cost.candidate.items()},
    ).to_json()


def _total(costs: Iterable[Facts]) -> AuditCost:
    return sum(map(AuditCost.from_json, costs), start=AuditCost())
