"""Measurements against the rules of a policy, one judged row each. Pure: no file, no clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from statistics import stdev
from typing import TYPE_CHECKING

from audits.finding import NOT_RUN, Figure, Finding
from compliance.documents.policy import LEAST_REFERENCES, Policy, Rule
from compliance.verdict.judged_row import (
    INFORMATIONAL,
    LEAST_POWER,
    MISSING,
    OUTSIDE,
    UNDECIDED,
    WITHIN,
    JudgedRow,
    Margins,
)

if TYPE_CHECKING:
    from audits.regions import Bounds

LEAST_NOVEL_CLASSES = 3
"""As `audits.evidence`, which needs numpy."""
BASELINES = ("retrained", "unseen")
"""What a null distribution is made of."""


def judge_rows(findings: Sequence[Finding], policy: Policy) -> list[JudgedRow]:
    """Every measurement judged by the first rule that names it, and every gap as a row.

    A rule that nothing answers to, a required measurement that its audit left out, and an audit
    that did not run, become rows with outcome "not_run": what is missing is seen, and can never
    pass.

    Several required tests at once: all must come out "within" for a pass, so that a model beyond
    any one margin passes with a chance of at most alpha, however many there are (an
    intersection-union test, Berger 1982). One "outside" suffices to fail, so that each is tested at
    alpha over their number (Bonferroni): an honest model is failed with a chance of at most alpha.
    """
    tests = sum(
        rule is not None and rule.tested and rule.at_most is None
        for finding in findings
        for rule in (policy.rule_for(figure.name) for figure in finding.measurements)
    )
    measured = _measured(findings, policy, max(1, tests))
    return [
        *(_held(measured) if _other_architecture(findings) else measured),
        *_missing(findings, policy),
        *_left_out(findings, policy),
        *_idle(findings, policy),
    ]


def _measured(findings: Sequence[Finding], policy: Policy, tests: int) -> Iterator[JudgedRow]:
    for finding in findings:
        for figure in finding.measurements:
            yield judge_row(finding.audit, figure, policy, tests=tests)


OTHER_ARCHITECTURE = (
    "It lies outside, by what was studied between models of one architecture; the model is of "
    "another than the retrained models: train references of its architecture to have it decide."
)


def _other_architecture(findings: Sequence[Finding]) -> bool:
    """Whether the model is of another architecture than the retrained models, as likeness has it.

    Its audit alone compares the two, and sets its figures aside for no other reason.
    """
    return any(
        figure.aside for finding in findings if finding.audit == "similarity"
        for figure in finding.measurements
    )  # fmt: skip


def _held(rows: Iterable[JudgedRow]) -> Iterator[JudgedRow]:
    """The rows of a model of another architecture: what only alike models fail by, holds it up."""
    for row in rows:
        if row.rule is not None and row.rule.same_architecture and row.outcome == OUTSIDE:
            yield replace(row, outcome=UNDECIDED, reason=OTHER_ARCHITECTURE, held=True)
        else:
            yield row


def _missing(findings: Sequence[Finding], policy: Policy) -> Iterator[JudgedRow]:
    names = [figure.name for finding in findings for figure in finding.measurements]
    names += [name for finding in findings for name in _reasons_left_out(finding)]
    answered = {id(rule) for name in names if (rule := policy.rule_for(name)) is not None}
    for rule in policy.rules:
        if id(rule) not in answered:  # two rules may be equal, and the first counts
            yield JudgedRow(
                audit=_audit_of(rule),
                name=rule.measurement,
                rule=rule,
                outcome=MISSING,
                reason=_why_missing(rule, findings),
            )


def _left_out(findings: Sequence[Finding], policy: Policy) -> Iterator[JudgedRow]:
    """Measurements that an audit could not make and a rule speaks about."""
    for finding in findings:
        for name, reason in _reasons_left_out(finding).items():
            rule = policy.rule_for(name)
            if rule is not None:
                yield JudgedRow(
                    audit=finding.audit, name=name, rule=rule, outcome=MISSING, reason=reason
                )


def _reasons_left_out(finding: Finding) -> Mapping[str, str]:
    left_out = finding.parameters.get("left_out")
    reasons = left_out if isinstance(left_out, Mapping) and finding.status != NOT_RUN else {}
    return {name: str(reason) for name, reason in reasons.items()}


def _idle(findings: Sequence[Finding], policy: Policy) -> Iterator[JudgedRow]:
    """Audits that did not run and that no rule asks for."""
    asked = {_audit_of(rule) for rule in policy.rules}
    for finding in findings:
        if finding.status == NOT_RUN and finding.audit not in asked:
            yield JudgedRow(
                audit=finding.audit, name=finding.audit, outcome=MISSING, reason=finding.reason
            )


def _audit_of(rule: Rule) -> str:
    return rule.measurement.split(".")[0]


def _why_missing(rule: Rule, findings: Sequence[Finding]) -> str:
    audit = _audit_of(rule)
    own = [finding for finding in findings if fnmatchcase(finding.audit, audit)]
    if not own:
        return f"No audit {audit!r} was run: run it, or take the rule out of the policy."
    reasons = [finding.reason for finding in own if finding.reason]
    return "; ".join(dict.fromkeys(reasons)) or (
        f"Audit {audit!r} ran and has no measurement of this name: check the policy's spelling."
    )


def judge_row(audit: str, figure: Figure, policy: Policy, *, tests: int = 1) -> JudgedRow:
    """One measurement, judged by the first rule that names it.

    Args:
        audit: Name of the audit.
        figure: The measurement.
        policy: The rules.
        tests: Required tests at once, for what comes out "outside".
    """
    rule = policy.rule_for(figure.name)
    interval = _interval(figure, policy.alpha)
    if rule is None:
        return JudgedRow(
            audit=audit, name=figure.name, measurement=figure, difference_interval=interval
        )
    margins = resolved(rule, figure)
    accept, detect = _power(figure, rule, margins, policy)
    outcome, reason = _outcome(figure, rule, margins, policy, tests)
    if outcome != MISSING and _lacks_spread(rule, figure):
        outcome, reason = UNDECIDED, NO_SPREAD
    if rule.relative and outcome != MISSING and (detect is None or detect < LEAST_POWER):
        outcome, reason = INFORMATIONAL, _cannot_tell(detect, figure.against)
    if figure.aside:
        outcome, reason = INFORMATIONAL, figure.aside
    return JudgedRow(
        audit=audit,
        name=figure.name,
        measurement=figure,
        rule=rule,
        outcome=outcome,
        reason=reason,
        margins=margins,
        difference_interval=interval,
        accept_retrained=accept,
        detect_original=detect,
        confidence=1 - 2 * policy.alpha,
    )


def resolved(rule: Rule, figure: Figure) -> Margins | None:
    """The margins as numbers, (below, above); None where there are none.

    Relative ones follow from original and baseline alone, before any candidate is measured: a
    remainder lies on the original's side of the baseline, an overshoot on the other. Those in
    spreads follow from the baseline alone.
    """
    if rule.at_most is not None:
        return None
    if not rule.relative:
        if rule.in_spreads and len(figure.null) < 2:
            return None
        spread = stdev(figure.null) if rule.in_spreads else 0.0
        return (
            _wider(rule.below, rule.spreads_below, spread),
            _wider(rule.above, rule.spreads_above, spread),
        )
    gap = figure.gap
    if gap is None:
        return None
    remainder = abs(gap) * (rule.remainder or 0.0)
    overshoot = math.inf if rule.overshoot is None else abs(gap) * rule.overshoot
    return (overshoot, remainder) if gap > 0 else (remainder, overshoot)


NO_SPREAD = (
    "The baseline's members are all alike here, so that their spread is no measure of what is "
    "usual: train each with a seed of its own, or bring more of them."
)


def _lacks_spread(rule: Rule, figure: Figure) -> bool:
    """Whether a margin is in spreads of a null that has none, and in nothing else on that side."""
    if not rule.in_spreads or len(figure.null) < 2 or stdev(figure.null) > 0:
        return False
    sides = ((rule.spreads_below, rule.below), (rule.spreads_above, rule.above))
    return any(spreads is not None and not width for spreads, width in sides)


def _wider(width: float | None, spreads: float | None, spread: float) -> float:
    """The wider of a margin in numbers and one in spreads; infinite where there is neither."""
    widths = [] if width is None else [width]
    if spreads is not None:
        widths.append(spreads * spread)
    return max(widths, default=math.inf)


def _cannot_tell(detect: float | None, against: str) -> str:
    power = "0" if detect is None else f"{detect:.2f}"
    baseline = "classes it never saw" if against == "unseen" else "retrained models"
    return (
        f"It decides nothing: these margins cannot distinguish the original from {baseline} "
        f"(power {power})."
    )


def _outcome(
    figure: Figure, rule: Rule, margins: Margins | None, policy: Policy, tests: int
) -> tuple[str, str]:
    if rule.at_most is not None:
        outcome, reason = _by_limit(figure, rule.at_most, policy), ""
    else:
        outcome, reason = _by_margin(figure, rule, margins, policy, tests if rule.tested else 1)
    if outcome == MISSING:
        return MISSING, _nothing_to_compare(policy)
    short = _too_few(figure, policy)
    if outcome == WITHIN and short:
        return UNDECIDED, short
    return outcome, reason


def _nothing_to_compare(policy: Policy) -> str:
    if policy.assurance == "L2":
        least = max(policy.unseen_classes, LEAST_NOVEL_CLASSES)
        return f"There is nothing to compare with: give unseen classes, at least {least}."
    return (
        f"There is nothing to compare with: give retrained references, at least {LEAST_REFERENCES}."
    )


def _by_limit(figure: Figure, limit: float, policy: Policy) -> str:
    """An absolute rule looks at the bounds of the value itself, each at its level."""
    from audits.statistics import clopper_pearson  # brings scipy: not needed to verify

    low, high = figure.interval
    if figure.trials is not None:
        hits = round(figure.value * figure.trials)
        low, _ = clopper_pearson(hits, figure.trials, 1 - 2 * policy.outside_at)
        _, high = clopper_pearson(hits, figure.trials, 1 - 2 * policy.alpha)
    if high <= limit:
        return WITHIN
    return OUTSIDE if low > limit else UNDECIDED


def bounds_of(rule: Rule) -> Bounds:
    """The rule's margins as the audits' numerics take them."""
    from audits.regions import Bounds

    return Bounds(
        below=rule.below,
        above=rule.above,
        remainder=rule.remainder,
        overshoot=rule.overshoot,
        spreads_below=rule.spreads_below,
        spreads_above=rule.spreads_above,
    )


def _by_margin(
    figure: Figure, rule: Rule, margins: Margins | None, policy: Policy, tests: int
) -> tuple[str, str]:
    """Equivalence: two one-sided tests of the difference to the baseline."""
    from audits.regions import region  # brings scipy: not needed to verify or to list

    if figure.difference is None or margins is None:
        return MISSING, ""
    if not sum(margins) > 0:  # original and baseline are the same: nothing to distinguish
        return UNDECIDED, ""
    levels = (policy.alpha, policy.outside_at, policy.outside_at / tests)
    regions = [region(figure, bounds_of(rule), alpha=level) for level in levels]
    outcomes = [each.outcome(figure.difference) for each in regions if each is not None]
    if not outcomes:
        return MISSING, ""
    within, alone, among = outcomes
    if within == WITHIN:
        return WITHIN, ""
    if alone == OUTSIDE != among:
        return UNDECIDED, f"Outside by itself, not by the stricter test that {tests} at once need."
    return (OUTSIDE if among == OUTSIDE else UNDECIDED), ""


def _interval(figure: Figure, alpha: float) -> tuple[float, float] | None:
    from audits.equivalence import interval

    if (
        figure.difference is None
        or figure.standard_error is None
        or figure.degrees_of_freedom is None
    ):
        return None
    return interval(
        figure.difference, figure.standard_error, figure.degrees_of_freedom, alpha=alpha
    )


def _power(
    figure: Figure, rule: Rule, margins: Margins | None, policy: Policy
) -> tuple[float | None, float | None]:
    """Chances that a retrained model passes and that the original is caught, where known."""
    from audits.regions import chance_outside, chance_within, region

    if rule.at_most is not None:
        return None, _caught_by_limit(figure, rule.at_most, policy.outside_at)
    if margins is None or figure.against not in BASELINES or not sum(margins) > 0:
        return None, None
    allowed = region(figure, bounds_of(rule), alpha=policy.alpha)
    if allowed is None:
        return None, None
    accept = chance_within(figure, allowed) if len(figure.null) > 1 else None
    return accept, chance_outside(figure, bounds_of(rule), alpha=policy.outside_at)


def _caught_by_limit(figure: Figure, limit: float, alpha: float) -> float | None:
    """Chance that a model with the original's value lies above a limit; None where unknown.

    By the binomial error of a share of the forgotten class's images, never below one image's worth.
    """
    from audits.equivalence import power_to_detect

    count, value = figure.sizes.get("forget_test"), figure.original
    if count is None or count < 2 or value is None or not 0 <= value <= 1:
        return None
    error = math.sqrt(max(value * (1 - value), 1 / count) / count)
    return power_to_detect(value, [0.0], error, count - 1, math.inf, limit, alpha=alpha)


def _too_few(figure: Figure, policy: Policy) -> str:
    """What the policy's minimum of samples lacks here; empty where it is met."""
    short = [
        f"{figure.sizes[kind]} samples of {kind}, the policy asks for {least}"
        for kind, least in policy.minimum_samples.items()
        if figure.sizes.get(kind, least) < least
    ]
    return f"Too few to decide: {'; '.join(short)}. Bring more, or pool classes." if short else ""
