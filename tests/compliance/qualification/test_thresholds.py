"""Thresholds: no failing model of the classes that set them passes, and none is decided unseen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compliance.qualification import thresholds
from compliance.qualification.thresholds import FAILED, INCONCLUSIVE, PASSED, Score

SHARES = st.floats(-1, 2, allow_nan=False)
SCORES = st.lists(
    st.builds(Score, kept=SHARES, result=st.sampled_from([PASSED, FAILED, INCONCLUSIVE])),
    max_size=30,
)


def scores(passed: list[float], failed: list[float]) -> list[Score]:
    return [
        *(Score(kept=k, result=PASSED) for k in passed),
        *(Score(kept=k, result=FAILED) for k in failed),
    ]


@given(SCORES)
def test_no_model_that_failed_passes_by_thresholds_that_it_has_set(every: list[Score]) -> None:
    limits = thresholds.of(every)
    if limits is None:
        return
    assert limits.least <= limits.most <= limits.fails
    assert not any(limits.answer(score.kept) == PASSED for score in every if score.result == FAILED)
    assert not any(limits.answer(score.kept) == FAILED for score in every if score.result == PASSED)


def test_models_that_lost_too_much_set_the_lower_end() -> None:
    """Passed .4 to .6; failed at .1 (too much lost) and .9: (.4 + .1) / 2 and (.6 + .9) / 2."""
    limits = thresholds.of(scores([0.4, 0.5, 0.6], [0.1, 0.9]))
    assert limits is not None
    assert (round(limits.least, 9), round(limits.most, 9)) == (0.25, 0.75)
    assert [limits.answer(k) for k in (0.1, 0.3, 0.7, 0.8)] == [
        INCONCLUSIVE,
        PASSED,
        PASSED,
        FAILED,
    ]


def test_between_models_that_passed_and_failed_side_by_side_nothing_is_decided() -> None:
    """Passed up to .8, failed from .7: passes up to (.6 + .7) / 2, fails above .8."""
    limits = thresholds.of(scores([0.5, 0.6, 0.8], [0.7, 1.0]))
    assert limits is not None
    assert (round(limits.most, 9), limits.fails) == (0.65, 0.8)
    assert limits.answer(0.75) == INCONCLUSIVE


def test_a_model_that_fails_by_rules_alone_says_nothing_of_how_much_may_be_lost() -> None:
    """A random edit reads as an honest one does, and answers for the class as before."""
    random = Score(kept=0.5, result=FAILED, rules=FAILED)
    limits = thresholds.of([*scores([0.4, 0.6], [0.9]), random])
    assert limits is not None
    assert (round(limits.least, 9), round(limits.most, 9)) == (0.3, 0.75)
    assert limits.of_model(random) == FAILED


def test_without_either_kind_there_are_none() -> None:
    assert thresholds.of(scores([], [0.9])) is None
    assert thresholds.of(scores([0.5], [])) is None
    assert thresholds.of(scores([0.9], [0.5])) is None  # what failed lies below what passed
