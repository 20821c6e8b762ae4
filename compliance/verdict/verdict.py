"""The verdict: what findings, controls and policy say together. Pure: no file, no clock.

The candidate by the policy's rules: FAILED where a required measurement lies outside its margin;
else INCONCLUSIVE where one is undecided or missing; else PASSED.

The controls by the same rules. A model that must fail must come out FAILED by the rows on the
inside: audits that cannot fail the original there cannot pass anybody. One that holds a little more
than the margins allow must not pass. A retrained model, judged by the others, must not come out
FAILED: it never learned the class. INCONCLUSIVE is no misbehaviour there: with one reference less
its intervals are wider than the candidate's, so undecided rows say that references are few, not
that the audits are wrong. Any control that misbehaves, or is missing, makes the event INCONCLUSIVE
whatever the candidate's figures are.

A PASSED needs more: at least half of the retrained models PASSED (audits that cannot pass honest
models have no pass to give), a measurement that decided of each kind of reader, the level of
assurance and the sample sizes that the policy asks for, and, where the policy says so, no copy of
the old weights whose state is unknown.

Against classes that nobody was trained on nothing is decided where the forgotten class is not of
their kind: it may differ from them by nature, whatever the model remembers.

Wording is bounded: evidence against the attacks listed, at this power. Never more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from audits.finding import Finding
from compliance.documents.policy import Policy
from compliance.verdict import wording
from compliance.verdict.assurance import FAILED, INCONCLUSIVE, PASSED, reached, result_of
from compliance.verdict.blockers import blockers
from compliance.verdict.controls import MUST_FAIL, MUST_PASS, Control, judge_control, misbehaviour
from compliance.verdict.judged_row import JudgedRow
from compliance.verdict.judging import judge_rows

__all__ = [
    "FAILED",
    "INCONCLUSIVE",
    "MUST_FAIL",
    "MUST_PASS",
    "PASSED",
    "Control",
    "Verdict",
    "judge",
    "judge_rows",
    "reached",
    "result_of",
]

Json = dict[str, Any]


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
    impossible: Mapping[str, str] = MappingProxyType({}),
) -> Verdict:
    """The verdict on a candidate.

    Args:
        findings: What the audits found on the candidate.
        controls: What they found on each control: the names of `MUST_FAIL`, and "reference_0" ...
        policy: The registered policy.
        propagation: Artefacts derived from the old weights, as the statement lists them; one of
            status UNKNOWN caps the verdict where the policy says so.
        impossible: Controls that could not be built, with the reason of each.
    """
    rows = judge_rows(findings, policy)
    judged = [judge_control(name, own, policy) for name, own in controls.items()]
    broken = [*misbehaviour(judged, policy, impossible), *unlike(findings)]
    blocking = list(blockers(rows, judged, policy, propagation))
    by_rules = result_of(rows)
    result = INCONCLUSIVE if broken or (blocking and by_rules == PASSED) else by_rules
    return Verdict(
        result=result,
        assurance=min(policy.assurance, reached(rows)),
        claim=wording.claim(result, rows, policy, judged),
        reasons=(*broken, *blocking, *wording.reasons(rows)),
        limits=tuple(dict.fromkeys([*wording.limits(rows, policy), *own_limits(findings)])),
        rows=tuple(rows),
        controls=tuple(judged),
    )


def own_limits(findings: Sequence[Finding]) -> Iterator[str]:
    """What the audits say themselves that they do not show."""
    for finding in findings:
        limits = finding.parameters.get("limits")
        if isinstance(limits, list):
            yield from (str(line) for line in limits)


def unlike(findings: Sequence[Finding]) -> Iterator[str]:
    """Forgotten classes that are not of the unseen classes' kind, where these are the baseline."""
    for finding in findings:
        comparison = finding.parameters.get("unseen")
        classes = comparison.get("unlike") if isinstance(comparison, dict) else None
        if isinstance(classes, list) and classes:
            yield (
                f"Class {', '.join(map(str, classes))} is not of the unseen classes' kind, by how "
                "readable it is at the first inner features of the original: give unseen classes "
                "that resemble it, of the same source, resolution and detail."
            )
            return
