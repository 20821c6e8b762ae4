"""Draws: the same for everybody, one of each stratum, and as often as was stated."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.qualification import drawing

MEASURES = st.dictionaries(st.integers(0, 200), st.floats(0, 100), min_size=3, max_size=60)


def head(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@given(MEASURES, st.integers(1, 20), st.text(max_size=5))
def test_one_class_of_each_stratum_is_drawn_and_everybody_draws_the_same(
    measure: dict[int, float], count: int, text: str
) -> None:
    count = min(count, len(measure))
    drawn = drawing.classes(measure, count, head=head(text))
    groups = drawing.strata(measure, count)
    assert drawn == drawing.classes(dict(reversed(measure.items())), count, head=head(text))
    assert sorted(label for group in groups for label in group) == sorted(measure)
    assert all(len(set(drawn) & set(group)) == 1 for group in groups)


def test_every_class_can_be_drawn_and_another_hash_draws_others() -> None:
    measure = {c: float(c) for c in range(10)}
    draws = [drawing.classes(measure, 5, head=head(str(n))) for n in range(200)]
    assert {c for drawn in draws for c in drawn} == set(range(10))
    assert len(set(draws)) > 50


def test_more_classes_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        drawing.classes({0: 1.0}, 2, head=head("x"))


def test_spot_checks_are_drawn_as_often_as_was_stated() -> None:
    closings = {str(n): head(f"entry {n}") for n in range(4000)}
    assert len(drawing.chosen(closings, 0.1)) / 4000 == pytest.approx(0.1, abs=0.02)
    assert len(drawing.chosen(closings, 1.0)) == 4000
