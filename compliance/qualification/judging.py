"""The verdict on an event under a qualification: no retrained model of this class stands behind it.

The policy's own rules judge what needs no baseline: accuracy, utility, what the file holds. What is
still readable of the class is held against the thresholds that the study has set. Where anything is
not as it was qualified nothing is decided, whatever the figures are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from audits.finding import Figure, Finding
from compliance.documents.policy import Policy, Rule
from compliance.formats.errors import FindingsError
from compliance.qualification import kept
from compliance.qualification.thresholds import FAILED, INCONCLUSIVE, PASSED
from compliance.verdict import (
    MUST_FAIL,
    Control,
    JudgedRow,
    Verdict,
    blockers,
    judge_rows,
    result_of,
    wording,
)

if TYPE_CHECKING:
    from compliance.qualification.qualification import Qualification
    from compliance.qualification.thresholds import Thresholds

AUDIT = "qualification"
RANDOM = "random_direction"
NOT_PASSED = "NOT_PASSED"
OUTCOMES = {PASSED: "within", FAILED: "outside", INCONCLUSIVE: "undecided"}
UNREAD = "It could not be read, so that nothing is decided."


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The qualification of an event, and what of the event it does not cover.

    Attributes:
        qualification: Its content.
        digest: SHA-256 of its signed bytes.
        edits: That the model had seen under it before.
        problems: Why the event is not covered, in sentences; empty where it is.
        cost_of_l3: What an audit against retrained models would take, in words.
    """

    qualification: Qualification
    digest: str
    edits: int | None
    problems: tuple[str, ...]
    cost_of_l3: str


def judge(
    findings: Sequence[Finding],
    controls: Mapping[str, Sequence[Finding]],
    policy: Policy,
    standing: Standing,
    *,
    propagation: Sequence[Mapping[str, Any]] = (),
    impossible: Mapping[str, str] = MappingProxyType({}),
) -> Verdict:
    """The verdict on a candidate.

    Args:
        findings: On the candidate.
        controls: On the models that must fail.
        policy: The event's, at the level of its attempt.
        standing: Of its qualification.
        propagation: As `compliance.verdict.judge` takes it.
        impossible: Controls that could not be made, with the reason of each.
    """
    thresholds = standing.qualification.outcome.thresholds
    rows = [*judge_rows(findings, policy), kept_row(findings, thresholds)]
    judged = [_control(name, own, policy, thresholds) for name, own in controls.items()]
    broken = [*_misbehaved(judged), *_missing(judged, impossible)]
    copies = list(blockers.about_copies(propagation, policy))
    by_rules = result_of(rows)
    uncovered = [*standing.problems, *broken]
    blocked = by_rules == PASSED and bool(copies)
    result = INCONCLUSIVE if uncovered or blocked else by_rules
    return Verdict(
        result=result,
        assurance="L2",
        claim=_claim(result, rows, policy, standing),
        reasons=(
            *uncovered,
            *copies,
            *wording.reasons(rows),
            *([_next(standing)] if result == INCONCLUSIVE else []),
        ),
        limits=tuple(dict.fromkeys([*wording.limits(rows, policy), *limits(standing)])),
        rows=tuple(rows),
        controls=tuple(judged),
    )


def kept_row(findings: Sequence[Finding], thresholds: Thresholds | None) -> JudgedRow:
    """What is kept of the class, held against the thresholds."""
    try:
        share = kept.share(findings)
    except FindingsError as error:
        return JudgedRow(
            audit=AUDIT,
            name=kept.NAME,
            rule=Rule(measurement=kept.NAME, at_most=1.0, required=True),
            outcome="not_run",
            reason=str(error),
        )
    figure = Figure(
        name=kept.NAME,
        label=kept.LABEL,
        value=share,
        interval=(share, share),
        original=1.0,
        sizes=_sizes(findings),
    )
    if thresholds is None:
        rule = Rule(measurement=kept.NAME, at_most=0.0, required=True)
        return _row(figure, rule, "undecided", "The qualification has no thresholds.", 0.0)
    answer = thresholds.answer(share)
    rule = Rule(measurement=kept.NAME, at_most=thresholds.most, required=True)
    detect = 1.0 if thresholds.answer(1.0) == FAILED else 0.0
    return _row(figure, rule, OUTCOMES[answer], _why(share, thresholds), detect)


def _row(figure: Figure, rule: Rule, outcome: str, reason: str, detect: float) -> JudgedRow:
    return JudgedRow(
        audit=AUDIT,
        name=figure.name,
        measurement=figure,
        rule=rule,
        outcome=outcome,
        reason=reason,
        detect_original=detect,
    )


def _sizes(findings: Sequence[Finding]) -> dict[str, int]:
    """Of the reader with the fewest images."""
    counts = [
        figure.sizes["forget_test"]
        for finding in findings
        for figure in finding.measurements
        if figure.name in kept.READERS and "forget_test" in figure.sizes
    ]
    return {"forget_test": min(counts)} if counts else {}


def _why(share: float, thresholds: Thresholds) -> str:
    return (
        f"Passing shares of the study are {thresholds.least:.3f} to {thresholds.most:.3f}, above "
        f"{thresholds.fails:.3f} a model fails; this one keeps {share:.3f}."
    )


def _control(
    name: str, findings: Sequence[Finding], policy: Policy, thresholds: Thresholds | None
) -> Control:
    """A control by the row on the inside; a random edit by all: it may break any part of it."""
    inside = kept_row(findings, thresholds)
    rows = (*judge_rows(findings, policy), inside)
    if name == RANDOM:
        return Control(name=name, expected=NOT_PASSED, result=result_of(rows), rows=rows)
    return Control(name=name, expected=FAILED, result=result_of([inside]), rows=rows)


def _misbehaved(controls: Sequence[Control]) -> Iterator[str]:
    for control in controls:
        if not control.as_expected:
            yield (
                f"Control {control.name} came out {control.result}: the thresholds of the study "
                "do not fail a model that holds the class, so these figures decide nothing."
            )


def _missing(controls: Sequence[Control], impossible: Mapping[str, str]) -> Iterator[str]:
    yield from (f"Control {name} could not be built. {why}" for name, why in impossible.items())
    names = {control.name for control in controls}
    if absent := [each for each in MUST_FAIL if each not in names and each not in impossible]:
        yield f"Controls are missing: {', '.join(absent)}. Run them."


def _claim(result: str, rows: Sequence[JudgedRow], policy: Policy, standing: Standing) -> str:
    content = standing.qualification
    if result == PASSED:
        return (
            f"PASSED under {content.title} ({standing.digest[:16]}): {content.sentence}; this "
            "class itself was not compared with retrained models. What is still readable of it "
            f"lies within what the study found in models that passed; {_error(standing)} This is "
            f"{wording.BOUND}."
        )
    if result == FAILED:
        out = sum(row.required and row.outcome == "outside" for row in rows)
        return (
            f"In {out} required measurement{'' if out == 1 else 's'} the edited model lies outside "
            f"what {content.title} or policy {policy.name} allows; this class was not compared "
            "with retrained models."
        )
    return (
        f"No claim is made: the event is not covered by {content.title}, or the evidence does not "
        "decide."
    )


def _error(standing: Standing) -> str:
    wrong = standing.qualification.outcome.false_pass
    return (
        f"on classes that had no part in setting the thresholds they passed a model that retrained "
        f"ones fail on {wrong.events} of {wrong.trials} (at most {wrong.at_most:.0%} at 95%)."
    )


def _next(standing: Standing) -> str:
    return (
        f"To decide it, audit the event against retrained models (a policy of level L3): "
        f"{standing.cost_of_l3}. Left INCONCLUSIVE it costs nothing more, and the model does not "
        "go into use."
    )


def limits(standing: Standing) -> Iterator[str]:
    """What such a verdict does not say."""
    content, outcome = standing.qualification, standing.qualification.outcome
    yield (
        f"This class was not compared with retrained models. The verdict rests on {content.title}, "
        f"a study of {outcome.passed.trials} randomly drawn classes of the same model, data, "
        f"ladder of cuts and code, of which {outcome.passed.events} passed (at least "
        f"{outcome.passed.at_least:.0%} of such classes at 95%)."
    )
    yield (
        f"Among the classes of the study, judged by thresholds that the others set: a model that "
        f"retrained ones fail passed on {outcome.false_pass.events} of "
        f"{outcome.false_pass.trials} (at most {outcome.false_pass.at_most:.0%}); a cut that they "
        f"pass was decided on {outcome.decided.events} of {outcome.decided.trials}; on "
        f"{outcome.left_open} a model passed that they leave undecided."
    )
    yield (
        "Errors were counted on kinds of models that somebody thought of. One that hides the class "
        "from these readers passes as it would have in the study."
    )
    yield (
        f"A share of {content.terms.spot_checks:g} of such events is drawn after they are closed "
        "and audited against retrained models later; one that fails suspends the qualification."
    )
