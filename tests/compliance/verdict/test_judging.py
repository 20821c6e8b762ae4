"""Margins as shares of what the original knew, many tests at once, what was left out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from audits.finding import Figure, Finding
from compliance.documents.policy import Policy, Rule
from compliance.verdict import FAILED, judge_row, judge_rows, reached, result_of
from compliance.verdict.judging import resolved

NULL = (0.48, 0.52, 0.50, 0.49, 0.51)


def measured(name: str, value: float, *, original: float = 0.9, error: float = 0.01) -> Figure:
    return Figure(
        name=name,
        label=name,
        value=value,
        interval=(value - 0.02, value + 0.02),
        null=NULL,
        original=original,
        difference=value - 0.5,
        standard_error=error,
        degrees_of_freedom=40.0,
        against="retrained",
        sizes={"forget_test": 500, "references": 5},
        standard_error_original=error,
    )


def policy(*rules: Rule, assurance: str = "L3") -> Policy:
    return Policy(name="p", assurance=assurance, references=5, rules=rules)  # type: ignore[arg-type]


def finding(*measurements: Figure, left_out: dict[str, str] | None = None) -> Finding:
    return Finding(
        audit="few_shot",
        question="?",
        status="RUN",
        measurements=measurements,
        parameters={"left_out": dict(left_out or {})},
    )


SPREADS = Rule(measurement="similarity.cka@penultimate", spreads_below=4.0, required=True)


@pytest.mark.parametrize(
    ("value", "outcome"),
    [(0.50, "within"), (0.99, "within"), (0.44, "undecided"), (0.30, "outside")],
)
def test_a_margin_may_be_in_spreads_of_the_retrained_models(value: float, outcome: str) -> None:
    """Five show a standard deviation of .0158; the true one may be 2.4 times that, or half."""
    row = judge_row("similarity", measured("similarity.cka@penultimate", value), policy(SPREADS))
    assert row.margins == (pytest.approx(4 * np.std(NULL, ddof=1)), math.inf)
    assert row.outcome == outcome
    assert row.rule is not None
    assert row.rule.sentence().endswith("lies above -4 standard deviations of the baseline")


@pytest.mark.parametrize(("width", "margin"), [(0.02, 4 * np.std(NULL, ddof=1)), (0.2, 0.2)])
def test_beside_a_number_the_wider_margin_counts(width: float, margin: float) -> None:
    rule = Rule(measurement="similarity.*", below=width, spreads_below=4.0, required=True)
    assert resolved(rule, measured("similarity.cka@penultimate", 0.5)) == (
        pytest.approx(margin),
        math.inf,
    )
    assert rule.sentence().endswith(
        f"above -{width:g} or -4 standard deviations of the baseline, whichever is wider"
    )


def test_without_retrained_models_there_is_no_spread_and_nothing_is_judged() -> None:
    alone = replace(measured("similarity.cka@penultimate", 0.5), null=(0.5,))
    assert judge_row("similarity", alone, policy(SPREADS)).outcome == "not_run"


def test_a_null_without_spread_is_undecided_and_no_margin_of_zero() -> None:
    """Copies of one model would fail everybody; beside a number that number is the margin."""
    alike = replace(measured("similarity.cka@penultimate", 0.45), null=(0.5,) * 5)
    row = judge_row("similarity", alike, policy(SPREADS))
    assert row.outcome == "undecided"
    assert "train each with a seed of its own" in row.reason
    floor = Rule(measurement="similarity.*", below=0.2, spreads_below=4.0, required=True)
    assert judge_row("similarity", alike, policy(floor)).outcome == "within"


RELATIVE = Rule(measurement="few_shot.*", remainder=0.4, overshoot=0.5, required=True)


@pytest.mark.parametrize(
    ("value", "outcome"),
    [(0.5, "within"), (0.62, "within"), (0.66, "undecided"), (0.72, "outside"), (0.26, "outside")],
)
def test_a_share_of_what_the_original_knew_may_remain(value: float, outcome: str) -> None:
    """The original is .40 above: .16 of it may remain, .20 may be lost beyond."""
    row = judge_row("few_shot", measured("few_shot.1", value), policy(RELATIVE))
    assert row.margins == pytest.approx((0.20, 0.16))
    assert row.outcome == outcome


def test_where_the_original_lies_below_the_sides_change_places() -> None:
    figure = measured("few_shot.1", 0.42, original=0.3)
    assert resolved(RELATIVE, figure) == pytest.approx((0.08, 0.10))
    assert judge_row("few_shot", figure, policy(RELATIVE)).outcome == "undecided"


def test_without_overshoot_nothing_limits_the_other_side() -> None:
    rule = Rule(measurement="few_shot.*", remainder=0.4, required=True)
    row = judge_row("few_shot", measured("few_shot.1", 0.01), policy(rule))
    assert row.outcome == "within"
    assert row.to_json()["margin"] == {"below": None, "above": pytest.approx(0.16), "atMost": None}


@pytest.mark.parametrize("original", [0.5, 0.51, 0.53])
def test_what_cannot_tell_the_original_decides_nothing(original: float) -> None:
    """And nothing can be gained by it: no other row is required, so that nothing passes."""
    rows = judge_rows([finding(measured("few_shot.1", 0.5, original=original))], policy(RELATIVE))
    (row,) = rows
    assert (row.outcome, row.required) == ("informational", False)
    assert "cannot distinguish the original from retrained models (power 0" in row.reason
    assert result_of(rows) == "INCONCLUSIVE"
    assert reached(rows) == "L1"


def test_the_candidates_own_figures_cannot_silence_a_measurement() -> None:
    names = {
        judge_row("few_shot", measured("few_shot.1", v), policy(RELATIVE)).required
        for v in (0.0, 0.5, 0.9, 2.0)
    }
    assert names == {True}


def test_a_rule_has_one_kind_of_margin() -> None:
    for wrong in (
        {"at_most": 0.1, "remainder": 0.3},
        {"at_most": 0.1, "spreads_below": 3.0},
        {"remainder": 0.3, "spreads_below": 3.0},
        {"spreads_above": 0.0},
        {"below": 0.1, "above": 0.1, "remainder": 0.3},
        {"overshoot": 0.5},
        {"remainder": 1.0},
        {"remainder": 0.0},
        {},
    ):
        with pytest.raises(ValidationError):
            Rule(measurement="few_shot.1", **wrong)  # type: ignore[arg-type]


def test_the_sentence_says_what_may_remain() -> None:
    assert RELATIVE.sentence() == (
        "the 90% interval of the difference shows that at most 40% of what the original differs "
        "from the baseline remains and at most 50% of it is lost beyond"
    )


ABSOLUTE = Rule(measurement="few_shot.*", below=0.1, above=0.1, required=True)


def test_one_of_many_tests_needs_more_to_be_outside() -> None:
    just_outside = measured("few_shot.0", 0.62)
    others = [measured(f"few_shot.{i}", 0.5) for i in range(1, 30)]
    (alone,) = judge_rows([finding(just_outside)], policy(ABSOLUTE))
    among = judge_rows([finding(just_outside, *others)], policy(ABSOLUTE))[0]
    assert alone.outcome == "outside"
    assert among.outcome == "undecided"
    assert "30 at once" in among.reason


def test_an_honest_model_on_every_edge_is_failed_no_more_often_than_alpha() -> None:
    """Twenty independent measurements, each exactly at its margin: the worst honest case."""
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(400):
        rows = [measured(f"few_shot.{i}", 0.6 + rng.normal(0, 0.01)) for i in range(20)]
        failed += result_of(judge_rows([finding(*rows)], policy(ABSOLUTE))) == FAILED
    assert failed / 400 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)
    assert failed > 0


def test_a_model_beyond_one_margin_passes_no_more_often_than_alpha() -> None:
    rng = np.random.default_rng(1)
    passed = 0
    for _ in range(400):
        rows = [measured("few_shot.0", 0.6 + rng.normal(0, 0.01))]
        rows += [measured(f"few_shot.{i}", 0.5 + rng.normal(0, 0.01)) for i in range(1, 20)]
        passed += result_of(judge_rows([finding(*rows)], policy(ABSOLUTE))) == "PASSED"
    assert passed / 400 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)
    assert passed > 0


def test_a_required_measurement_that_was_left_out_is_missed() -> None:
    """A glob that is answered at one depth must not hide that another depth was not measured."""
    figures = finding(
        measured("few_shot.1@penultimate", 0.5),
        left_out={"few_shot.1@conv3": "not measured on the candidate: it has no such depth"},
    )
    rows = judge_rows([figures], policy(ABSOLUTE))
    assert [(row.name, row.outcome) for row in rows] == [
        ("few_shot.1@penultimate", "within"),
        ("few_shot.1@conv3", "not_run"),
    ]
    assert result_of(rows) == "INCONCLUSIVE"


def test_classes_that_nobody_saw_are_no_retrained_models() -> None:
    figure = Figure(
        **{name: getattr(measured("few_shot.1", 0.5), name) for name in Figure.__dataclass_fields__}
        | {"against": "unseen"}
    )
    (row,) = judge_rows([finding(figure)], policy(ABSOLUTE, assurance="L2"))
    assert row.outcome == "within"
    assert row.accept_retrained is not None
    assert reached([row]) == "L2"


EARLIER = Rule(measurement="linear_probe.dprime@earlier", above=0.1, veto=True)
REQUIRED = Rule(measurement="few_shot.1@penultimate", above=0.1, required=True)


@pytest.mark.parametrize("level", [0.05, 0.025, 0.01])
@pytest.mark.parametrize(
    ("value", "within", "outcome"),
    [(0.58, [0.05], "undecided"), (0.61, [], "undecided"), (0.62, [], "outside")],
)
def test_an_attempt_has_a_stricter_within_and_the_same_outside(
    level: float, value: float, within: list[float], outcome: str
) -> None:
    """What has a veto at .05 keeps it at .01: a smaller level must not let more pass."""
    own = policy(REQUIRED, EARLIER).at_level(level)
    row = judge_row("linear_probe", measured(EARLIER.measurement, value), own)
    assert row.outcome == ("within" if level in within else outcome)
    assert (own.alpha, own.outside_at) == (level, 0.05)
    assert own.at_level(level / 2).outside_at == 0.05


@pytest.mark.parametrize(("hits", "outcome"), [(0, "undecided"), (10, "outside")])
def test_a_limit_too_is_stricter_within_and_the_same_outside(hits: int, outcome: str) -> None:
    """59 of 59 right clears .05 at .05 and not at .01; 10 of 100 wrong lies above .05 at .05."""
    rule = Rule(measurement="accuracy.forget_before_retiring", at_most=0.05, required=True)
    trials = 59 if hits == 0 else 100
    share = replace(measured(rule.measurement, hits / trials), trials=trials)
    at_one_in_a_hundred = policy(REQUIRED, rule).at_level(0.01)
    assert judge_row("accuracy", share, at_one_in_a_hundred).outcome == outcome
    full = judge_row("accuracy", share, policy(REQUIRED, rule)).outcome
    assert full == ("within" if hits == 0 else "outside")


def test_a_row_that_tells_the_original_at_alpha_does_so_for_every_attempt() -> None:
    """A smaller level must not set a veto aside as one that could not have told the original."""
    rule = Rule(measurement="linear_probe.dprime@earlier", remainder=0.5, overshoot=2.0, veto=True)
    own = policy(REQUIRED, rule)
    near = measured(rule.measurement, 0.9, error=0.077)
    whole, tenth = judge_row("x", near, own), judge_row("x", near, own.at_level(0.005))
    assert whole.outcome == tenth.outcome != "informational"
    assert whole.detect_original == tenth.detect_original >= 0.8


def test_two_retrained_models_alike_show_no_spread_either() -> None:
    two = replace(measured("similarity.cka@penultimate", 0.45), null=(0.5, 0.5))
    row = judge_row("similarity", two, policy(SPREADS))
    assert row.outcome == "undecided"
    assert "train each with a seed of its own" in row.reason


ALIKE = Rule(
    measurement="linear_probe.tail@penultimate", above=0.1, veto=True, same_architecture=True
)


def about(audit: str, figure: Figure) -> Finding:
    return replace(finding(figure), audit=audit)


@pytest.mark.parametrize(
    ("aside", "outcome", "result"),
    [("of another architecture", "undecided", "INCONCLUSIVE"), ("", "outside", "FAILED")],
)
def test_outside_fails_only_a_model_of_the_same_architecture(
    aside: str, outcome: str, result: str
) -> None:
    likeness = replace(measured("similarity.cka@penultimate", 0.5), aside=aside)
    within = measured(REQUIRED.measurement, 0.5)
    rows = judge_rows(
        [
            about("similarity", likeness),
            about("few_shot", within),
            about("linear_probe", measured(ALIKE.measurement, 0.9)),
        ],
        policy(REQUIRED, ALIKE),
    )
    (row,) = [row for row in rows if row.rule == ALIKE]
    assert (row.outcome, row.required) == (outcome, True)
    assert result_of(rows) == result


def test_within_holds_nothing_up_of_another_architecture() -> None:
    likeness = replace(measured("similarity.cka@penultimate", 0.5), aside="another architecture")
    findings = [
        about("similarity", likeness),
        about("few_shot", measured(REQUIRED.measurement, 0.5)),
        about("linear_probe", measured(ALIKE.measurement, 0.5)),
    ]
    rows = judge_rows(findings, policy(REQUIRED, ALIKE))
    assert result_of(rows) == "PASSED"


def test_what_fails_nothing_needs_no_architecture() -> None:
    with pytest.raises(ValueError, match="needs `required` or `veto`"):
        Rule(measurement="few_shot.1@penultimate", above=0.1, same_architecture=True)
