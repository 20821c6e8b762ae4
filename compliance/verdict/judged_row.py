"""One judged measurement: its figures, the rule it is held against, and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from audits.finding import NOT_RUN, RUN, Figure
from compliance.documents.policy import Rule

Margins = tuple[float, float]
"""How far below and above its baseline a measurement may lie; infinite where nothing limits it."""
WITHIN, OUTSIDE, UNDECIDED = "within", "outside", "undecided"
MISSING, INFORMATIONAL = "not_run", "informational"
LEAST_POWER = 0.8
"""Chance to catch the original that a measurement needs to be counted as one that could have."""


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
        margins: The margins as numbers, (below, above); None where the rule has none.
        difference_interval: Of the difference, at this confidence.
        confidence: 1 - 2 alpha, by the level of the policy's tests.
        held: It lies outside by a rule that was studied between models of one architecture, and the
            model is of another: nothing fails by it, and nothing passes. The outcome is undecided.
        accept_retrained: Chance that one more retrained model comes out "within".
        detect_original: Chance that a model with the original's value comes out "outside".
    """

    audit: str
    name: str
    measurement: Figure | None = None
    rule: Rule | None = None
    outcome: str = INFORMATIONAL
    reason: str = ""
    margins: Margins | None = None
    difference_interval: tuple[float, float] | None = None
    accept_retrained: float | None = None
    detect_original: float | None = None
    confidence: float = 0.9
    held: bool = False

    @property
    def required(self) -> bool:
        """Whether the verdict rests on it; not where it could not tell the original either.

        A row with a veto does where it lies outside, and only there.
        """
        if self.rule is None or self.outcome == INFORMATIONAL:
            return False
        return self.rule.required or self.held or (self.rule.veto and self.outcome == OUTSIDE)

    @property
    def counts(self) -> bool:
        """Whether it is required and could have shown the original: only such rows are counted."""
        return self.required and (self.detect_original or 0.0) >= LEAST_POWER

    def to_json(self) -> dict[str, Any]:
        """The row as the statement holds it."""
        row = {
            "audit": self.audit,
            "name": self.name,
            "rule": self.rule.sentence(self.confidence) if self.rule else "",
            "required": self.required,
            "outcome": self.outcome,
            "reason": self.reason,
        }
        if self.measurement is None:
            return row | {"status": NOT_RUN}
        return row | _figures(self.measurement) | self._margin() | self._derived()

    def _margin(self) -> dict[str, Any]:
        limit = self.rule.at_most if self.rule else None
        below, above = (
            (None if math.isinf(margin) else margin for margin in self.margins)
            if self.margins
            else (None, None)
        )
        return {"margin": {"below": below, "above": above, "atMost": limit}}

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


def _figures(figure: Figure) -> dict[str, Any]:
    return {
        "label": figure.label,
        "value": figure.value,
        "interval": list(figure.interval),
        "null": list(figure.null),
        "nullMean": fmean(figure.null) if figure.null else None,
        "nullSd": stdev(figure.null) if len(figure.null) > 1 else None,
        "original": figure.original,
        "difference": figure.difference,
        "against": figure.against,
        "sizes": dict(figure.sizes),
    }
