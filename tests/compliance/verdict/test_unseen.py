"""Verdicts without retrained models: classes that nobody was trained on are the baseline."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from audits.finding import Figure, Finding
from compliance.documents.policy import Policy, Rule, load_policy
from compliance.verdict import Verdict, judge, judge_row
from compliance.verdict.judging import resolved

RULE = Rule(measurement="linear_probe.dprime@penultimate", remainder=0.5, required=True)
NULL = (1.9, 2.0, 2.1, 2.0, 1.95, 2.05, 2.0, 2.0)
SHIFT = 1.5
"""By which the edit lowered the readability of every class, learned or not."""


def apart(value: float, *, null_original: tuple[float, ...] = (), count: int = 8) -> Figure:
    null = NULL[:count]
    return Figure(
        name="linear_probe.dprime@penultimate",
        label="d'",
        value=value,
        interval=(value - 0.1, value + 0.1),
        null=null,
        original=7.5,
        difference=value - sum(null) / len(null),
        standard_error=0.1,
        degrees_of_freedom=7.0,
        against="unseen",
        sizes={"forget_test": 300, "unseen_classes": count},
        standard_error_original=0.1,
        null_original=null_original,
    )


def policy(**changes: Any) -> Policy:
    return Policy(name="p", assurance="L2", references=0, rules=(RULE,), **changes)


def test_the_gap_is_taken_on_the_original_by_classes_measured_on_it() -> None:
    """7.5 to 3.5 on the original, not to the 2.0 that the edit has made of all classes."""
    both = apart(2.0, null_original=tuple(x + SHIFT for x in NULL))
    assert resolved(RULE, both) == pytest.approx((float("inf"), 0.5 * (7.5 - 3.5)))
    assert resolved(RULE, apart(2.0)) == pytest.approx((float("inf"), 0.5 * (7.5 - 2.0)))


def test_what_an_edit_did_to_all_classes_alike_hides_no_remainder() -> None:
    """At 4.4 a class keeps 2.4 of 4.0; by the candidate alone it would be 2.4 of 5.5."""
    both = apart(4.4, null_original=tuple(x + SHIFT for x in NULL))
    assert judge_row("linear_probe", both, policy()).outcome == "outside"
    assert judge_row("linear_probe", apart(4.4), policy()).outcome == "within"
    honest = apart(2.1, null_original=tuple(x + SHIFT for x in NULL))
    assert judge_row("linear_probe", honest, policy()).outcome == "within"


def findings(example: ModuleType, kind: str = "edited", **parameters: Any) -> list[Finding]:
    return [
        replace(
            f,
            measurements=tuple(replace(m, against="unseen") for m in f.measurements),
            parameters={**f.parameters, **parameters},
        )
        for f in example.findings(kind)
    ]


def judged(example: ModuleType, **how: Any) -> Verdict:
    asked = how.pop("unseen_classes", 0)
    content = example.policy().model_dump(mode="json") | {
        "assurance": "L2",
        "references": 0,
        "unseen_classes": asked,
    }
    names = [name for name in example.controls() if not name.startswith("reference_")]
    controls = {name: findings(example, name) for name in names}
    return judge(findings(example, **how), controls, Policy.model_validate(content))


def test_within_the_unseen_classes_band_passes_and_speaks_of_no_retrained_model(
    example: ModuleType,
) -> None:
    verdict = judged(example)
    assert (verdict.result, verdict.assurance) == ("PASSED", "L2"), verdict.reasons
    assert "around 5 classes that this model was never trained on" in verdict.claim
    assert "retrained" not in verdict.claim


def test_fewer_unseen_classes_than_the_policy_asks_for_are_inconclusive(
    example: ModuleType,
) -> None:
    verdict = judged(example, unseen_classes=8)
    assert verdict.result == "INCONCLUSIVE"
    assert any("5 unseen classes are the baseline" in reason for reason in verdict.reasons)
    assert any("asks for 8: give more classes" in reason for reason in verdict.reasons)
    assert judged(example, unseen_classes=5).result == "PASSED"


def test_a_class_that_is_not_of_the_unseen_ones_kind_is_inconclusive(example: ModuleType) -> None:
    comparable = {"unseen": {"depth": "conv2", "unlike": []}}
    assert judged(example, **comparable).result == "PASSED"
    verdict = judged(example, unseen={"depth": "conv2", "unlike": [3]})
    assert verdict.result == "INCONCLUSIVE"
    assert verdict.reasons[0].startswith("Class 3 is not of the unseen classes' kind")
    assert "give unseen classes that resemble it" in verdict.reasons[0]


def test_what_the_audits_do_not_show_is_among_the_limits_once(example: ModuleType) -> None:
    line = "8 or more unseen classes are recommended."
    verdict = judged(example, limits=[line])
    assert verdict.limits.count(line) == 1


def test_without_any_unseen_class_the_message_says_what_to_give() -> None:
    alone = replace(apart(2.0), null=(), difference=None, against="none")
    row = judge_row("linear_probe", alone, policy(unseen_classes=8))
    assert row.outcome == "not_run"
    assert row.reason == "There is nothing to compare with: give unseen classes, at least 8."


def test_the_shipped_policy_asks_for_eight() -> None:
    assert load_policy("l2-v2").unseen_classes == 8
