"""What a plan can expect, told before a candidate is looked at."""

from __future__ import annotations

import math
from statistics import fmean, variance
from types import ModuleType
from typing import Any

import numpy as np
from scipy import stats
from scipy.stats import binomtest

from audits.error_budget import ErrorBudget, ErrorPart
from audits.finding import Figure, Finding
from compliance.documents.policy import Policy, Rule
from compliance.verdict.expected_power import Forecast, by_sizes, expected


def policy(*rules: Rule) -> Policy:
    deep = Rule(measurement="few_shot.1@penultimate", below=1.0, above=1.0, required=True)
    return Policy(name="p", assurance="L3", references=5, rules=(*rules, deep))


LIMIT = Rule(measurement="accuracy.forget_before_retiring", at_most=0.05, required=True)


def test_a_limit_that_no_error_at_all_would_meet_is_told() -> None:
    (row,) = by_sizes(policy(LIMIT), {"forget_test": 40, "forget_train": 40})
    bound = binomtest(0, 40).proportion_ci(0.90, method="exact").high
    assert f"still is {bound:.3f}, the limit is 0.05" in row
    assert "bring 59 images" in row
    assert binomtest(0, 59).proportion_ci(0.90, method="exact").high <= 0.05
    assert binomtest(0, 58).proportion_ci(0.90, method="exact").high > 0.05


def test_enough_images_are_told_nothing() -> None:
    assert by_sizes(policy(LIMIT), {"forget_test": 72, "forget_train": 500}) == []
    idle = Rule(measurement="accuracy.forget_before_retiring", at_most=0.05)
    assert by_sizes(policy(idle), {"forget_test": 5, "forget_train": 5}) == []


def test_a_membership_margin_that_few_images_cannot_support_is_told() -> None:
    narrow = Rule(measurement="membership.forget.loss", below=0.02, above=0.02, required=True)
    (row,) = by_sizes(policy(narrow), {"forget_test": 50, "forget_train": 500})
    assert "uncertainty of 0.070, the margin is 0.02" in row
    assert by_sizes(policy(narrow), {"forget_test": 1000, "forget_train": 5000}) == []


def test_no_held_out_image_at_all_is_told() -> None:
    gaps = by_sizes(policy(LIMIT), {"forget_test": 0, "forget_train": 500})
    assert all("no held-out images" in line for line in gaps)


def forecast_of(example: ModuleType, original: str = "original", **kwargs: Any) -> Forecast:
    references = {f"reference_{i}": example.findings(f"reference_{i}") for i in range(5)}
    return expected(example.findings(original), references, example.policy(), **kwargs)


def test_the_chances_follow_from_retrained_models_and_original(example: ModuleType) -> None:
    forecast = forecast_of(example)
    rows = {row.measurement: row for row in forecast.rows}
    few_shot = rows["few_shot.1@penultimate"]
    assert few_shot.decides
    assert few_shot.accept is not None
    assert few_shot.detect is not None
    assert 0.8 < few_shot.accept <= 1
    assert few_shot.detect > 0.8
    assert forecast.original_caught
    assert sum(forecast.references.values()) == 5
    assert forecast.can_reach == (forecast.references["PASSED"] >= 3)


def test_rows_that_rise_and_fall_together_are_no_independent_hurdles(example: ModuleType) -> None:
    """The example's retrained models lie high or low in all figures at once."""
    forecast = forecast_of(example)
    chances = [row.accept for row in forecast.rows if row.accept is not None and row.decides]
    assert forecast.accept_all is not None
    assert forecast.accept_all > math.prod(chances) + 0.02
    assert forecast.accept_all <= min(chances) + 0.01


def test_the_plan_holds_what_each_row_needs(example: ModuleType) -> None:
    content = forecast_of(example).to_json()
    assert content["acceptAll"] > 0
    assert {"references", "images"} == set(content["rows"][0]["needed"])
    assert content["told"].startswith("9 measurements decide")


def test_an_original_that_would_not_be_failed_is_named_before_anything_runs(
    example: ModuleType,
) -> None:
    forecast = forecast_of(example, "reference_0")
    assert not forecast.can_reach
    assert "the original itself would not be failed" in forecast.sentence


def test_retrained_models_that_cannot_pass_are_named(example: ModuleType) -> None:
    original = example.findings("original")
    references = {f"reference_{i}": example.findings("original") for i in range(3)}
    forecast = expected(original, references, example.policy())
    assert forecast.references == {"PASSED": 0, "FAILED": 3, "INCONCLUSIVE": 0}
    assert "0 of 3 retrained models pass when judged by the others" in forecast.sentence
    assert "widen" not in forecast.sentence


def test_what_sizes_rule_out_is_the_first_thing_said(example: ModuleType) -> None:
    forecast = forecast_of(example, out_of_reach=["Too few."])
    assert not forecast.can_reach
    assert forecast.sentence == "No verdict can be reached: Too few."


def test_margins_with_room_for_the_original_are_named_before_anything_runs(
    example: ModuleType,
) -> None:
    content = example.policy().model_dump(mode="json")
    for rule in content["rules"]:
        if rule["measurement"].startswith(("few_shot", "linear_probe", "head_refit")):
            rule["below"], rule["above"] = 9.0, 9.0
    references = {f"reference_{i}": example.findings(f"reference_{i}") for i in range(5)}
    forecast = expected(example.findings("original"), references, Policy.model_validate(content))
    assert forecast.original_caught
    assert not forecast.can_reach
    assert "room for the original itself" in forecast.sentence
    kinds = Policy.model_validate(content | {"kinds": ["probe"]})
    inside = expected(example.findings("original"), references, kinds)
    assert not inside.original_caught
    assert "the original itself would not be failed" in inside.sentence


def budgeted(own: float, null: tuple[float, ...]) -> Figure:
    """A figure whose candidate's images err with this variance."""
    of_mean = variance(null) / len(null)
    budget = ErrorBudget(
        sampling=(ErrorPart(candidate=own, original=own, shared=0.0, freedom=99),),
        baseline=ErrorPart(
            candidate=of_mean, original=of_mean, shared=of_mean, freedom=len(null) - 1.0
        ),
        members=len(null),
    )
    error, freedom = budget.of_share(0.0)
    return Figure(
        name="few_shot.1@penultimate",
        label="few",
        value=1.0,
        interval=(0.9, 1.1),
        null=null,
        original=1.0,
        difference=1.0 - fmean(null),
        standard_error=error,
        degrees_of_freedom=freedom,
        against="retrained",
        sizes={"forget_test": 100},
        standard_error_original=error,
        budget=budget,
    )


def plan_of(figure: Figure, references: int) -> Forecast:
    share = Rule(measurement="few_shot.*", remainder=0.5, overshoot=1.5, required=True)
    finding = Finding(audit="few_shot", question="?", status="RUN", measurements=(figure,))
    each = {f"reference_{i}": [finding] for i in range(references)}
    rules = Policy(name="p", assurance="L3", references=5, rules=(share,))
    return expected([finding], each, rules)


def test_few_images_are_said_to_lack_images_and_few_models_models() -> None:
    null = (-0.1, -0.05, 0.0, 0.05, 0.1)
    fine = plan_of(budgeted(0.0004, null), 5).rows[0]
    assert (fine.references, fine.images) == (None, None)
    (coarse,) = plan_of(budgeted(0.05, (-0.3, -0.1, 0.0, 0.1, 0.3)), 5).rows
    assert coarse.accept is not None
    assert coarse.accept < 0.8
    assert coarse.images is not None
    assert coarse.images > 100
    (few,) = plan_of(budgeted(0.0004, (-0.3, 0.0, 0.3)), 3).rows
    assert few.references is not None
    assert few.references > 3


def test_as_many_models_as_a_row_is_said_to_need_suffice() -> None:
    """Brute force: many events of so many retrained models, with the spread that was shown."""
    (few,) = plan_of(budgeted(0.0004, (-0.3, 0.0, 0.3)), 3).rows
    assert few.references is not None
    generator = np.random.default_rng(3)
    within = []
    for _ in range(2000):
        *null, new = generator.normal(0, 0.3, few.references + 1)
        reach = 0.5 * np.std(null, ddof=1) / np.sqrt(few.references)
        reach *= stats.t.ppf(0.95, few.references - 1)
        within.append(new - np.mean(null) < 0.5 * (1 - np.mean(null)) - reach)
    assert 0.75 < np.mean(within) < 0.95


def test_what_no_retrained_model_passes_is_the_weakest_row() -> None:
    """Half of the class's images are answered by every model: a chance of 0, not of the unknown."""
    null = (-0.5, -0.25, 0.0, 0.25, 0.5)
    answered = Figure(
        name=LIMIT.measurement,
        label="answered",
        value=0.5,
        interval=(0.4, 0.6),
        null=(),
        original=1.0,
        sizes={"forget_test": 100},
    )
    share = Rule(measurement="few_shot.*", remainder=0.5, overshoot=1.5, required=True)
    findings = [
        Finding(
            audit="few_shot", question="?", status="RUN", measurements=(budgeted(0.0004, null),)
        ),
        Finding(audit="accuracy", question="?", status="RUN", measurements=(answered,)),
    ]
    rules = Policy(name="p", assurance="L3", references=5, rules=(share, LIMIT))
    forecast = expected(findings, {f"reference_{i}": findings for i in range(5)}, rules)
    chances = {row.measurement: row.accept for row in forecast.rows}
    assert chances[LIMIT.measurement] == 0.0
    assert 0.0 < (chances["few_shot.1@penultimate"] or 0.0) < 0.8
    assert all(row.weak for row in forecast.rows)
    assert f"The weakest is {LIMIT.measurement} (0.00)." in forecast.sentence
