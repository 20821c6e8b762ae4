"""Measurements against the rules of a policy, one judged row each. Pure: no file, no clock."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from audits.finding import NOT_RUN, Finding, Measurement
from compliance.policy import Policy, Rule
from compliance.rows import MISSING, OUTSIDE, UNDECIDED, WITHIN, JudgedRow


def judge_rows(findings: Sequence[Finding], policy: Policy) -> list[JudgedRow]:
    """Every measurement judged by the first rule that names it, and every gap as a row.

    A rule that nothing answers to, and an audit that did not run, become rows with outcome
    "not_run": what is missing is seen, and can never pass.
    """
    return [*_measured(findings, policy), *_missing(findings, policy), *_idle(findings, policy)]


def _measured(findings: Sequence[Finding], policy: Policy) -> Iterator[JudgedRow]:
    for finding in findings:
        for seen in finding.measurements:
            yield judge_row(finding.audit, seen, policy)


def _missing(findings: Sequence[Finding], policy: Policy) -> Iterator[JudgedRow]:
    names = [seen.name for finding in findings for seen in finding.measurements]
    for rule in policy.rules:
        if not any(policy.rule_for(name) is rule for name in names):
            yield JudgedRow(
                audit=_audit_of(rule),
                name=rule.measurement,
                rule=rule,
                outcome=MISSING,
                reason=_why_missing(rule, findings),
            )


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
    found = [finding for finding in findings if fnmatchcase(finding.audit, audit)]
    if not found:
        return f"No audit {audit!r} was run: run it, or take the rule out of the policy."
    reasons = [finding.reason for finding in found if finding.reason]
    for finding in found:
        left_out = finding.parameters.get("left_out")
        told = left_out if isinstance(left_out, Mapping) else {}
        reasons += [str(why) for name, why in told.items() if rule.names(name)]
    return "; ".join(dict.fromkeys(reasons)) or (
        f"Audit {audit!r} ran and has no measurement of this name: check the policy's spelling."
    )


def judge_row(audit: str, seen: Measurement, policy: Policy) -> JudgedRow:
    """One measurement, judged by the first rule that names it."""
    rule = policy.rule_for(seen.name)
    interval = _interval(seen, policy.alpha)
    if rule is None:
        return JudgedRow(
            audit=audit, name=seen.name, measurement=seen, difference_interval=interval
        )
    outcome, reason = _outcome(seen, rule, policy)
    accept, detect = _power(seen, rule, policy.alpha)
    return JudgedRow(
        audit=audit,
        name=seen.name,
        measurement=seen,
        rule=rule,
        outcome=outcome,
        reason=reason,
        difference_interval=interval,
        accept_retrained=accept,
        detect_original=detect,
    )


def _outcome(seen: Measurement, rule: Rule, policy: Policy) -> tuple[str, str]:
    outcome = _by_limit(seen, rule) if rule.at_most is not None else _by_margin(seen, rule, policy)
    if outcome == MISSING:
        return MISSING, "There is nothing to compare with: give retrained references, at least 3."
    short = _too_few(seen, policy)
    if outcome == WITHIN and short:
        return UNDECIDED, short
    return outcome, ""


def _by_limit(seen: Measurement, rule: Rule) -> str:
    """An absolute rule looks at the 95% interval of the value itself."""
    limit = math.inf if rule.at_most is None else rule.at_most
    low, high = seen.interval
    if high <= limit:
        return WITHIN
    return OUTSIDE if low > limit else UNDECIDED


def _by_margin(seen: Measurement, rule: Rule, policy: Policy) -> str:
    """Equivalence: two one-sided tests of the difference to the yardstick."""
    from audits.equivalence import equivalence  # brings scipy: not needed to verify or to list

    if seen.difference is None or seen.standard_error is None or seen.degrees_of_freedom is None:
        return MISSING
    return equivalence(
        seen.difference,
        seen.standard_error,
        seen.degrees_of_freedom,
        *_margins(rule),
        alpha=policy.alpha,
    )


def _margins(rule: Rule) -> tuple[float, float]:
    below = math.inf if rule.below is None else rule.below
    above = math.inf if rule.above is None else rule.above
    return below, above


def _interval(seen: Measurement, alpha: float) -> tuple[float, float] | None:
    from audits.equivalence import interval

    if seen.difference is None or seen.standard_error is None or seen.degrees_of_freedom is None:
        return None
    return interval(seen.difference, seen.standard_error, seen.degrees_of_freedom, alpha=alpha)


def _power(seen: Measurement, rule: Rule, alpha: float) -> tuple[float | None, float | None]:
    """Chances that a retrained model passes and that the original is caught, where known."""
    from audits.equivalence import power_to_accept, power_to_detect

    error, freedom = seen.standard_error, seen.degrees_of_freedom
    if rule.at_most is not None or seen.against != "retrained" or error is None or freedom is None:
        return None, None
    margins = _margins(rule)
    accept = detect = None
    if len(seen.null) > 1:
        accept = power_to_accept(seen.null, error, freedom, *margins, alpha=alpha)
    if seen.original is not None and seen.standard_error_original is not None and seen.null:
        detect = power_to_detect(
            seen.original,
            seen.null,
            seen.standard_error_original,
            freedom,
            *margins,
            alpha=alpha,
        )
    return accept, detect


def _too_few(seen: Measurement, policy: Policy) -> str:
    """What the policy's minimum of samples lacks here; empty where it is met."""
    short = [
        f"{seen.sizes[kind]} samples of {kind}, the policy asks for {least}"
        for kind, least in policy.minimum_samples.items()
        if seen.sizes.get(kind, least) < least
    ]
    return f"Too few to tell: {'; '.join(short)}. Bring more, or pool classes." if short else ""
