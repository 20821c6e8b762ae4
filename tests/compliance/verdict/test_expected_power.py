"""What a plan can expect, told before a candidate is looked at."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean, variance
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binomtest

from audits.error_budget import ErrorBudget, ErrorPart
from audits.finding import Figure, Finding
from compliance.documents.policy import Policy, Rule
from compliance.verdict import expected_power
from compliance.verdict.controls import Control
from compliance.verdict.expected_power import Forecast, RowForecast, by_sizes, expected
from compliance.verdict.judged_row import JudgedRow


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


def forecast_row(accept: float | None, *, decides: bool = True, **changes: Any) -> RowForecast:
    given: dict[str, Any] = {"measurement": "m", "margin": None, "detect": 0.9, "reason": ""}
    return RowForecast(**{**given, "accept": accept, "decides": decides, **changes})


@pytest.mark.parametrize(
    ("accept", "decides", "weak"),
    [
        (0.8, True, False),
        (0.79, True, True),
        (None, True, True),
        (0.0, True, True),
        (0.1, False, False),
        (1.0, True, False),
    ],
)
def test_a_row_is_weak_below_a_chance_of_four_fifths(
    accept: float | None, decides: bool, weak: bool
) -> None:
    assert forecast_row(accept, decides=decides).weak is weak


@pytest.mark.parametrize(
    ("references", "images", "words"),
    [
        (7, None, "m: 7 retrained models"),
        (None, 300, "m: 300 held-out images of the class"),
        (7, 300, "m: 7 retrained models or 300 held-out images of the class"),
        (None, None, "m: more of both, images and retrained models"),
        (0, None, "m: 0 retrained models"),
    ],
)
def test_what_a_weak_row_lacks_in_words(
    references: int | None, images: int | None, words: str
) -> None:
    row = forecast_row(0.1, references=references, images=images)
    assert row.remedy() == words
    assert row.to_json() == {
        "measurement": "m",
        "margin": None,
        "acceptRetrained": 0.1,
        "detectOriginal": 0.9,
        "decides": True,
        "reason": "",
        "needed": {"references": references, "images": images},
    }


@pytest.mark.parametrize("count", [58, 59])
def test_a_limit_is_out_of_reach_up_to_the_count_that_meets_it(count: int) -> None:
    """One-sided, without an error: 1 - .05^(1/n) is .0503 of 58 images and .0495 of 59."""
    rows = by_sizes(policy(LIMIT), {"forget_test": count, "forget_train": 99})
    assert bool(rows) is (count == 58)
    bound = 1 - 0.05 ** (1 / count)
    at_it = Rule(measurement=LIMIT.measurement, at_most=bound, required=True)
    assert by_sizes(policy(at_it), {"forget_test": count}) == []
    other = Rule(measurement="accuracy.retain", at_most=0.01, required=True)
    assert by_sizes(policy(other), {"forget_test": count}) == []


@pytest.mark.parametrize(("below", "above"), [(0.02, 0.05), (None, 0.02), (0.05, 0.02)])
def test_a_membership_margin_is_held_against_twice_itself(
    below: float | None, above: float
) -> None:
    """The reach of a rank test, 1.645 root((m + n + 1) / (12 m n)), beside the narrower side."""
    rule = Rule(measurement="membership.forget.loss", below=below, above=above, required=True)
    for test in range(50, 400, 7):
        rows = by_sizes(policy(rule), {"forget_test": test, "forget_train": 500})
        reach = 1.645 * math.sqrt((500 + test + 1) / (12 * 500 * test))
        assert bool(rows) is (reach > 2 * 0.02)
        if rows:
            assert f"leave an uncertainty of {reach:.3f}, the margin is 0.02" in rows[0]
    one_sided = Rule(measurement="membership.forget.loss", below=0.02, required=True)
    assert by_sizes(policy(one_sided), {"forget_test": 50, "forget_train": 500}) == []
    assert by_sizes(policy(rule), {"forget_test": 50, "forget_train": 0}) == []
    kept = Rule(measurement="membership.retain.loss", below=0.02, above=0.02, required=True)
    assert by_sizes(policy(kept), {"forget_test": 50, "forget_train": 500}) == []


def test_one_held_out_image_is_an_image() -> None:
    (row,) = by_sizes(policy(LIMIT), {"forget_test": 1, "forget_train": 99})
    assert "with 1 held-out images and no error at all the bound still is 0.950" in row


def test_the_sentence_names_three_weak_rows_from_the_weakest_and_what_is_idle() -> None:
    rows = [
        forecast_row(accept, measurement=name, references=5)
        for name, accept in (("a", 0.7), ("b", None), ("c", 0.1), ("d", 0.5), ("e", 0.9))
    ]
    rows.append(forecast_row(0.2, decides=False, measurement="idle"))
    assert expected_power._remedies(rows) == (
        " The weakest is b (0.00). A chance of 0.8 takes, each by itself, for b: 5 retrained "
        "models; for c: 5 retrained models; for d: 5 retrained models. These will not decide: idle."
    )
    assert expected_power._remedies(rows[4:5]) == ""


def sentence(**changes: Any) -> str:
    given: dict[str, Any] = {
        "rows": [forecast_row(0.9), forecast_row(0.9, decides=False, measurement="n")],
        "accept": 0.756,
        "caught": True,
        "outcomes": {"PASSED": 2, "FAILED": 1, "INCONCLUSIVE": 1},
        "out_of_reach": [],
        "blind": False,
        "can": True,
    }
    return expected_power._sentence(**{**given, **changes})


def test_a_verdict_in_reach_is_said_with_its_chance() -> None:
    said = (
        "1 measurements decide; the chance that an honestly retrained model passes them all is "
        "{}{}; the original is failed. These will not decide: n."
    )
    others = ", 2 of 4 retrained models pass by the others"
    assert sentence() == said.format("0.76", others)
    assert sentence(accept=None) == said.format("not known", others)
    none = {"PASSED": 0, "FAILED": 0, "INCONCLUSIVE": 0}
    assert sentence(outcomes=none) == said.format("0.76", "")
    assert sentence(can=False).startswith("No pass can be reached: 2 of 4 retrained models pass")


DEEP = Rule(measurement="few_shot.*", remainder=0.5, overshoot=1.5, required=True)
RULES = Policy(name="p", assurance="L3", references=5, rules=(DEEP,))
SPREAD_OUT = (-0.1, -0.05, 0.0, 0.05, 0.1)


def judged(figure: Figure | None = None, **changes: Any) -> JudgedRow:
    given: dict[str, Any] = {
        "audit": "few_shot",
        "name": "few_shot.1@penultimate",
        "measurement": figure or budgeted(0.0004, SPREAD_OUT),
        "rule": DEEP,
        "outcome": "within",
        "margins": (1.5, 0.5),
    }
    return JudgedRow(**{**given, **changes})


def retrained(*rows: JudgedRow) -> Control:
    return Control(name="reference_0", expected="PASSED", result="PASSED", rows=rows)


def test_the_share_of_retrained_models_that_came_out_within_all_rows() -> None:
    one, other = judged(), judged(name="b")
    outside = judged(name="b", outcome="outside")
    strange = judged(name="c", outcome="outside")
    controls = [
        retrained(one, other),
        retrained(one, outside),
        retrained(one, other, strange),
        retrained(strange),
    ]
    fared = expected_power._fared
    # the last has none of the rows, and is no model that could have passed them
    assert fared([one, other], controls) == pytest.approx(2 / 3)
    assert fared([one], controls) == 1.0
    assert fared([strange], controls) == 0.0
    assert fared([one], [retrained(strange)]) is None
    assert fared([one], []) is None


@pytest.mark.parametrize(
    "row",
    [
        judged(measurement=None),
        judged(margins=None),
        judged(replace(budgeted(0.0004, SPREAD_OUT), null=(0.5,))),
        judged(replace(budgeted(0.0004, SPREAD_OUT), against="original")),
    ],
)
def test_without_a_null_that_shows_a_spread_nothing_is_predicted(row: JudgedRow) -> None:
    assert expected_power._honest(row, []) is None
    # its chance is how the retrained models fared
    (within, outside) = (retrained(row), retrained(replace(row, outcome="outside")))
    line = expected_power._row(row, [within, within, outside], RULES)
    assert line.accept == pytest.approx(2 / 3)
    assert (line.references, line.images) == (None, None)
    assert expected_power._accept_all([row], [within, outside], RULES) == pytest.approx(0.5)


def test_two_members_show_a_spread() -> None:
    two = judged(replace(budgeted(0.0004, SPREAD_OUT), null=(0.4, 0.5)))
    assert expected_power._honest(two, []) is not None


def test_an_honest_figure_errs_as_the_same_row_of_retrained_models() -> None:
    """Their images err with .01 here, the original's own with .0004; other rows do not count."""
    noisy = judged(budgeted(0.01, SPREAD_OUT[:4]))
    other = judged(budgeted(0.5, SPREAD_OUT[:4]), name="b")
    lacking = judged(measurement=None)
    for rows in ((noisy, other), (noisy, lacking), (other, noisy)):
        honest = expected_power._honest(judged(), [retrained(*rows)])
        assert honest is not None
        assert honest.budget is not None
        assert honest.budget.sampling[0].candidate == pytest.approx(0.01)


def test_a_row_says_why_it_decides_nothing_or_was_not_measured() -> None:
    decides = expected_power._row(judged(reason="why"), [], RULES)
    assert (decides.reason, decides.decides) == ("", True)
    idle = expected_power._row(judged(outcome="informational", reason="why"), [], RULES)
    assert (idle.reason, idle.decides) == ("why", False)
    lacking = judged(measurement=None, outcome="not_run", reason="why")
    absent = expected_power._row(lacking, [], RULES)
    assert (absent.reason, absent.decides, absent.accept) == ("why", True, None)


def test_the_chance_of_all_is_that_of_rows_with_a_null_times_how_the_others_fared() -> None:
    null = expected_power._accept_all([judged()], [], RULES)
    assert null is not None
    assert 0.8 < null < 1
    limit = judged(name="limit", margins=None)
    passing, failing = retrained(limit), retrained(replace(limit, outcome="outside"))
    both = expected_power._accept_all([judged(), limit], [passing, passing, failing], RULES)
    assert both == pytest.approx(null * 2 / 3)
    # nobody can say how the row without a null fares, nor what no row is
    assert expected_power._accept_all([judged(), limit], [], RULES) is None
    assert expected_power._accept_all([], [passing], RULES) is None
    fewer = judged(budgeted(0.0004, SPREAD_OUT[:4]), name="fewer")
    assert expected_power._accept_all([judged(), fewer], [], RULES) is None


@pytest.mark.parametrize(("passing", "enough"), [(2, True), (1, False)])
def test_half_of_four_retrained_models_must_pass(
    example: ModuleType, passing: int, enough: bool
) -> None:
    good, bad = example.findings("reference_0"), example.findings("original")
    references = {f"reference_{i}": good if i < passing else bad for i in range(4)}
    forecast = expected(example.findings("original"), references, example.policy())
    assert forecast.references == {"PASSED": passing, "FAILED": 4 - passing, "INCONCLUSIVE": 0}
    assert forecast.can_reach is enough
