"""How far a model lies from retrained ones, in units of how far they lie from each other."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

from audits.finding import Figure, Finding
from compliance.documents.policy import Policy

LEAST_SPREAD, LEAST_OF_DPRIME = 0.015, 0.06
"""Retrained models that happen to agree would make any difference infinite: a spread is at least
so much, of shares and accuracies, and of d'."""


def by_row(findings: Sequence[Finding], policy: Policy) -> dict[str, float]:
    """|value - mean of the retrained| / their standard deviation, per deciding row.

    A row decides where the policy's first rule for it is required or has a veto, and compares with
    retrained models; absolute bounds have no unit of this kind.
    """
    return {
        figure.name: apart(figure)
        for finding in findings
        for figure in finding.measurements
        if _decides(figure, policy)
    }


def apart(figure: Figure) -> float:
    """Of one row.

    >>> apart(Figure(name="x.y", label="", value=.5, interval=(.4, .6), null=(.1, .2, .3)))
    3.0
    """
    least = LEAST_OF_DPRIME if "dprime" in figure.name else LEAST_SPREAD
    spread = max(stdev(figure.null), least)
    return round(abs(figure.value - fmean(figure.null)) / spread, 6)


def _decides(figure: Figure, policy: Policy) -> bool:
    rule = policy.rule_for(figure.name)
    if rule is None or not (rule.required or rule.veto) or rule.at_most is not None:
        return False
    return figure.against == "retrained" and len(figure.null) > 1 and not figure.aside


def by_depth(findings: Sequence[Finding]) -> dict[str, float | None]:
    """What is left of the class at each depth: d' beyond the retrained, a share of the original's.

    0 is a retrained model, 1 the original, below 0 less than retrained models know. None where
    the original lies within two spreads of the retrained: there is nothing to take a share of.
    """
    left: dict[str, float | None] = {}
    for finding in findings:
        for figure in finding.measurements:
            name, _, depth = figure.name.partition("@")
            if (
                name == "linear_probe.dprime"
                and len(figure.null) > 1
                and figure.original is not None
            ):
                gap = figure.original - fmean(figure.null)
                clear = gap > 2 * max(stdev(figure.null), LEAST_OF_DPRIME)
                left[depth] = round((figure.value - fmean(figure.null)) / gap, 4) if clear else None
    return left
