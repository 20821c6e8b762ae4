"""The verdict: what findings, controls and policy say together. Pure: no file, no clock.

The candidate by the policy's rules: FAILED where a required measurement lies outside its margin;
else INCONCLUSIVE where one is undecided or missing; else PASSED.

The controls by the same rules. A model that must fail must come out FAILED: a bench that cannot
fail the original cannot pass anybody. A retrained model, judged by the others, must not come out
FAILED: it forgot by never knowing. INCONCLUSIVE is no misbehaviour there: with one reference less
its intervals are wider than the candidate's, so undecided rows say that references are few, not
that the bench is wrong. Any control that misbehaves, or is missing, makes the event INCONCLUSIVE
whatever the candidate's figures are.

A PASSED needs more: at least one retrained model that came out PASSED (a bench that cannot pass an
honest model has no pass to give), the level of assurance and the sample sizes that the policy asks
for, and, where the policy says so, no copy of the old weights whose fate nobody knows.

Wording is bounded: evidence against the attacks listed, at this power. Never more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audits.finding import Finding
from compliance import wording
from compliance.judging import judge_rows
from compliance.policy import LEAST_REFERENCES, Policy
from compliance.rows import MISSING, OUTSIDE, UNDECIDED, WITHIN, JudgedRow

PASSED, FAILED, INCONCLUSIVE = "PASSED", "FAILED", "INCONCLUSIVE"

MUST_FAIL = ("original", "output_retired", "head_refitted", "random_direction")
MUST_PASS = "reference_"  # noqa: S105 - a prefix of names of controls

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A model of known nature before the same bench.

    Attributes:
        name: "original", "reference_0" and so on.
        expected: "FAILED" or "PASSED".
        found: What the rules say about it.
        rows: The judged rows.
    """

    name: str
    expected: str
    found: str
    rows: tuple[JudgedRow, ...]

    @property
    def as_expected(self) -> bool:
        """See the head of this module."""
        return self.found == FAILED if self.expected == FAILED else self.found != FAILED

    def to_json(self) -> Json:
        """The control as the statement holds it."""
        return {
            "name": self.name,
            "expected": self.expected,
            "found": self.found,
            "asExpected": self.as_expected,
            "rows": [row.to_json() for row in self.rows],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was concluded, why, and within which limits.

    Attributes:
        result: "PASSED", "FAILED" or "INCONCLUSIVE".
        assurance: The level that the evidence reaches, at most the policy's.
        claim: One bounded sentence.
        reasons: Why the result is not PASSED, in plain words; empty where it is.
        limits: What the result does not say.
        rows: The candidate's judged rows.
        controls: The judged controls.
    """

    result: str
    assurance: str
    claim: str
    reasons: tuple[str, ...]
    limits: tuple[str, ...]
    rows: tuple[JudgedRow, ...]
    controls: tuple[Control, ...]

    def to_json(self) -> Json:
        """The statement's `verdict`."""
        return {
            "result": self.result,
            "assurance": self.assurance,
            "claim": self.claim,
            "reasons": list(self.reasons),
            "limits": list(self.limits),
        }

    def audits_json(self) -> list[Json]:
        """The statement's `audits`."""
        return [row.to_json() for row in self.rows]

    def controls_json(self) -> list[Json]:
        """The statement's `controls`."""
        return [control.to_json() for control in self.controls]


def judge(
    findings: Sequence[Finding],
    controls: Mapping[str, Sequence[Finding]],
    policy: Policy,
    *,
    propagation: Sequence[Mapping[str, Any]] = (),
) -> Verdict:
    """The verdict on a candidate.

    Args:
        findings: What the audits found on the candidate.
        controls: What they found on each control: the names of `MUST_FAIL`, and "reference_0" ...
        policy: The registered policy.
        propagation: Artefacts derived from the old weights, as the statement lists them; one of
            status UNKNOWN caps the verdict where the policy says so.
    """
    rows = judge_rows(findings, policy)
    judged = [_control(name, found, policy) for name, found in controls.items()]
    broken = list(_misbehaviour(judged, policy))
    doubts = [
        *_doubts_about_references(judged),
        *_doubts_about_level(rows, policy),
        *_doubts_about_samples(rows, policy),
        *_doubts_about_copies(propagation, policy),
    ]
    by_rules = result_of(rows)
    result = INCONCLUSIVE if broken or (doubts and by_rules == PASSED) else by_rules
    return Verdict(
        result=result,
        assurance=min(policy.assurance, reached(rows)),
        claim=wording.claim(result, rows, policy),
        reasons=(*broken, *doubts, *wording.reasons(rows)),
        limits=tuple(wording.limits(rows, policy)),
        rows=tuple(rows),
        controls=tuple(judged),
    )


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
    seen = [row.measurement for row in deep if row.measurement is not None]
    if not seen or len(seen) < len(deep):
        return "L1"
    enough = all(len(measurement.null) >= LEAST_REFERENCES for measurement in seen)
    return "L3" if enough else "L2"


def _control(name: str, findings: Sequence[Finding], policy: Policy) -> Control:
    rows = tuple(judge_rows(findings, policy))
    expected = PASSED if name.startswith(MUST_PASS) else FAILED
    return Control(name=name, expected=expected, found=result_of(rows), rows=rows)


def _misbehaviour(controls: Sequence[Control], policy: Policy) -> Iterator[str]:
    """Controls that came out wrong, and controls that are not there."""
    for control in controls:
        if not control.as_expected:
            yield wording.misbehaved(control)
    names = {control.name for control in controls}
    absent = [name for name in MUST_FAIL if name not in names]
    references = sum(control.expected == PASSED for control in controls)
    if policy.assurance == "L3" and references < LEAST_REFERENCES:
        absent.append("retrained references judged by the others")
    if absent:
        yield f"Controls are missing: {', '.join(absent)}. Run them."


def _doubts_about_references(controls: Sequence[Control]) -> Iterator[str]:
    found = [control.found for control in controls if control.expected == PASSED]
    if found and PASSED not in found:
        yield (
            "No retrained model came out PASSED by these rules, so that a pass would say nothing: "
            "bring more samples or references, or widen the margins."
        )


def _doubts_about_level(rows: Sequence[JudgedRow], policy: Policy) -> Iterator[str]:
    if policy.assurance == "L1":
        yield (
            "L1 looks at outputs only, and a suppressed last layer looks the same there: a class "
            "erasure needs audits of the representation (L2 or L3)."
        )
    elif reached(rows) < policy.assurance:
        yield (
            f"The policy asks for {policy.assurance}, the evidence reaches {reached(rows)}: audits "
            "of the representation or retrained references are missing."
        )


def _doubts_about_samples(rows: Sequence[JudgedRow], policy: Policy) -> Iterator[str]:
    counted = {kind for row in rows if row.measurement for kind in row.measurement.sizes}
    for kind, least in policy.minimum_samples.items():
        if kind not in counted:
            yield f"No audit says how many samples of {kind} it had; the policy asks for {least}."


def _doubts_about_copies(propagation: Sequence[Mapping[str, Any]], policy: Policy) -> Iterator[str]:
    if policy.unknown_artefacts == "inconclusive":
        for artefact in propagation:
            if artefact["status"] == "UNKNOWN":
                yield (
                    f"Nobody knows what became of {artefact['artefact']}, made from the old "
                    "weights: find out, and record it."
                )


__all__ = [
    "FAILED",
    "INCONCLUSIVE",
    "MISSING",
    "MUST_FAIL",
    "PASSED",
    "UNDECIDED",
    "Control",
    "Verdict",
    "judge",
    "judge_rows",
    "reached",
    "result_of",
]
