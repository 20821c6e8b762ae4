"""Controls: what each must come out as, and by which rows it is judged."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from audits.finding import Finding
from compliance.documents.policy import Policy
from compliance.verdict import Control, judge
from compliance.verdict.controls import judge_control

INSIDE = ("linear_probe", "few_shot", "head_refit")


def near(example: ModuleType, **changes: Any) -> Policy:
    return Policy.model_validate(example.policy().model_dump(mode="json") | changes)


def blind_inside(example: ModuleType, kind: str) -> list[Finding]:
    """The model by its outputs, an honest one by what is inside."""
    outputs = {f.audit: f for f in example.findings(kind)}
    inner = {f.audit: f for f in example.findings() if f.audit in INSIDE}
    return [*(outputs | inner).values()]


@pytest.mark.parametrize("name", ["original", "random_direction"])
def test_a_control_that_only_its_accuracy_fails_decides_nothing(
    example: ModuleType, name: str
) -> None:
    """The audits of the inside have to see it: outputs fail the original in any case."""
    controls, rules = example.controls(), near(example, kinds=["few_labels"])
    assert judge(example.findings(), controls, rules).result == "PASSED"
    planted = controls | {name: blind_inside(example, name)}
    verdict = judge(example.findings(), planted, rules)
    assert verdict.result == "INCONCLUSIVE"
    assert f"Control {name} came out PASSED" in verdict.reasons[0]
    # a policy of before that names no kinds judges as it did
    assert judge(example.findings(), planted, example.policy()).result == "PASSED"


def test_at_l1_controls_are_judged_by_outputs(example: ModuleType) -> None:
    rules = near(
        example,
        assurance="L1",
        rules=[{"measurement": "accuracy.forget_*", "at_most": 0.05, "required": True}],
    )
    assert judge_control("original", example.findings("original"), rules).result == "FAILED"


@pytest.mark.parametrize(("value", "as_expected"), [(0.56, False), (0.75, True), (0.92, True)])
def test_what_holds_more_than_the_margin_must_not_pass(
    example: ModuleType, value: float, as_expected: bool
) -> None:
    rules = near(example, near_margin=0.6)
    findings = example.findings(few_shot__1_at_penultimate=value)
    verdict = judge(example.findings(), example.controls() | {"near_margin": findings}, rules)
    (control,) = [c for c in verdict.controls if c.name == "near_margin"]
    assert (control.expected, control.as_expected) == ("NOT_PASSED", as_expected)
    assert verdict.result == ("PASSED" if as_expected else "INCONCLUSIVE")
    if not as_expected:
        assert "holds more of the class than the margins allow" in verdict.reasons[0]


@pytest.mark.parametrize(("value", "as_expected"), [(0.56, False), (0.75, True), (0.92, True)])
def test_a_random_edit_must_not_pass_and_need_not_fail(
    example: ModuleType, value: float, as_expected: bool
) -> None:
    """It may break half of what is known of the class by chance."""
    findings = example.findings(few_shot__1_at_penultimate=value)
    control = judge_control("random_direction", findings, near(example, kinds=["few_labels"]))
    assert (control.expected, control.as_expected) == ("NOT_PASSED", as_expected)


def test_a_policy_that_asks_for_it_misses_the_control_near_the_margin(example: ModuleType) -> None:
    rules = near(example, near_margin=0.6)
    verdict = judge(example.findings(), example.controls(), rules)
    assert verdict.result == "INCONCLUSIVE"
    assert "Controls are missing: near_margin" in verdict.reasons[0]
    why = {"near_margin": "No blend holds 0.60 of what the original knows."}
    verdict = judge(example.findings(), example.controls(), rules, impossible=why)
    assert verdict.result == "INCONCLUSIVE"
    assert "could not be built. No blend holds" in verdict.reasons[0]


def test_nobody_is_told_to_widen_margins(example: ModuleType) -> None:
    controls = example.controls()
    for index in range(5):
        controls[f"reference_{index}"] = example.findings(few_shot__1_at_penultimate=0.75)
    verdict = judge(example.findings(), controls, example.policy())
    assert not any("widen" in line or "narrow" in line for line in verdict.reasons)


def test_a_control_is_written_with_what_it_must_come_out_as() -> None:
    control = Control(name="near_margin", expected="NOT_PASSED", result="INCONCLUSIVE", rows=())
    assert control.to_json()["asExpected"]
    assert control.to_json()["expected"] == "NOT_PASSED"
