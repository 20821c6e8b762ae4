"""Margins as shares of what the original knew, many tests at once, what was left out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from audits.finding import Figure, Finding
from compliance.documents.policy import Policy, Rule
from compliance.verdict import FAILED, judge_row, judge_rows, judging, reached, result_of
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


FEW = "few_shot.1@penultimate"
NUMBERS = Rule(measurement=FEW, below=0.2, above=0.1, required=True)
LIMIT = Rule(measurement="accuracy.forget_before_retiring", at_most=0.05, required=True)


@pytest.mark.parametrize(
    ("count", "original", "known"),
    [
        (2, 0.5, True),
        (1, 0.5, False),
        (None, 0.5, False),
        (90, None, False),
        (90, 1.01, False),
        (90, -0.01, False),
        (90, 0.0, True),
        (90, 1.0, True),
        (90, 0.3, True),
    ],
)
def test_a_limit_catches_the_original_by_the_binomial_error_of_its_share(
    count: int | None, original: float | None, known: bool
) -> None:
    """Never below one image's worth: a share of 0 or 1 has the error of one in so many."""
    sizes = {} if count is None else {"forget_test": count}
    one = replace(measured(LIMIT.measurement, 0.1), original=original, sizes=sizes)
    chance = judging._caught_by_limit(one, 0.05, 0.01)
    if not known:
        assert chance is None
        return
    assert count is not None
    assert original is not None
    assert chance is not None
    error = math.sqrt(max(original * (1 - original), 1 / count) / count)
    needed = stats.t.ppf(0.99, count - 1)
    assert chance == pytest.approx(stats.t.cdf((original - 0.05) / error - needed, count - 1))


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.0, 0.05, "within"),
        (0.0, 0.051, "undecided"),
        (0.05, 0.2, "undecided"),
        (0.051, 0.2, "outside"),
    ],
)
def test_a_value_is_held_against_its_limit_by_its_interval(
    low: float, high: float, outcome: str
) -> None:
    one = replace(measured(LIMIT.measurement, 0.05), interval=(low, high))
    assert judging._by_limit(one, 0.05, policy(LIMIT, NUMBERS)) == outcome


@pytest.mark.parametrize("hits", [0, 3, 12, 30])
def test_a_share_of_images_is_held_against_it_by_both_exact_bounds(hits: int) -> None:
    rules = policy(LIMIT, NUMBERS)
    one = replace(measured(LIMIT.measurement, hits / 200), trials=200, interval=(0.0, 1.0))
    low = stats.beta.ppf(rules.outside_at, hits, 201 - hits) if hits else 0.0
    high = stats.beta.ppf(1 - rules.alpha, hits + 1, 200 - hits)
    expected = "within" if high <= 0.05 else "outside" if low > 0.05 else "undecided"
    assert judging._by_limit(one, 0.05, rules) == expected


@pytest.mark.parametrize(
    ("width", "spreads", "expected"),
    [
        (0.3, None, 0.3),
        (None, 2.0, 0.5),
        (0.3, 2.0, 0.5),
        (0.7, 2.0, 0.7),
        (None, None, math.inf),
        (0.0, None, 0.0),
    ],
)
def test_the_wider_of_two_margins_counts_and_without_any_there_is_none(
    width: float | None, spreads: float | None, expected: float
) -> None:
    assert judging._wider(width, spreads, 0.25) == expected


@pytest.mark.parametrize(("against", "words"), [("unseen", "classes it never saw")])
def test_what_cannot_tell_says_from_whom(against: str, words: str) -> None:
    assert f"from {words} (power 0)." in judging._cannot_tell(None, against)
    assert "from retrained models (power 0.25)." in judging._cannot_tell(0.25, "retrained")


def test_what_lacks_a_baseline_says_what_to_bring() -> None:
    nothing = judging._nothing_to_compare
    assert nothing(policy(NUMBERS)).endswith("give retrained references, at least 3.")
    for asked, least in ((8, 8), (3, 3)):
        rules = policy(NUMBERS, assurance="L2").model_copy(update={"unseen_classes": asked})
        assert nothing(rules).endswith(f"give unseen classes, at least {least}.")


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"forget_test": 500}, ""),
        ({"forget_test": 499}, "499 samples of forget_test, the policy asks for 500"),
        ({}, ""),
        ({"forget_test": 1, "forget_train": 2}, "; 2 samples of forget_train"),
    ],
)
def test_too_few_samples_decide_nothing(sizes: dict[str, int], words: str) -> None:
    rules = policy(NUMBERS).model_copy(
        update={"minimum_samples": {"forget_test": 500, "forget_train": 9}}
    )
    one = replace(measured(FEW, 0.5), sizes=sizes)
    short = judging._too_few(one, rules)
    assert words in short
    assert bool(short) is bool(words)
    row = judge_row("few_shot", one, rules)
    assert row.outcome == ("undecided" if words else "within")
    outside = judge_row("few_shot", replace(measured(FEW, 0.9), sizes=sizes), rules)
    assert outside.outcome == "outside"


@pytest.mark.parametrize(
    ("null", "spreads", "widths", "lacks"),
    [
        ((0.5, 0.5), (3.0, None), (None, None), True),
        ((0.5, 0.5), (None, 3.0), (None, None), True),
        ((0.5, 0.5), (3.0, None), (0.1, None), False),
        ((0.5, 0.5), (3.0, 3.0), (0.1, None), True),
        ((0.5, 0.6), (3.0, None), (None, None), False),
        ((0.5,), (3.0, None), (None, None), False),
        ((0.5, 0.5), (None, None), (0.1, 0.1), False),
    ],
)
def test_a_margin_in_spreads_of_a_null_without_any_is_none(
    null: tuple[float, ...],
    spreads: tuple[float | None, float | None],
    widths: tuple[float | None, float | None],
    lacks: bool,
) -> None:
    rule = Rule(
        measurement=FEW,
        below=widths[0],
        above=widths[1],
        spreads_below=spreads[0],
        spreads_above=spreads[1],
        required=True,
    )
    assert judging._lacks_spread(rule, replace(measured(FEW, 0.5), null=null)) is lacks


def test_what_no_audit_answers_is_missing_with_the_reason() -> None:
    """A rule whose audit was not run, ran without the figure, could not run, or left it out."""
    rules = policy(NUMBERS, LIMIT)
    alone = judge_rows([finding(measured(FEW, 0.5))], rules)
    assert [(row.name, row.outcome) for row in alone] == [
        (FEW, "within"),
        (LIMIT.measurement, "not_run"),
    ]
    assert alone[1].reason == (
        "No audit 'accuracy' was run: run it, or take the rule out of the policy."
    )
    assert (alone[1].audit, alone[1].rule) == ("accuracy", LIMIT)
    ran = Finding(audit="accuracy", question="?", status="RUN", measurements=(measured("a", 0.5),))
    by_name = {row.name: row for row in judge_rows([finding(measured(FEW, 0.5)), ran], rules)}
    assert "has no measurement of this name" in by_name[LIMIT.measurement].reason
    assert by_name["a"].outcome == "informational"
    failed = Finding(audit="accuracy", question="?", status="NOT_RUN", reason="No rows.")
    rows = judge_rows([finding(measured(FEW, 0.5)), failed], rules)
    assert [row.reason for row in rows if row.name == LIMIT.measurement] == ["No rows."]
    left = finding(measured("few_shot.5@body", 0.5), left_out={FEW: "too few rows", "x": "other"})
    rows = [row for row in judge_rows([left], rules) if row.audit == "few_shot"]
    assert [(row.name, row.outcome, row.reason) for row in rows] == [
        ("few_shot.5@body", "informational", ""),
        (FEW, "not_run", "too few rows"),
    ]


def test_an_audit_that_did_not_run_and_was_not_asked_for_is_listed() -> None:
    idle = Finding(audit="routing", question="?", status="NOT_RUN", reason="No cells.")
    rows = judge_rows([finding(measured(FEW, 0.5)), idle], policy(NUMBERS))
    assert [(row.name, row.outcome, row.reason) for row in rows[1:]] == [
        ("routing", "not_run", "No cells.")
    ]
    asked = replace(idle, audit="few_shot")
    assert [row.name for row in judge_rows([asked], policy(NUMBERS))] == [FEW]


@pytest.mark.parametrize(
    ("change", "interval", "powers"),
    [
        ({}, True, True),
        ({"difference": None}, False, True),
        ({"standard_error": None}, False, False),
        ({"degrees_of_freedom": None}, False, False),
        ({"against": "original"}, True, False),
        ({"against": "unseen"}, True, True),
    ],
)
def test_a_row_holds_the_interval_and_the_chances_that_there_are(
    change: dict[str, float | None], interval: bool, powers: bool
) -> None:
    row = judge_row("few_shot", replace(measured(FEW, 0.5), **change), policy(NUMBERS))  # type: ignore[arg-type]
    assert (row.difference_interval is not None) is interval
    assert (row.detect_original is not None) is powers
    assert (row.accept_retrained is not None) is powers
    if interval:
        reach = 0.01 * stats.t.ppf(0.95, 40)
        assert row.difference_interval == pytest.approx((-reach, reach))
    assert row.confidence == pytest.approx(0.9)
    assert row.margins == (0.2, 0.1)


def test_of_one_retrained_model_no_more_is_predicted() -> None:
    one = replace(measured(FEW, 0.5), null=(0.5,))
    row = judge_row("few_shot", one, policy(NUMBERS))
    assert row.accept_retrained is None
    assert row.detect_original is not None
    pair = replace(measured(FEW, 0.5), null=(0.49, 0.51))
    assert judge_row("few_shot", pair, policy(NUMBERS)).accept_retrained is not None


def test_what_is_set_aside_decides_nothing_and_says_why() -> None:
    aside = replace(measured(FEW, 0.9), aside="of another architecture")
    row = judge_row("few_shot", aside, policy(NUMBERS))
    assert (row.outcome, row.reason) == ("informational", "of another architecture")


@pytest.mark.parametrize("original", [0.9, 0.1])
def test_shares_are_numbers_on_either_side_of_the_baseline(original: float) -> None:
    rule = Rule(measurement=FEW, remainder=0.5, overshoot=1.5, required=True)
    one = measured(FEW, 0.5, original=original)
    margins = resolved(rule, one)
    assert margins == pytest.approx((0.6, 0.2) if original > 0.5 else (0.2, 0.6))
    plain = resolved(Rule(measurement=FEW, remainder=0.5, required=True), one)
    assert plain == pytest.approx((math.inf, 0.2) if original > 0.5 else (0.2, math.inf))
    assert resolved(rule, replace(one, original=None)) is None
    assert resolved(LIMIT, one) is None
    assert resolved(NUMBERS, one) == (0.2, 0.1)
