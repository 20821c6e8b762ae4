"""One judged measurement: its figures, the rule it is held against, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from audits.finding import NOT_RUN, RUN, Measurement
from compliance.policy import Rule

WITHIN, OUTSIDE, UNDECIDED = "within", "outside", "undecided"
MISSING, INFORMATIONAL = "not_run", "informational"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRow:
    """One measurement with the rule that it is held against and what came of it.

    Attributes:
        audit: Name of the audit.
        name: Name of the measurement, or the rule's glob where nothing answers to it.
        measurement: The figures; None where there are none.
        rule: The rule, None for what is shown for information.
        outcome: "within", "outside", "undecided", "not_run" or "informational".
        reason: What the figures alone do not say.
        difference_interval: 90% interval of the difference.
        accept_retrained: Chance that one more retrained model comes out "within".
        detect_original: Chance that a model with the original's value comes out "outside".
    """

    audit: str
    name: str
    measurement: Measurement | None = None
    rule: Rule | None = None
    outcome: str = INFORMATIONAL
    reason: str = ""
    difference_interval: tuple[float, float] | None = None
    accept_retrained: float | None = None
    detect_original: float | None = None

    @property
    def required(self) -> bool:
        """Whether the verdict rests on it."""
        return self.rule is not None and self.rule.required

    def to_json(self) -> dict[str, Any]:
        """The row as the statement holds it."""
        told = {
            "audit": self.audit,
            "name": self.name,
            "rule": self.rule.sentence() if self.rule else "",
            "required": self.required,
            "outcome": self.outcome,
            "reason": self.reason,
        }
        if self.measurement is None:
            return told | {"status": NOT_RUN}
        return told | _figures(self.measurement) | _margin(self.rule) | self._derived()

    def _derived(self) -> dict[str, Any]:
        interval = self.difference_interval
        return {
            "status": RUN,
            "differenceInterval": None if interval is None else list(interval),
            "power": {
                "acceptRetrained": self.accept_retrained,
                "detectOriginal": self.detect_original,
            },
        }


def _figures(seen: Measurement) -> dict[str, Any]:
    return {
        "label": seen.label,
        "value": seen.value,
        "interval": list(seen.interval),
        "null": list(seen.null),
        "nullMean": fmean(seen.null) if seen.null else None,
        "nullSd": stdev(seen.null) if len(seen.null) > 1 else None,
        "original": seen.original,
        "difference": seen.difference,
        "against": seen.against,
        "sizes": dict(seen.sizes),
    }


def _margin(rule: Rule | None) -> dict[str, Any]:
    below, above, at_most = (rule.below, rule.above, rule.at_most) if rule else (None, None, None)
    return {"margin": {"below": below, "above": above, "atMost": at_most}}
