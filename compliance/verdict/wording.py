"""Verdicts in plain words: sober, bounded, and each with the figures that it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from statistics import fmean

from compliance.documents.policy import Policy
from compliance.verdict.judged_row import (
    INFORMATIONAL,
    MISSING,
    OUTSIDE,
    UNDECIDED,
    WITHIN,
    JudgedRow,
)

NO_POWER = 0.5
"""Below this chance to catch the original, a measurement is said to have no power."""

SIDE_EFFECTS = ("accuracy.retain", "*.retain", "*.retain.*", "utility.*")
"""Measurements of what must stay as it was: the original is no case to be caught there."""

BOUND = "evidence against the attacks listed, at this power"


def claim(result: str, rows: Sequence[JudgedRow], policy: Policy) -> str:
    """The verdict in one sentence that claims no more than was measured."""
    required = [row for row in rows if row.required]
    out = sum(row.outcome == OUTSIDE for row in required)
    if result == "PASSED":
        return (
            f"In all {len(required)} required measurements the edited model lies within the "
            f"margins of policy {policy.name} {_baseline(required)}: {BOUND}."
        )
    if result == "FAILED":
        return (
            f"In {out} of {len(required)} required measurements the edited model lies outside the "
            f"margins of policy {policy.name} {_baseline(required)}."
        )
    return f"No claim is made: the evidence does not decide the question by policy {policy.name}."


def _baseline(rows: Sequence[JudgedRow]) -> str:
    counts = [len(row.measurement.null) for row in rows if row.measurement]
    if not any(counts):
        return "for the figures themselves, without retrained models to compare with"
    return f"around {max(counts)} models retrained without the class"


def reasons(rows: Sequence[JudgedRow]) -> Iterator[str]:
    """Why the required rows do not pass; the gravest first."""
    order = {OUTSIDE: 0, MISSING: 1, UNDECIDED: 2}
    open_rows = [row for row in rows if row.required and row.outcome != WITHIN]
    for row in sorted(open_rows, key=lambda row: order[row.outcome]):
        yield _reason(row)


def _reason(row: JudgedRow) -> str:
    if row.measurement is None or row.outcome == MISSING:
        return f"{row.name} is required and was not measured. {row.reason}"
    verb = "lies outside" if row.outcome == OUTSIDE else "cannot be distinguished from the edge of"
    value = f"{row.measurement.label} ({row.name}) is {row.measurement.value:.3f}{_against(row)}"
    ending = f" {row.reason}" if row.reason else ""
    return f"{value}: it {verb} {_allowed(row)}.{ending}"


def _against(row: JudgedRow) -> str:
    figure, interval = row.measurement, row.difference_interval
    if figure is None or figure.against == "none" or figure.difference is None or interval is None:
        return ""
    if figure.against == "original":
        baseline = f"the original's is {figure.original:.3f}" if figure.original is not None else ""
    else:
        whose = "unseen classes'" if figure.against == "unseen" else "retrained"
        baseline = f"the {whose} mean is {fmean(figure.null):.3f}"
    low, high = interval
    return f", {baseline}, the difference {figure.difference:+.3f} ({low:+.3f} to {high:+.3f})"


def _allowed(row: JudgedRow) -> str:
    rule = row.rule
    if rule is None:
        return "its margin"
    if rule.at_most is not None and row.measurement is not None:
        low, high = row.measurement.interval
        return f"the limit of {rule.at_most:g} (95% interval {low:.3f} to {high:.3f})"
    if row.margins is None:
        return "its margin"
    below, above = row.margins
    least = f"-{below:.3g}" if below < math.inf else "no limit"
    most = f"+{above:.3g}" if above < math.inf else "no limit"
    return f"the margin {least} to {most}"


def limits(rows: Sequence[JudgedRow], policy: Policy) -> Iterator[str]:
    """What the verdict does not say."""
    yield from policy.limits
    yield from _how_many(rows, policy)
    blind = [row for row in rows if no_power(row) and not _silent(row)]
    for row in blind:
        yield (
            f"{row.name} has no power here: it would detect the original with a chance of "
            f"{row.detect_original:.2f} only."
        )
    idle = [row for row in rows if row.outcome == MISSING and not row.required]
    for row in idle:
        yield f"{row.name} was not measured. {row.reason}"


def _how_many(rows: Sequence[JudgedRow], policy: Policy) -> Iterator[str]:
    """What several tests at once mean for their chances of error."""
    tests = sum(row.required and row.margins is not None for row in rows)
    if tests > 1:
        yield (
            f"{tests} tests are required at once. A pass needs all of them, so that a model beyond "
            f"any one margin passes with a chance of {policy.alpha:g} at most; each tests "
            f"for outside at {policy.alpha:g}/{tests}, so that one within all margins is failed "
            f"with a chance of {policy.alpha:g} at most."
        )
    for row in rows:
        if row.measurement is not None and row.measurement.aside and _silent(row):
            yield f"{row.name} decides nothing. {row.measurement.aside}"
    silent = [
        row.name
        for row in rows
        if _silent(row) and not (row.measurement is not None and row.measurement.aside)
    ]
    if silent:
        yield (
            f"{len(silent)} measurements decide nothing, as they could not detect the original "
            f"itself: {', '.join(silent)}."
        )


def _silent(row: JudgedRow) -> bool:
    return row.outcome == INFORMATIONAL and row.rule is not None and row.rule.required


def no_power(row: JudgedRow) -> bool:
    """Whether a row could hardly distinguish the original from a retrained model."""
    if any(fnmatchcase(row.name, glob) for glob in SIDE_EFFECTS):
        return False
    return row.detect_original is not None and row.detect_original < NO_POWER
