"""What a plan can expect, told before a candidate is looked at."""

from __future__ import annotations

from types import ModuleType

import pytest
from scipy.stats import binomtest

from compliance.documents.policy import Policy, Rule
from compliance.verdict.expected_power import by_sizes, expected


def policy(*rules: Rule) -> Policy:
    deep = Rule(measurement="few_shot.1@penultimate", below=1.0, above=1.0, required=True)
    return Policy(name="p", assurance="L3", references=5, rules=(*rules, deep))


LIMIT = Rule(measurement="accuracy.forget_before_retiring", at_most=0.05, required=True)


def test_a_limit_that_no_error_at_all_would_meet_is_told() -> None:
    (told,) = by_sizes(policy(LIMIT), {"forget_test": 40, "forget_train": 40})
    bound = binomtest(0, 40).proportion_ci(0.95, method="exact").high
    assert f"still reaches {bound:.3f}, the limit is 0.05" in told
    assert "bring 72 images" in told
    assert binomtest(0, 72).proportion_ci(0.95, method="exact").high <= 0.05
    assert binomtest(0, 71).proportion_ci(0.95, method="exact").high > 0.05


def test_enough_images_are_told_nothing() -> None:
    assert by_sizes(policy(LIMIT), {"forget_test": 72, "forget_train": 500}) == []
    idle = Rule(measurement="accuracy.forget_before_retiring", at_most=0.05)
    assert by_sizes(policy(idle), {"forget_test": 5, "forget_train": 5}) == []


def test_a_membership_margin_that_few_images_cannot_support_is_told() -> None:
    narrow = Rule(measurement="membership.forget.loss", below=0.02, above=0.02, required=True)
    (told,) = by_sizes(policy(narrow), {"forget_test": 50, "forget_train": 500})
    assert "uncertainty of 0.070, the margin is 0.02" in told
    assert by_sizes(policy(narrow), {"forget_test": 1000, "forget_train": 5000}) == []


def test_no_held_out_image_at_all_is_told() -> None:
    told = by_sizes(policy(LIMIT), {"forget_test": 0, "forget_train": 500})
    assert all("no held-out images" in line for line in told)


def test_the_chances_follow_from_retrained_models_and_original(example: ModuleType) -> None:
    original = example.findings("original")
    references = {f"reference_{i}": example.findings(f"reference_{i}") for i in range(5)}
    told = expected(original, references, example.policy())
    rows = {row["measurement"]: row for row in told["rows"]}
    few_shot = rows["few_shot.1@penultimate"]
    assert few_shot["decides"]
    assert 0.8 < few_shot["acceptRetrained"] <= 1
    assert few_shot["detectOriginal"] > 0.8
    product = 1.0
    for row in told["rows"]:
        product *= row["acceptRetrained"]
    assert told["acceptAll"] == pytest.approx(product)
    assert told["originalCaught"]
    assert sum(told["references"].values()) == 5
    assert told["canReach"] == (told["references"]["PASSED"] >= 3)


def test_an_original_that_would_not_be_failed_is_told_before_anything_runs(
    example: ModuleType,
) -> None:
    same = example.findings("reference_0")
    references = {f"reference_{i}": example.findings(f"reference_{i}") for i in range(5)}
    told = expected(same, references, example.policy())
    assert not told["canReach"]
    assert "the original itself would not be failed" in told["told"]


def test_retrained_models_that_cannot_pass_are_told(example: ModuleType) -> None:
    original = example.findings("original")
    references = {f"reference_{i}": example.findings("original") for i in range(3)}
    told = expected(original, references, example.policy())
    assert told["references"] == {"PASSED": 0, "FAILED": 3, "INCONCLUSIVE": 0}
    assert "0 of 3 retrained models pass when judged by the others" in told["told"]


def test_what_sizes_rule_out_is_the_first_thing_said(example: ModuleType) -> None:
    references = {f"reference_{i}": example.findings(f"reference_{i}") for i in range(5)}
    told = expected(
        example.findings("original"), references, example.policy(), out_of_reach=["Too few."]
    )
    assert (told["canReach"], told["told"]) == (False, "No verdict can be reached: Too few.")


def test_margins_with_room_for_the_original_are_told_before_anything_runs(
    example: ModuleType,
) -> None:
    content = example.policy().model_dump(mode="json")
    for rule in content["rules"]:
        if rule["measurement"].startswith(("few_shot", "linear_probe", "head_refit")):
            rule["below"], rule["above"] = 9.0, 9.0
    references = {f"reference_{i}": example.findings(f"reference_{i}") for i in range(5)}
    told = expected(example.findings("original"), references, Policy.model_validate(content))
    assert not told["originalCaught"]
    assert not told["canReach"]
    assert "the original itself would not be failed" in told["told"]
