"""The verdict: a table of cases, each with what must come out and the words for it."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from audits.finding import Finding, not_run
from compliance.documents.policy import Policy
from compliance.verdict import Verdict, judge, judge_rows, reached


def with_policy(example: ModuleType, **changes: Any) -> Policy:
    return Policy.model_validate(example.policy().model_dump(mode="json") | changes)


def without(findings: list[Finding], audit: str) -> list[Finding]:
    return [finding for finding in findings if finding.audit != audit]


def stopped(findings: list[Finding], audit: str, reason: str) -> list[Finding]:
    gap = not_run(audit, "?", reason, seed=1)
    return [gap if finding.audit == audit else finding for finding in findings]


def judged(example: ModuleType, **values: float) -> Verdict:
    return judge(example.findings(**values), example.controls(), example.policy())


def test_an_edit_within_every_margin_passes(example: ModuleType) -> None:
    verdict = example.verdict()
    assert (verdict.result, verdict.assurance, verdict.reasons) == ("PASSED", "L3", ())
    assert "evidence against the attacks listed, at this power" in verdict.claim
    assert all(control.as_expected for control in verdict.controls)


@pytest.mark.parametrize("word", ["anonym", "compliant", "safe", "proof", "proven", "guarantee"])
def test_the_claim_is_bounded(example: ModuleType, word: str) -> None:
    for verdict in (example.verdict(), judged(example, few_shot__1_at_penultimate=0.92)):
        assert word not in " ".join([verdict.claim, *verdict.reasons]).lower()


def test_knowledge_left_inside_the_network_fails(example: ModuleType) -> None:
    verdict = judged(example, few_shot__1_at_penultimate=0.92)
    assert verdict.result == "FAILED"
    reason = verdict.reasons[0]
    assert "few_shot.1@penultimate" in reason
    assert "0.920" in reason
    assert "the retrained mean is 0.560" in reason
    assert "the margin -0.3 to +0.22" in reason


def test_against_unseen_classes_no_reason_speaks_of_retrained_models(example: ModuleType) -> None:
    apart = [
        replace(f, measurements=tuple(replace(m, against="unseen") for m in f.measurements))
        for f in example.findings(few_shot__1_at_penultimate=0.92)
    ]
    reasons = " ".join(judge(apart, example.controls(), example.policy()).reasons)
    assert "the unseen classes' mean is 0.560" in reasons
    assert "retrained mean" not in reasons


def test_forgetting_too_much_fails_as_well(example: ModuleType) -> None:
    assert judged(example, linear_probe__dprime_at_penultimate=0.5).result == "FAILED"


def test_a_figure_on_the_edge_of_its_margin_is_inconclusive(example: ModuleType) -> None:
    verdict = judged(example, few_shot__1_at_penultimate=0.75)
    assert verdict.result == "INCONCLUSIVE"
    assert "cannot be distinguished from the edge" in verdict.reasons[0]
    assert verdict.claim.startswith("No claim is made")


def test_one_failure_outweighs_what_is_undecided(example: ModuleType) -> None:
    verdict = judged(
        example, few_shot__1_at_penultimate=0.75, linear_probe__dprime_at_penultimate=6.5
    )
    assert verdict.result == "FAILED"
    assert "linear_probe.dprime@penultimate" in verdict.reasons[0]


def test_a_required_audit_that_did_not_run_is_inconclusive(example: ModuleType) -> None:
    findings = stopped(example.findings(), "membership", "Nine held-out images: bring 20.")
    verdict = judge(findings, example.controls(), example.policy())
    assert verdict.result == "INCONCLUSIVE"
    assert any("Nine held-out images" in reason for reason in verdict.reasons)


def test_a_required_measurement_that_is_missing_is_inconclusive(example: ModuleType) -> None:
    findings = without(example.findings(), "head_refit")
    verdict = judge(findings, example.controls(), example.policy())
    assert verdict.result == "INCONCLUSIVE"
    assert any("head_refit.forget is required" in reason for reason in verdict.reasons)


def test_a_measurement_left_out_is_told_with_its_reason(example: ModuleType) -> None:
    rows = [
        replace(
            finding,
            measurements=(),
            parameters={"left_out": {"head_refit.forget": "no ten images a class"}},
        )
        if finding.audit == "head_refit"
        else finding
        for finding in example.findings()
    ]
    (row,) = [r for r in judge_rows(rows, example.policy()) if r.name == "head_refit.forget"]
    assert row.outcome == "not_run"
    assert row.reason == "no ten images a class"


def test_no_finding_at_all_never_passes(example: ModuleType) -> None:
    verdict = judge([], example.controls(), example.policy())
    assert verdict.result == "INCONCLUSIVE"
    assert verdict.assurance == "L1"


@pytest.mark.parametrize(
    "name", ["original", "output_retired", "head_refitted", "random_direction"]
)
def test_a_model_that_must_fail_and_passes_decides_nothing(example: ModuleType, name: str) -> None:
    for values in ({}, {"few_shot__1_at_penultimate": 0.92}):
        controls = example.controls() | {name: example.findings()}
        verdict = judge(example.findings(**values), controls, example.policy())
        assert verdict.result == "INCONCLUSIVE"
        assert f"Control {name} came out PASSED" in verdict.reasons[0]


def test_a_model_that_must_fail_and_is_undecided_decides_nothing(example: ModuleType) -> None:
    controls = example.controls()
    controls["head_refitted"] = example.findings(few_shot__1_at_penultimate=0.75)
    assert judge(example.findings(), controls, example.policy()).result == "INCONCLUSIVE"


def test_a_retrained_model_that_fails_decides_nothing(example: ModuleType) -> None:
    controls = example.controls() | {"reference_3": example.findings("original")}
    verdict = judge(example.findings(), controls, example.policy())
    assert verdict.result == "INCONCLUSIVE"
    assert "never saw the class" in verdict.reasons[0]


def test_a_retrained_model_that_is_undecided_is_no_misbehaviour(example: ModuleType) -> None:
    controls = example.controls()
    controls["reference_3"] = example.findings(few_shot__1_at_penultimate=0.75)
    verdict = judge(example.findings(), controls, example.policy())
    assert verdict.result == "PASSED"
    (control,) = [c for c in verdict.controls if c.name == "reference_3"]
    assert (control.result, control.as_expected) == ("INCONCLUSIVE", True)


@pytest.mark.parametrize(
    ("undecided", "result"),
    [(5, "INCONCLUSIVE"), (3, "INCONCLUSIVE"), (2, "PASSED"), (0, "PASSED")],
)
def test_half_of_the_retrained_models_must_pass(
    example: ModuleType, undecided: int, result: str
) -> None:
    controls = example.controls()
    for index in range(undecided):
        controls[f"reference_{index}"] = example.findings(few_shot__1_at_penultimate=0.75)
    verdict = judge(example.findings(), controls, example.policy())
    assert verdict.result == result
    if result == "INCONCLUSIVE":
        assert f"{5 - undecided} of 5 retrained models pass by these rules" in verdict.reasons[0]
        assert "bring more held-out images or references" in verdict.reasons[0]
    else:
        text = f"failed none of 5 retrained models and passed {5 - undecided}"
        assert text in verdict.claim


@pytest.mark.parametrize("name", ["original", "head_refitted"])
def test_a_missing_control_decides_nothing(example: ModuleType, name: str) -> None:
    controls = {k: v for k, v in example.controls().items() if k != name}
    verdict = judge(example.findings(), controls, example.policy())
    assert verdict.result == "INCONCLUSIVE"
    assert f"Controls are missing: {name}" in verdict.reasons[0]


def test_missing_references_decide_nothing_at_l3(example: ModuleType) -> None:
    controls = {k: v for k, v in example.controls().items() if not k.startswith("reference")}
    assert judge(example.findings(), controls, example.policy()).result == "INCONCLUSIVE"


def _as_wide(example: ModuleType, width: float) -> Policy:
    """The policy with margins of the inside so wide that the original itself fits in."""
    rules = example.policy().model_dump(mode="json")["rules"]
    for rule in rules:
        if rule["measurement"].startswith(("few_shot", "linear_probe", "head_refit")):
            rule["below"], rule["above"] = width, width
    return with_policy(example, rules=rules)


def test_margins_with_room_for_the_original_pass_nobody(example: ModuleType) -> None:
    """Even where the controls are failed by other rows: the inside could not have told."""
    wide = _as_wide(example, 9.0)
    verdict = judge(example.findings(), example.controls(), wide)
    assert verdict.result == "INCONCLUSIVE"
    assert any("room for the original itself" in reason for reason in verdict.reasons)
    assert all(row.outcome == "within" for row in verdict.rows if row.required)


def test_one_narrow_row_of_the_inside_is_enough_to_be_no_hollow_pass(example: ModuleType) -> None:
    rules = _as_wide(example, 9.0).model_dump(mode="json")["rules"]
    (probe,) = [r for r in rules if r["measurement"] == "linear_probe.dprime@penultimate"]
    probe["above"] = 1.0
    verdict = judge(example.findings(), example.controls(), with_policy(example, rules=rules))
    assert not any("room for the original" in reason for reason in verdict.reasons)


def test_outputs_alone_never_pass_a_class_erasure(example: ModuleType) -> None:
    rules = [
        {"measurement": "accuracy.forget_*", "at_most": 0.05, "required": True},
        {"measurement": "accuracy.retain", "below": 0.02, "above": 1.0, "required": True},
    ]
    policy = with_policy(example, assurance="L1", rules=rules)
    verdict = judge(example.findings(), example.controls(), policy)
    assert (verdict.result, verdict.assurance) == ("INCONCLUSIVE", "L1")
    assert any("L1 looks at outputs only" in reason for reason in verdict.reasons)


def test_two_references_are_no_l3(example: ModuleType) -> None:
    rows = [
        replace(f, measurements=tuple(replace(m, null=m.null[:2]) for m in f.measurements))
        for f in example.findings()
    ]
    verdict = judge(rows, example.controls(), example.policy())
    assert (verdict.result, verdict.assurance) == ("INCONCLUSIVE", "L2")
    assert reached(judge_rows(rows, example.policy())) == "L2"


def test_a_margin_without_a_baseline_was_not_measured(example: ModuleType) -> None:
    rows = [
        replace(
            f,
            measurements=tuple(
                replace(m, null=(), difference=None, standard_error=None, against="none")
                for m in f.measurements
            ),
        )
        for f in example.findings()
    ]
    verdict = judge(rows, example.controls(), example.policy())
    assert verdict.result == "INCONCLUSIVE"
    assert any("nothing to compare with" in reason for reason in verdict.reasons)


def test_too_few_samples_make_a_pass_undecided_but_no_failure_undone(example: ModuleType) -> None:
    policy = with_policy(example, minimum_samples={"forget_test": 100})
    passing = judge(example.findings(), example.controls(), policy)
    failing = judge(example.findings(few_shot__1_at_penultimate=0.99), example.controls(), policy)
    assert passing.result == "INCONCLUSIVE"
    assert any("90 samples of forget_test" in reason for reason in passing.reasons)
    assert failing.result == "FAILED"


def test_a_count_that_nobody_tells_is_a_doubt(example: ModuleType) -> None:
    policy = with_policy(example, minimum_samples={"shadow_models": 8})
    verdict = judge(example.findings(), example.controls(), policy)
    assert verdict.result == "INCONCLUSIVE"
    assert any("shadow_models" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("stance", "result"), [("report", "PASSED"), ("inconclusive", "INCONCLUSIVE")]
)
def test_unknown_copies_cap_the_verdict_where_the_policy_says_so(
    example: ModuleType, stance: str, result: str
) -> None:
    copies = [{"artefact": "an export", "location": "?", "status": "UNKNOWN", "note": ""}]
    policy = with_policy(example, unknown_artefacts=stance)
    verdict = judge(example.findings(), example.controls(), policy, propagation=copies)
    assert verdict.result == result


def test_a_measurement_without_power_is_named_among_the_limits(example: ModuleType) -> None:
    limits = "\n".join(example.verdict().limits)
    assert "membership.forget.loss has no power here" in limits
    assert "few_shot.1@penultimate has no power" not in limits
    assert "accuracy.retain has no power" not in limits  # the original is no case to be caught


def test_audits_nobody_asked_for_are_shown_and_decide_nothing(example: ModuleType) -> None:
    rows = {row.name: row for row in judge_rows(example.with_gap(), example.policy())}
    assert rows["utility.ece"].outcome == "informational"
    assert rows["relearning"].outcome == "not_run"
    assert not rows["relearning"].required
    assert any("No shadow model" in limit for limit in example.verdict().limits)


def test_a_rule_that_is_not_required_is_judged_and_decides_nothing(example: ModuleType) -> None:
    verdict = judged(example, routing__js=0.6)
    (row,) = [row for row in verdict.rows if row.name == "routing.js"]
    assert (row.outcome, row.required, verdict.result) == ("outside", False, "PASSED")


@pytest.mark.parametrize(
    ("value", "high", "outcome"),
    [(0.0, 0.04, "within"), (0.04, 0.1, "undecided"), (0.5, 0.6, "outside")],
)
def test_a_limit_looks_at_the_interval_of_the_value(
    example: ModuleType, value: float, high: float, outcome: str
) -> None:
    figure = example.share("accuracy.forget_before_retiring", value, high)
    rows = [Finding(audit="accuracy", question="?", status="RUN", measurements=(figure,))]
    assert judge_rows(rows, example.policy())[0].outcome == outcome


def test_judging_is_pure(example: ModuleType) -> None:
    assert example.verdict() == example.verdict()
