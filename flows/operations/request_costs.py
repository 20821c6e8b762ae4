"""What requests have cost in this state folder, so that the three ways can be compared by figures.

Trainings by their notes, cuts and audits by what the attempts have kept. What was never measured
here has no figure: nothing is assumed for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from compliance.qualification.costing import Comparison, Prices, Setting, compare
from flows.records import audit_cost, training_times
from flows.state.paths import Attempt, Home

REQUESTS = (10, 100, 1000)
"""As many as there are classes, each asked for once."""
TRAINS = ("retrain",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Mean seconds, None where nothing was measured.

    Attributes:
        training: Of one retrained model, by the clock.
        cut: Of one edit, by the clock.
        audit: Of an event's audits with retrained models, of the processor.
        alone: Of an event's audits under a qualification, of the processor.
    """

    training: float | None
    cut: float | None
    audit: float | None
    alone: float | None

    @property
    def prices(self) -> Prices | None:
        """In full trainings; None where one is lacking."""
        if self.training is None or not self.training > 0:
            return None
        if self.cut is None or self.audit is None or self.alone is None:
            return None
        return Prices(
            cut=self.cut / self.training,
            audit=self.audit / self.training,
            alone=self.alone / self.training,
        )

    @property
    def lacking(self) -> tuple[str, ...]:
        """What was not measured, with what measures it."""
        ways = {
            "training": "a training (damp references)",
            "cut": "a cut (an event)",
            "audit": "an audit at L3 (an event by such a policy)",
            "alone": "an audit under a qualification (an event by such a policy)",
        }
        return tuple(words for name, words in ways.items() if getattr(self, name) is None)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measured(home: Home) -> Measured:
    """From what is kept of trainings and attempts."""
    cuts: list[float] = []
    with_references: list[float] = []
    alone: list[float] = []
    for attempt in _attempts(home):
        plan = json.loads(attempt.plan.read_bytes())
        edit = json.loads(attempt.edit.read_bytes()).get("cost") or {}
        if plan["method"].get("preset") not in (*TRAINS, None, "unknown") and edit.get("seconds"):
            cuts.append(float(edit["seconds"]))
        seconds = sum(audit_cost.of_attempt(attempt)["cpuSeconds"].values())
        policy = plan["policy"]
        if policy.get("yardstick"):
            alone.append(seconds)
        elif policy["references"]:
            with_references.append(seconds)
    return Measured(
        training=_mean(training_times.measured(home)),
        cut=_mean(cuts),
        audit=_mean(with_references),
        alone=_mean(alone),
    )


def _attempts(home: Home) -> Iterator[Attempt]:
    """Attempts that have all three files."""
    for folder in sorted(home.events.glob("*/attempt-*")):
        number = folder.name.removeprefix("attempt-")
        if number.isdecimal():
            attempt = Attempt(home, folder.parent.name, int(number))
            if attempt.plan.exists() and attempt.edit.exists() and attempt.cost.exists():
                yield attempt


def _mean(values: Sequence[float]) -> float | None:
    return round(fmean(values), 3) if values else None


def compared(prices: Prices, setting: Setting) -> list[Comparison]:
    """The three ways for as many requests as there are classes."""
    return [compare(count, prices, setting) for count in REQUESTS]
