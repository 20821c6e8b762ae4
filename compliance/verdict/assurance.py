"""What required rows say by themselves: a result, and the level of assurance they support. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from compliance.documents.policy import LEAST_REFERENCES
from compliance.verdict.judged_row import OUTSIDE, WITHIN, JudgedRow

PASSED, FAILED, INCONCLUSIVE = "PASSED", "FAILED", "INCONCLUSIVE"


def result_of(rows: Sequence[JudgedRow]) -> str:
    """What the required rows say by themselves."""
    outcomes = {row.outcome for row in rows if row.required}
    if OUTSIDE in outcomes:
        return FAILED
    return PASSED if outcomes == {WITHIN} else INCONCLUSIVE


def reached(rows: Sequence[JudgedRow]) -> str:
    """The level of assurance that the required rows support.

    L1: outputs only. L2: the inside of the network was measured. L3: and compared with at least
    three retrained references.
    """
    deep = [row for row in rows if row.required and row.rule is not None and row.rule.deep]
    figures = [row.measurement for row in deep if row.measurement is not None]
    if not figures or len(figures) < len(deep):
        return "L1"
    enough = all(
        measurement.against == "retrained" and len(measurement.null) >= LEAST_REFERENCES
        for measurement in figures
    )
    return "L3" if enough else "L2"
