"""What a verdict says of its own chances of error, and of what it could have seen."""

from __future__ import annotations

from types import ModuleType

import pytest

from audits.finding import Figure
from compliance.documents.policy import Policy, Rule, load_policy
from compliance.verdict import judge, judge_row

EVERYWHERE = ("accuracy.*", "weight_provenance.*", "membership.*", "routing.*", "utility.*")


def test_at_most_alpha_is_said_of_margins_that_are_fixed_numbers_alone(
    example: ModuleType,
) -> None:
    (line,) = [x for x in example.verdict().limits if "tests are made at once" in x]
    assert "that is a fixed number passes with a chance of 0.05 at most" in line
    assert "near 0.05" not in line
    content = example.policy().model_dump(mode="json")
    for rule in content["rules"]:
        if rule["measurement"].startswith("few_shot"):
            rule |= {"below": None, "above": None, "remainder": 0.6, "overshoot": 1.5}
    verdict = judge(example.findings(), example.controls(), Policy.model_validate(content))
    (line,) = [x for x in verdict.limits if "tests are made at once" in x]
    assert "there the chances are near 0.05, not bounded by it" in line


@pytest.mark.parametrize(
    "name", ["default-v5", "default-v4", "default-v3", "demo-v3", "default-v2", "demo-v2", "l2-v2"]
)
def test_what_a_class_is_read_by_is_no_number_that_was_set_on_one_data_set(name: str) -> None:
    for rule in load_policy(name).rules:
        if rule.tested and not any(_names(glob, rule) for glob in EVERYWHERE):
            numbers = (rule.at_most, rule.above)
            assert numbers == (None, None), rule.measurement
            assert rule.relative or rule.in_spreads, rule.measurement


def _names(glob: str, rule: Rule) -> bool:
    return rule.measurement.startswith(glob.removesuffix("*"))


@pytest.mark.parametrize(("original", "counts"), [(0.95, True), (0.12, False)])
def test_a_limit_counts_where_the_original_lies_above_it(original: float, counts: bool) -> None:
    figure = Figure(
        name="accuracy.forget_before_retiring",
        label="accuracy",
        value=0.0,
        interval=(0.0, 0.04),
        original=original,
        sizes={"forget_test": 90},
    )
    rule = Rule(measurement="accuracy.*", at_most=0.05, required=True)
    row = judge_row(
        "accuracy", figure, Policy(name="p", assurance="L1", references=0, rules=(rule,))
    )
    assert (row.outcome, row.required, row.counts) == ("within", True, counts)
