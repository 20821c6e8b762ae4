"""One judged row by itself: whether it counts, and what the statement holds of it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from audits.finding import Figure
from compliance.documents.policy import Rule
from compliance.verdict.assurance import reached, result_of
from compliance.verdict.judged_row import JudgedRow

REQUIRED = Rule(measurement="few_shot.1@penultimate", below=0.2, above=0.1, required=True)
VETO = Rule(measurement="few_shot.1@penultimate", below=0.2, above=0.1, veto=True)
SHOWN = Rule(measurement="few_shot.1@penultimate", below=0.2, above=0.1)
OUTPUT = Rule(measurement="accuracy.forget_before_retiring", at_most=0.05, required=True)


def figure(null: tuple[float, ...] = (0.25, 0.5, 0.75), against: str = "retrained") -> Figure:
    return Figure(
        name="few_shot.1@penultimate",
        label="few",
        value=0.5,
        interval=(0.25, 0.75),
        null=null,
        original=1.0,
        difference=0.0,
        against=against,
        sizes={"forget_test": 9},
    )


def row(rule: Rule | None = REQUIRED, outcome: str = "within", **changes: Any) -> JudgedRow:
    given = {"audit": "few_shot", "name": "few_shot.1@penultimate", "measurement": figure()}
    return JudgedRow(**{**given, "rule": rule, "outcome": outcome, **changes})


@pytest.mark.parametrize(
    ("rule", "outcome", "held", "required"),
    [
        (REQUIRED, "within", False, True),
        (REQUIRED, "outside", False, True),
        (REQUIRED, "not_run", False, True),
        (REQUIRED, "informational", False, False),
        (REQUIRED, "informational", True, False),
        (VETO, "outside", False, True),
        (VETO, "within", False, False),
        (VETO, "undecided", False, False),
        (VETO, "undecided", True, True),
        (SHOWN, "outside", False, False),
        (SHOWN, "undecided", True, True),
        (None, "outside", False, False),
        (None, "outside", True, False),
    ],
)
def test_the_verdict_rests_on_required_rows_and_on_vetos_that_lie_outside(
    rule: Rule | None, outcome: str, held: bool, required: bool
) -> None:
    assert row(rule, outcome, held=held).required is required


@pytest.mark.parametrize(
    ("power", "counts"), [(0.8, True), (0.79, False), (1.0, True), (None, False), (0.0, False)]
)
def test_a_row_counts_where_it_could_have_caught_the_original(
    power: float | None, counts: bool
) -> None:
    assert row(detect_original=power).counts is counts
    assert not row(SHOWN, detect_original=power).counts


def test_by_itself_a_row_is_shown_and_not_held() -> None:
    plain = JudgedRow(audit="a", name="b")
    assert (plain.outcome, plain.held, plain.confidence) == ("informational", False, 0.9)
    assert plain.to_json() == {
        "audit": "a",
        "name": "b",
        "rule": "",
        "required": False,
        "outcome": "informational",
        "reason": "",
        "status": "NOT_RUN",
    }


def test_the_statement_holds_the_figures_the_margins_and_what_follows() -> None:
    content = row(
        margins=(math.inf, 0.1),
        difference_interval=(-0.05, 0.05),
        accept_retrained=0.9,
        detect_original=0.7,
        reason="why",
    ).to_json()
    assert content == {
        "audit": "few_shot",
        "name": "few_shot.1@penultimate",
        "rule": "the 90% interval of the difference lies between -0.2 and +0.1",
        "required": True,
        "outcome": "within",
        "reason": "why",
        "label": "few",
        "value": 0.5,
        "interval": [0.25, 0.75],
        "null": [0.25, 0.5, 0.75],
        "nullMean": 0.5,
        "nullSd": 0.25,
        "original": 1.0,
        "difference": 0.0,
        "against": "retrained",
        "sizes": {"forget_test": 9},
        "margin": {"below": None, "above": 0.1, "atMost": None},
        "status": "RUN",
        "differenceInterval": [-0.05, 0.05],
        "power": {"acceptRetrained": 0.9, "detectOriginal": 0.7},
    }
    assert row(confidence=0.98).to_json()["rule"].startswith("the 98% interval")


@pytest.mark.parametrize(
    ("null", "mean", "spread"), [((), None, None), ((0.5,), 0.5, None), ((0.25, 0.75), 0.5, 0.125)]
)
def test_a_null_of_few_members_has_no_spread(
    null: tuple[float, ...], mean: float | None, spread: float | None
) -> None:
    content = row(measurement=figure(null)).to_json()
    assert content["nullMean"] == mean
    # of two members: their squared distance over two
    assert content["nullSd"] == (None if spread is None else pytest.approx(math.sqrt(spread)))
    assert content["differenceInterval"] is None
    assert content["margin"] == {"below": None, "above": None, "atMost": None}


def test_a_limit_is_the_upper_end_of_a_margin() -> None:
    content = row(OUTPUT, margins=None).to_json()
    assert content["margin"] == {"below": None, "above": None, "atMost": 0.05}
    shown = row(None, margins=(0.2, 0.3)).to_json()
    assert shown["margin"] == {"below": 0.2, "above": 0.3, "atMost": None}


@pytest.mark.parametrize(
    ("outcomes", "result"),
    [
        (("within", "within"), "PASSED"),
        (("within", "outside"), "FAILED"),
        (("undecided", "outside"), "FAILED"),
        (("within", "undecided"), "INCONCLUSIVE"),
        (("not_run",), "INCONCLUSIVE"),
        ((), "INCONCLUSIVE"),
    ],
)
def test_one_row_outside_fails_and_all_within_pass(outcomes: tuple[str, ...], result: str) -> None:
    rows = [row(outcome=outcome) for outcome in outcomes]
    assert result_of([*rows, row(SHOWN, "outside"), row(VETO, "undecided")]) == result


@pytest.mark.parametrize(
    ("rows", "level"),
    [
        ([], "L1"),
        ([row(OUTPUT)], "L1"),
        ([row()], "L3"),
        ([row(SHOWN)], "L1"),
        ([row(measurement=figure((0.25, 0.5)))], "L2"),
        ([row(measurement=figure(against="unseen"))], "L2"),
        ([row(), row(measurement=figure((0.25, 0.5)))], "L2"),
        ([row(), row(measurement=None, outcome="not_run")], "L1"),
        ([row(), row(OUTPUT, measurement=None, outcome="not_run")], "L3"),
    ],
)
def test_the_level_is_that_of_the_inner_rows_that_were_measured(
    rows: list[JudgedRow], level: str
) -> None:
    assert reached(rows) == level
