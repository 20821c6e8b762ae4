"""Models whose right answer is known, before the same audits as the candidate. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audits.finding import Finding
from compliance.documents.policy import LEAST_REFERENCES, Policy
from compliance.verdict.assurance import FAILED, PASSED, result_of
from compliance.verdict.judged_row import OUTSIDE, JudgedRow
from compliance.verdict.judging import judge_rows

MUST_FAIL = ("original", "output_retired", "head_refitted", "random_direction")
NEAR_MARGIN, RANDOM = "near_margin", "random_direction"
"""Models that must not pass: one that holds a little more than the margins allow, and a random
edit, which may break any part of what the original knows and forgets nothing on purpose."""
NOT_PASSED = "NOT_PASSED"
MUST_PASS = "reference_"  # noqa: S105 - a prefix of names of controls


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A model whose right answer is known, before the same audits.

    Attributes:
        name: "original", "reference_0" and so on.
        expected: "FAILED", "NOT_PASSED" or "PASSED".
        result: What the rules say about it.
        rows: The judged rows.
    """

    name: str
    expected: str
    result: str
    rows: tuple[JudgedRow, ...]

    @property
    def as_expected(self) -> bool:
        """A model that must fail came out FAILED; one that must not pass did not.

        A retrained model must not fail: undecided is no misbehaviour of one.
        """
        if self.expected == NOT_PASSED:
            return self.result != PASSED
        return self.result == FAILED if self.expected == FAILED else self.result != FAILED

    def to_json(self) -> dict[str, Any]:
        """The control as the statement holds it."""
        return {
            "name": self.name,
            "expected": self.expected,
            "found": self.result,
            "asExpected": self.as_expected,
            "rows": [row.to_json() for row in self.rows],
        }


def judge_control(name: str, findings: Sequence[Finding], policy: Policy) -> Control:
    """One control, judged by the same rules as the candidate.

    By a policy that names kinds of readers, what holds the class is judged by the rows on the
    inside of the network alone: the original fails by its accuracy whatever the audits of the
    inside can see. A random edit may break half of what is known of the class by chance: undecided
    is a right answer to it there. By others, which were written before there
    were kinds, or which look at outputs only, by all rows.
    """
    rows = tuple(judge_rows(findings, policy))
    if name.startswith(MUST_PASS):
        return Control(name=name, expected=PASSED, result=result_of(rows), rows=rows)
    inside = [row for row in rows if row.rule is not None and row.rule.deep]
    by_inside = bool(policy.kinds) and policy.assurance != "L1"
    judged = inside if by_inside else rows
    undecided = name == NEAR_MARGIN or (by_inside and name == RANDOM)
    expected = NOT_PASSED if undecided else FAILED
    return Control(name=name, expected=expected, result=result_of(judged), rows=rows)


def misbehaviour(
    controls: Sequence[Control], policy: Policy, impossible: Mapping[str, str]
) -> Iterator[str]:
    """Controls that came out wrong, that could not be built, and that are not there."""
    for control in controls:
        if not control.as_expected:
            yield _misbehaved(control)
    names = {control.name for control in controls}
    wanted = (*MUST_FAIL, NEAR_MARGIN) if policy.near_margin else MUST_FAIL
    absent = [name for name in wanted if name not in names and name not in impossible]
    for name, reason in impossible.items():
        yield f"Control {name} could not be built. {reason}"
    references = sum(control.expected == PASSED for control in controls)
    if policy.assurance == "L3" and references < LEAST_REFERENCES:
        absent.append("retrained references judged by the others")
    if absent:
        yield f"Controls are missing: {', '.join(absent)}. Run them."


def _misbehaved(control: Control) -> str:
    """A control that did not come out as it must."""
    must = {PASSED: "not come out FAILED", NOT_PASSED: "not come out PASSED"}
    if control.expected == PASSED:
        wrong = ", ".join(r.name for r in control.rows if r.required and r.outcome == OUTSIDE)
        why = f"the audits fail a model that never saw the class ({wrong})"
    elif control.expected == NOT_PASSED:
        why = "the audits pass a model that holds more of the class than the margins allow"
    else:
        why = "the audits of the inside missed retained knowledge in this control"
    return (
        f"Control {control.name} came out {control.result}, it must "
        f"{must.get(control.expected, 'come out FAILED')}: {why}, so these figures decide nothing."
    )
