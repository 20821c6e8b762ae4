"""A picture for every audit: what the original knew is the unit, or the curves, or the values."""

from __future__ import annotations

from typing import Any

import pytest

from compliance.charts import charts, relearning, remainder

NULL = [0.48, 0.52, 0.50]


def seen(name: str, value: float, original: float | None = 0.9, **more: Any) -> dict[str, Any]:
    told = {
        "name": name,
        "value": value,
        "interval": [value - 0.05, value + 0.05],
        "null": NULL,
        "original": original,
        "standard_error": 0.02,
        "against": "retrained",
    }
    return told | more


def finding(audit: str, *measurements: dict[str, Any], **series: Any) -> dict[str, Any]:
    return {
        "audit": audit,
        "question": f"What about {audit}?",
        "measurements": list(measurements),
        "series": series,
    }


def test_the_unit_is_what_the_original_knew() -> None:
    made = charts.audit(finding("few_shot", seen("few_shot.1@penultimate", 0.6)))
    assert made is not None
    (name, value, low, high, least, most) = made.rows[0]
    assert name == "few_shot.1@penultimate"
    assert value == pytest.approx(0.25)
    assert (low, high) == pytest.approx((0.15, 0.35))
    assert (least, most) == pytest.approx((-0.05, 0.05))
    assert made.title == "What about few_shot?"
    assert str(made.svg).startswith("<svg")


def test_where_the_original_lies_below_the_unit_turns_with_it() -> None:
    made = remainder.picture_of(finding("similarity", seen("similarity.cka@x", 0.4, 0.1)))
    assert made is not None
    assert made.rows[0][1] == pytest.approx(0.25)


@pytest.mark.parametrize(
    "more", [{"original": 0.51}, {"original": None}, {"against": "none"}, {"null": [0.5]}]
)
def test_what_cannot_tell_the_original_has_no_such_unit(more: dict[str, Any]) -> None:
    assert remainder.picture_of(finding("utility", seen("utility.ece", 0.5) | more)) is None
    made = charts.audit(finding("utility", seen("utility.ece", 0.5) | more))
    assert made is not None
    assert made.rows[0][:2] == ("utility.ece", 0.5)


def test_an_audit_without_figures_has_no_picture() -> None:
    assert charts.audit(finding("utility")) is None
    assert charts.audit(finding("relearning")) is None


CURVE = {
    "steps": [0, 4, 8],
    "candidate": [0.0, 0.1, 0.5],
    "original": [0.0, 0.3, 0.9],
    "retrained": [[0.0, 0.1, 0.4], [0.0, 0.2, 0.6]],
}


def test_both_curves_of_relearning_are_drawn_with_the_band() -> None:
    told = finding("relearning", curves={"few": CURVE, "retain_only": CURVE})
    made = charts.audit(told)
    assert made is not None
    assert len(made.rows) == 6
    trained_on, step, mine, mean, low, high, original = made.rows[2]
    assert "every class" in trained_on
    assert (step, mine, original) == (8, 0.5, 0.9)
    assert (mean, low, high) == pytest.approx((0.5, 0.4, 0.6))
    assert charts.draw is not None
    assert "other classes alone" in str(made.svg)


@pytest.mark.parametrize("broken", [{}, {"steps": [0, 1], "candidate": [0.5]}, "text"])
def test_curves_that_are_not_whole_are_left_out(broken: Any) -> None:
    told = finding("relearning", curves={"few": broken, "retain_only": CURVE})
    made = relearning.picture_of([told])
    assert made is not None
    assert len(made.rows) == 3


def test_curves_without_retrained_models_stand_alone() -> None:
    made = relearning.picture_of([finding("relearning", curves={"few": CURVE | {"retrained": []}})])
    assert made is not None
    assert made.rows[0][3:6] == (None, None, None)
