"""Verdicts in plain words: sober, bounded, and each with the figures that it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from statistics import fmean
from typing import TYPE_CHECKING

from compliance.documents.policy import Policy
from compliance.verdict import kinds
from compliance.verdict.judged_row import (
    INFORMATIONAL,
    MISSING,
    OUTSIDE,
    UNDECIDED,
    WITHIN,
    JudgedRow,
)

if TYPE_CHECKING:
    from compliance.verdict.controls import Control

NO_POWER = 0.5
"""Below this chance to catch the original, a measurement is said to have no power."""

SIDE_EFFECTS = ("accuracy.retain", "*.retain", "*.retain.*", "utility.*")
"""Measurements of what must stay as it was: the original is no case to be caught there."""

BOUND = "evidence against the attacks listed, at this power"


def claim(
    result: str, rows: Sequence[JudgedRow], policy: Policy, controls: Sequence[Control] = ()
) -> str:
    """The verdict in one or two sentences that claim no more than was measured.

    Counted are the measurements that could have shown the original; those that could not are within
    their margins too, and say nothing of what it knows.
    """
    required = [row for row in rows if row.required]
    if result == "PASSED":
        counted = sum(row.counts for row in required)
        others = len(required) - counted
        further = (
            f", and in {others} further required ones, which could not show it, within theirs"
            if others
            else ""
        )
        return (
            f"In all {counted} required measurements that could have shown the original the edited "
            f"model lies within the margins of policy {policy.name} {_baseline(required)}{further}."
            f"{_excluded(rows, policy)}{_of_references(controls)} This is {BOUND}."
        )
    if result == "FAILED":
        out = sum(row.outcome == OUTSIDE for row in required)
        measurements = "measurement" if out == 1 else "measurements"
        return (
            f"In {out} required {measurements} the edited model lies outside the margins of policy "
            f"{policy.name} {_baseline(required)}."
        )
    return f"No claim is made: the evidence does not decide the question by policy {policy.name}."


def _baseline(rows: Sequence[JudgedRow]) -> str:
    retrained, unseen = (_members(rows, against) for against in ("retrained", "unseen"))
    if retrained:
        return f"around {retrained} models retrained without the class"
    if unseen:
        return f"around {unseen} classes that this model was never trained on"
    return "for the figures themselves, without retrained models to compare with"


def _members(rows: Sequence[JudgedRow], against: str) -> int:
    figures = [row.measurement for row in rows if row.measurement is not None]
    return max((len(f.null) for f in figures if f.against == against), default=0)


def _excluded(rows: Sequence[JudgedRow], policy: Policy) -> str:
    """What the rows exclude, at which level, to which readers; empty where none is a share."""
    shares = [
        (row, row.rule.remainder)
        for row in rows
        if row.counts and row.rule is not None and row.rule.remainder is not None
    ]
    if not shares:
        return ""
    readers = dict.fromkeys(kinds.WORDS[kind] for row, _ in shares for kind in kinds.of(row.name))
    most = max(share for _, share in shares)
    return (
        f" Excluded, at level {policy.alpha:g} each, is that {most:.0%} or more of what the "
        f"original knows of the class remains to {_listed(list(readers))}."
    )


def _of_references(controls: Sequence[Control]) -> str:
    """How the retrained models fared by the same rules; empty without any."""
    results = [control.result for control in controls if control.expected == "PASSED"]
    if not results:
        return ""
    failed, passed = results.count("FAILED"), results.count("PASSED")
    return (
        f" The same rules failed {failed or 'none'} of {len(results)} retrained models and passed "
        f"{passed}."
    )


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


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
    return f"the margin {least} to {most}{_of_spreads(row)}"


def _of_spreads(row: JudgedRow) -> str:
    """What a reader misses who sees an interval inside a margin that is undecided all the same."""
    if row.rule is None or row.measurement is None or not row.rule.in_spreads:
        return ""
    count = len(row.measurement.null)
    return f", whose width is that of {count} models' scatter and known only roughly"


def limits(rows: Sequence[JudgedRow], policy: Policy) -> Iterator[str]:
    """What the verdict does not say."""
    yield from policy.limits
    yield from kinds.absent(policy.kinds, rows)
    yield from _how_many(rows, policy)
    blind = [row for row in rows if no_power(row) and not _silent(row)]
    for row in blind:
        if row.detect_original is not None:
            yield without_power(row.name, row.detect_original)
    for row in rows:
        if row.rule is not None and row.rule.veto and row.outcome == UNDECIDED:
            yield (
                f"{row.name} is undecided: neither within nor outside {_allowed(row)}. It fails "
                "what lies outside and holds nothing up."
            )
    idle = [row for row in rows if row.outcome == MISSING and not row.required]
    for row in idle:
        yield f"{row.name} was not measured. {row.reason}"


def _how_many(rows: Sequence[JudgedRow], policy: Policy) -> Iterator[str]:
    """What several tests at once mean for their chances of error, and which of them count."""
    tested = [r for r in rows if r.rule is not None and r.rule.tested and r.margins is not None]
    if len(tested) > 1:
        measured = any(row.rule.relative or row.rule.in_spreads for row in tested if row.rule)
        about = (
            " Margins that are shares of what the original knows, or spreads of the baseline, are "
            f"measured themselves: there the chances are near {policy.alpha:g}, not bounded by it."
        )
        yield (
            f"{len(tested)} tests are made at once. A pass needs all that are required, so that a "
            "model beyond any one of these margins that is a fixed number passes with a chance of "
            f"{policy.alpha:g} at most; each tests for outside at {policy.alpha:g}/{len(tested)}, "
            f"so that one within all such margins is failed with a chance of {policy.alpha:g} at "
            f"most.{about if measured else ''}"
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
    dumb = [row.name for row in rows if _uncounted(row)]
    if dumb:
        yield (
            f"{len(dumb)} required measurements are not counted among those that could have shown "
            f"the original: {', '.join(dumb)}. They guard what else must hold."
        )


def _uncounted(row: JudgedRow) -> bool:
    return row.required and row.measurement is not None and not row.counts


def _silent(row: JudgedRow) -> bool:
    return row.outcome == INFORMATIONAL and row.rule is not None and row.rule.tested


def without_power(name: str, detect: float) -> str:
    """The limit that a measurement without power is, by its name and chance to detect."""
    return (
        f"{name} has no power here: it would detect the original with a chance of {detect:.2f} "
        "only."
    )


def no_power(row: JudgedRow) -> bool:
    """Whether a row could hardly distinguish the original from a retrained model."""
    if any(fnmatchcase(row.name, glob) for glob in SIDE_EFFECTS):
        return False
    return row.detect_original is not None and row.detect_original < NO_POWER
