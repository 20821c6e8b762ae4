"""How fast the class comes back: both curves, their band, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from compliance.charts import relearning


def finding(**series: Any) -> dict[str, Any]:
    return {"audit": "relearning", "series": series}


def test_a_finding_without_curves_has_no_picture() -> None:
    assert relearning.picture_of([finding()]) is None


CURVE = {
    "steps": [0, 4, 8],
    "candidate": [0.0, 0.1, 0.5],
    "original": [0.0, 0.3, 0.9],
    "retrained": [[0.0, 0.1, 0.4], [0.0, 0.2, 0.6]],
}


def test_both_curves_of_relearning_are_drawn_with_the_band() -> None:
    picture = relearning.picture_of([finding(curves={"few": CURVE, "retain_only": CURVE})])
    assert picture is not None
    assert len(picture.rows) == 6
    trained_on, step, mine, mean, low, high, original = picture.rows[2]
    assert "every class" in trained_on
    assert (step, mine, original) == (8, 0.5, 0.9)
    assert (mean, low, high) == pytest.approx((0.5, 0.4, 0.6))
    assert "other classes alone" in str(picture.svg)


@pytest.mark.parametrize("broken", [{}, {"steps": [0, 1], "candidate": [0.5]}, "text"])
def test_curves_that_are_not_whole_are_left_out(broken: Any) -> None:
    one = finding(curves={"few": broken, "retain_only": CURVE})
    picture = relearning.picture_of([one])
    assert picture is not None
    assert len(picture.rows) == 3


def test_curves_without_retrained_models_stand_alone() -> None:
    picture = relearning.picture_of([finding(curves={"few": CURVE | {"retrained": []}})])
    assert picture is not None
    assert picture.rows[0][3:6] == (None, None, None)
