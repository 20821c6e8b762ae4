"""What a test will be able to decide, by formulas and by drawing again."""

from __future__ import annotations

import math
from dataclasses import astuple, replace
from statistics import fmean, stdev

import numpy as np
import pytest
from scipy import stats

from audits import forecast
from audits.error_budget import ErrorBudget, ErrorPart
from audits.finding import Figure
from audits.regions import Bounds, Region, Side, chance_within, region

NULL = (0.40, 0.46, 0.50, 0.53, 0.61)


def budget(part: ErrorPart, *, null: tuple[float, ...] = NULL, floor: float = 0.0) -> ErrorBudget:
    of_mean = stdev(null) ** 2 / len(null)
    return ErrorBudget(
        sampling=(part,),
        baseline=ErrorPart(
            candidate=of_mean,
            original=of_mean,
            shared=of_mean,
            freedom=len(null) - 1.0,
            floor=floor,
        ),
        members=len(null),
    )


def figure(own: ErrorBudget | None, *, null: tuple[float, ...] = NULL) -> Figure:
    error, freedom = (0.05, 9.0) if own is None else own.of_share(0.0)
    return Figure(
        name="figure",
        label="figure",
        value=0.5,
        interval=(0.4, 0.6),
        null=null,
        original=0.9,
        difference=0.0,
        standard_error=error,
        degrees_of_freedom=freedom,
        against="retrained",
        standard_error_original=error,
        budget=own,
    )


PART = ErrorPart(candidate=0.0016, original=0.0004, shared=0.0002, freedom=99, floor=0.0001)
OTHER = ErrorPart(candidate=0.0036, original=0.0008, shared=0.0004, freedom=49, floor=0.0003)


def test_an_honest_candidate_errs_as_retrained_models_do_on_the_mean() -> None:
    """Four fifths of a baseline of four others are that of five."""
    original = figure(budget(PART))
    judged = [figure(budget(part, null=NULL[:4], floor=0.5)) for part in (PART, OTHER)]
    own = forecast.honest(original, judged).budget
    assert own is not None
    assert own.baseline is not None
    (part,) = own.sampling
    assert astuple(part) == pytest.approx((0.0026, 0.0006, 0.0003, 74, 0.0002))
    of_four = stdev(NULL[:4]) ** 2 / 4
    assert own.baseline.candidate == pytest.approx(0.8 * of_four)
    assert own.baseline.original == pytest.approx(0.8 * of_four)
    assert own.baseline.shared == pytest.approx(0.8 * of_four)
    assert own.baseline.floor == pytest.approx(0.4)
    assert (own.baseline.freedom, own.members) == (4.0, 5)


def test_the_honest_figure_says_the_error_of_its_own_budget() -> None:
    judged = [figure(budget(OTHER, null=NULL[:4]))]
    honest = forecast.honest(figure(budget(PART)), judged)
    assert honest.budget is not None
    expected = 0.0036 + 0.8 * stdev(NULL[:4]) ** 2 / 4
    assert honest.standard_error == pytest.approx(math.sqrt(expected))
    # Welch and Satterthwaite: the images' 49 degrees of freedom and the five models' four
    rest = expected - 0.0036
    assert honest.degrees_of_freedom == pytest.approx(expected**2 / (0.0036**2 / 49 + rest**2 / 4))


def test_where_no_retrained_model_was_measured_alike_the_original_stands_in() -> None:
    original = figure(budget(PART))
    assert original.budget is not None
    for judged in ([], [figure(None)], [figure(replace(budget(OTHER), sampling=(OTHER, PART)))]):
        assert forecast.honest(original, judged).budget == original.budget.of_original()
    without = figure(None)
    assert forecast.honest(without, [original]) is without


def test_more_images_and_more_models_shrink_what_each_of_them_causes() -> None:
    own = figure(budget(PART))
    more = forecast.with_more(own, references=20, images=4.0)
    assert more.budget is not None
    assert more.budget.baseline is not None
    assert own.budget is not None
    assert own.budget.baseline is not None
    # of the spread, what images do is a quarter; what trainings do stays
    left = stdev(NULL) ** 2 - PART.candidate + PART.candidate / 4
    assert len(more.null) == more.budget.members == 20
    assert fmean(more.null) == pytest.approx(fmean(NULL))
    assert stdev(more.null) == pytest.approx(math.sqrt(left))
    (part,) = more.budget.sampling
    assert part.candidate == pytest.approx(PART.candidate / 4)
    assert part.original == pytest.approx(PART.original / 4)
    assert part.shared == pytest.approx(PART.shared / 4)
    assert part.floor == pytest.approx(PART.floor / 4)
    assert part.freedom == 4 * 99
    share = left / stdev(NULL) ** 2
    assert more.budget.baseline.candidate == pytest.approx(
        own.budget.baseline.candidate * share * 5 / 20
    )
    assert more.budget.baseline.freedom == 19.0
    # the original, measured by itself: its own images and the same mean
    alone = PART.original / 4 + more.budget.baseline.original
    assert more.standard_error_original == pytest.approx(math.sqrt(alone))


def test_of_a_spread_smaller_than_what_images_do_nothing_is_left_for_trainings() -> None:
    noisy = replace(PART, candidate=1.0)
    more = forecast.with_more(figure(budget(noisy)), references=5, images=4.0)
    assert stdev(more.null) == pytest.approx(stdev(NULL) / 2)


def test_a_figure_without_a_spread_to_go_by_stays_as_it_is() -> None:
    for own in (
        figure(None),
        figure(replace(budget(PART), baseline=None)),
        figure(budget(PART), null=(0.5,)),
    ):
        assert forecast.with_more(own, references=9, images=2.0) is own
    alike = forecast.with_more(
        figure(replace(budget(PART), members=2), null=(0.5, 0.5)), references=9, images=2.0
    )
    assert alike.null == pytest.approx((0.5,) * 9)
    # of no spread the images have no share: the baseline's error falls with the models alone
    assert alike.budget is not None
    assert alike.budget.baseline is not None
    assert alike.budget.baseline.candidate == pytest.approx(stdev(NULL) ** 2 / 5 * 2 / 9)


BOUNDS = Bounds(below=0.14, above=0.14)


def chance(own: Figure, *, references: int, images: float) -> float:
    planned = forecast.with_more(own, references=references, images=images)
    allowed = region(planned, BOUNDS, alpha=0.05)
    return 0.0 if allowed is None else chance_within(planned, allowed)


def test_what_a_row_needs_is_the_least_that_suffices() -> None:
    few = figure(budget(replace(PART, candidate=0.0001)))
    needed = forecast.needed(few, BOUNDS, alpha=0.05)
    assert needed.references is not None
    assert needed.references > 5
    assert chance(few, references=needed.references, images=1.0) >= 0.8
    assert chance(few, references=needed.references - 1, images=1.0) < 0.8
    own = figure(budget(replace(PART, candidate=0.004)))
    needed = forecast.needed(own, BOUNDS, alpha=0.05)
    assert needed.images is not None
    assert needed.images > 1
    assert chance(own, references=5, images=needed.images) >= 0.8
    assert chance(own, references=5, images=needed.images / 1.03) < 0.8


def test_what_suffices_already_is_needed_and_what_nothing_lifts_is_none() -> None:
    fine = forecast.needed(figure(budget(PART)), Bounds(below=1.0, above=1.0), alpha=0.05)
    assert (fine.references, fine.images) == (5, 1.0)
    hopeless = forecast.needed(figure(budget(PART)), Bounds(below=0.01, above=0.01), alpha=0.05)
    assert (hopeless.references, hopeless.images) == (None, None)


def reached(margin: float) -> Region:
    side = Side(within=margin, outside=2 * margin, error=0.01, freedom=9)
    return Region(below=side, above=side)


@pytest.mark.parametrize("margin", [0.05, 0.1, 0.3])
def test_the_chance_of_one_row_is_that_of_the_predictive_t(margin: float) -> None:
    """One more model of five: its distance to their mean over s sqrt(1 + 1/5) is Student's t4."""
    unit = stdev(NULL) * math.sqrt(1 + 1 / 5)
    expected = stats.t.cdf(margin / unit, 4) - stats.t.cdf(-margin / unit, 4)
    chance_of_all = forecast.joint_chance([(NULL, reached(margin))], seed=3)
    assert chance_of_all == pytest.approx(expected, abs=3 * 0.5 / math.sqrt(forecast.DRAWS))


def test_both_sides_of_a_row_count_by_themselves() -> None:
    tight = Side(within=0.02, outside=0.2, error=0.01, freedom=9)
    wide = Side(within=9.0, outside=18.0, error=0.01, freedom=9)
    unit = stdev(NULL) * math.sqrt(1 + 1 / 5)
    above = stats.t.cdf(0.02 / unit, 4)
    for allowed in (Region(below=wide, above=tight), Region(below=tight, above=wide)):
        chance_of_all = forecast.joint_chance([(NULL, allowed)], seed=3)
        assert chance_of_all == pytest.approx(above, abs=3 * 0.5 / math.sqrt(forecast.DRAWS))


def test_rows_that_hang_together_are_no_independent_hurdles() -> None:
    """By brute force: two figures of the same models, one the other's mirror, or unrelated."""
    mirrored = tuple(1.0 - value for value in NULL)
    alone = forecast.joint_chance([(NULL, reached(0.1))], seed=3)
    both = forecast.joint_chance([(NULL, reached(0.1)), (mirrored, reached(0.1))], seed=3)
    assert both == pytest.approx(alone, abs=1e-3)
    unrelated = (0.44, 0.56, 0.50, 0.56, 0.44)
    unrelated = tuple(np.asarray(unrelated) - np.mean(unrelated))
    apart = forecast.joint_chance([(NULL, reached(0.1)), (unrelated, reached(0.1))], seed=3)
    assert apart < alone - 0.02
    assert forecast.joint_chance([], seed=3) == 1.0


def test_a_difference_that_is_as_large_as_the_margin_is_not_within() -> None:
    """Models that are all alike differ by nothing, which is within any margin above 0."""
    alike = (0.5, 0.5, 0.5)
    none, some = (Side(within=w, outside=1.0, error=0.01, freedom=9) for w in (0.0, 1e-9))
    for below, above, expected in ((some, some, 1.0), (none, some, 0.0), (some, none, 0.0)):
        allowed = Region(below=below, above=above)
        assert forecast.joint_chance([(alike, allowed)], seed=3) == expected


def test_no_more_references_are_asked_for_than_somebody_could_train(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = figure(budget(replace(PART, candidate=0.0001)))
    least = forecast.needed(few, BOUNDS, alpha=0.05).references
    assert least is not None
    for most, expected in ((least, least), (least - 1, None)):
        monkeypatch.setattr(forecast, "MOST_REFERENCES", most)
        assert forecast.needed(few, BOUNDS, alpha=0.05).references == expected


def test_the_least_factor_is_near_and_never_beyond_the_most() -> None:
    for least in (1.0, 1.7, 40.0, forecast.MOST_IMAGES):
        factor = forecast._least_factor(lambda images, least=least: images >= least)
        assert factor is not None
        assert least <= factor <= min(1.02 * least, forecast.MOST_IMAGES)
    assert forecast._least_factor(lambda images: images > forecast.MOST_IMAGES) is None
    assert forecast._least_factor(lambda images: True) == 1.0
