import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from audits.equivalence import equivalence
from audits.error_budget import ErrorBudget, ErrorPart
from audits.finding import Figure
from audits.regions import Bounds, Region, Side, chance_outside, chance_within, region

NULL = (0.40, 0.46, 0.50, 0.53, 0.61)
SPREAD = float(np.std(NULL, ddof=1))


def figure(*, own: float = 0.0, shared: float = 0.0, original: float = 0.9) -> Figure:
    """A figure whose candidate and original have this sampling variance each."""
    of_mean = SPREAD**2 / len(NULL)
    budget = ErrorBudget(
        sampling=(ErrorPart(candidate=own, original=own, shared=shared, freedom=99),),
        baseline=ErrorPart(candidate=of_mean, original=of_mean, shared=of_mean, freedom=4),
        members=len(NULL),
    )
    error, freedom = budget.of_share(0.0)
    return Figure(
        name="figure",
        label="figure",
        value=0.5,
        interval=(0.4, 0.6),
        null=NULL,
        original=original,
        difference=0.0,
        standard_error=error,
        degrees_of_freedom=freedom,
        against="retrained",
        standard_error_original=error,
        budget=budget,
    )


@pytest.mark.parametrize("difference", [-0.3, -0.15, 0.0, 0.1, 0.17, 0.24, 0.31, 0.5])
def test_a_margin_in_numbers_is_the_test_of_equivalence(difference: float) -> None:
    one = figure(own=0.0004)
    allowed = region(one, Bounds(below=0.25, above=0.2), alpha=0.05)
    assert allowed is not None
    assert one.standard_error is not None
    assert one.degrees_of_freedom is not None
    assert allowed.outcome(difference) == equivalence(
        difference, one.standard_error, one.degrees_of_freedom, 0.25, 0.2
    )


def test_the_mean_of_the_retrained_models_enters_a_share_with_one_minus_it() -> None:
    """Without sampling error only that mean errs: half of it at a share of a half."""
    allowed = region(figure(), Bounds(remainder=0.5), alpha=0.05)
    assert allowed is not None
    reach = 0.5 * SPREAD / math.sqrt(5) * stats.t.ppf(0.95, 4)
    assert allowed.above.within == pytest.approx(0.5 * 0.4 - reach)
    assert allowed.above.outside == pytest.approx(0.5 * 0.4 + reach)


def test_what_images_show_of_original_and_candidate_alike_is_no_error_of_a_share() -> None:
    alike, apart = (
        region(figure(own=0.01, shared=shared), Bounds(remainder=0.5), alpha=0.05)
        for shared in (0.01, 0.0)
    )
    assert alike is not None
    assert apart is not None
    assert alike.above.error == pytest.approx(0.5 * math.sqrt(0.01 + SPREAD**2 / 5))
    assert apart.above.error == pytest.approx(math.sqrt(1.25 * 0.01 + 0.25 * SPREAD**2 / 5))


def test_an_original_with_the_lower_figure_turns_remainder_and_overshoot_round() -> None:
    high, low = (
        region(figure(original=o), Bounds(remainder=0.5, overshoot=1.0), alpha=0.05)
        for o in (0.9, 0.1)
    )
    assert high is not None
    assert low is not None
    assert low.below.within == pytest.approx(high.above.within)
    assert low.above.outside == pytest.approx(high.below.outside)


@pytest.mark.parametrize("spreads", [3.0, 5.0])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_a_margin_in_spreads_is_the_noncentral_t_test(spreads: float, alpha: float) -> None:
    allowed = region(figure(), Bounds(spreads_above=spreads), alpha=alpha)
    assert allowed is not None
    ncp, root = spreads * math.sqrt(5), math.sqrt(5)
    within = stats.nct.ppf(alpha, 4, ncp) / root * SPREAD
    outside = stats.nct.ppf(1 - alpha, 4, ncp) / root * SPREAD
    assert allowed.above.within == pytest.approx(within, rel=0.01)
    assert allowed.above.outside == pytest.approx(outside, rel=0.04)
    assert allowed.below.within == math.inf


def test_a_null_without_spread_sets_no_margin_in_spreads() -> None:
    flat = replace(figure(own=0.01), null=(0.5,) * 5)
    allowed = region(flat, Bounds(spreads_above=5.0), alpha=0.05)
    assert allowed is not None
    assert {allowed.outcome(difference) for difference in (-9.0, 0.0, 9.0)} == {"undecided"}


def test_where_the_original_is_its_own_null_no_share_is_asked() -> None:
    assert region(figure(original=0.5), Bounds(remainder=0.5), alpha=0.05) is None


def test_the_chance_to_catch_the_original_is_that_of_a_model_of_its_own() -> None:
    """Brute force: models as knowing as the original, measured apart from it."""
    generator = np.random.default_rng(1)
    bounds, one = Bounds(remainder=0.5), figure(own=0.006)
    caught = []
    for _ in range(3000):
        mean = 0.5 + generator.normal(0, SPREAD / math.sqrt(5))
        candidate, original = 0.9 + generator.normal(0, math.sqrt(0.006), 2)
        error = math.sqrt(1.25 * 0.006 + 0.25 * SPREAD**2 / 5)
        freedom = one.error_of_share(0.5)[1]
        reach = error * stats.t.ppf(0.95, freedom)
        caught.append((candidate - mean) - 0.5 * (original - mean) > reach)
    assert chance_outside(one, bounds, alpha=0.05) == pytest.approx(np.mean(caught), abs=0.03)


def test_an_honest_model_falls_in_the_region_as_often_as_promised() -> None:
    generator = np.random.default_rng(2)
    one = figure(own=0.001)
    allowed = region(one, Bounds(remainder=0.5), alpha=0.05)
    assert allowed is not None
    drawn = SPREAD * math.sqrt(1.2) * stats.t.rvs(4, size=20_000, random_state=generator)
    assert chance_within(one, allowed) == pytest.approx(
        np.mean(drawn < allowed.above.within), abs=0.01
    )


def test_findings_of_before_are_judged_by_the_error_that_they_hold() -> None:
    old = replace(figure(own=0.001), budget=None)
    allowed = region(old, Bounds(remainder=0.5), alpha=0.05)
    assert allowed is not None
    assert allowed.above.error == old.standard_error


def limit_by_hand(spreads: float, count: int, scale: float, own: float, level: float) -> float:
    """The margin less the error, exceeded with this chance: 200 spreads, the limit by halving."""
    places = (np.arange(200) + 0.5) / 200
    sigma = np.sqrt((count - 1) / stats.chi2.isf(places, count - 1))
    low, high = -1e4, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        scores = (spreads * sigma - middle) / np.sqrt(own + scale * sigma**2)
        low, high = (middle, high) if stats.norm.cdf(scores).mean() > level else (low, middle)
    return low


def of_kind(*, own: float = 0.0, population: bool = False, budget: bool = True) -> Figure:
    """A figure whose errors are computed for retrained models, or for one more of their kind."""
    one = figure(own=own)
    assert one.budget is not None
    changed = replace(one.budget, population=population)
    error, freedom = changed.of_share(0.0)
    return replace(
        one,
        budget=changed if budget else None,
        standard_error=error,
        degrees_of_freedom=freedom,
    )


@pytest.mark.parametrize("spreads", [2.0, 5.0])
@pytest.mark.parametrize(
    ("own", "population", "budget"),
    [
        (0.0, False, True),
        (0.004, False, True),
        (0.05, False, True),
        (0.004, False, False),
        (0.0, True, True),
        (0.02, True, True),
    ],
)
def test_a_margin_in_spreads_is_the_quantile_of_what_the_members_leave_possible(
    spreads: float, own: float, population: bool, budget: bool
) -> None:
    one = of_kind(own=own, population=population, budget=budget)
    allowed = region(one, Bounds(spreads_below=spreads), alpha=0.05)
    assert allowed is not None
    assert one.standard_error is not None
    # the mean of five errs by a fifth of the variance; one more member deviates as each does
    scale = 1 / 5 + (1 if population else 0)
    beyond = max(one.standard_error**2 / SPREAD**2 - scale, 0.0)
    near, far = (limit_by_hand(spreads, 5, scale, beyond, level) for level in (0.95, 0.05))
    assert allowed.below.within == pytest.approx(near * SPREAD, abs=1e-5 * SPREAD)
    assert allowed.below.outside == pytest.approx(far * SPREAD, abs=1e-5 * SPREAD)
    assert allowed.below.error == one.standard_error
    assert allowed.below.freedom == one.degrees_of_freedom
    assert allowed.above.within == math.inf


@pytest.mark.parametrize("width", [0.05, 0.3, 3.0])
def test_beside_a_number_the_wider_of_both_margins_counts(width: float) -> None:
    """Within the wider is within either: each test for it has half of alpha."""
    one = of_kind(own=0.0004)
    assert one.standard_error is not None
    assert one.degrees_of_freedom is not None
    allowed = region(one, Bounds(above=width, spreads_above=3.0), alpha=0.05)
    assert allowed is not None
    own = max(one.standard_error**2 / SPREAD**2 - 1 / 5, 0.0)
    near, far = (limit_by_hand(3.0, 5, 1 / 5, own, level) for level in (0.975, 0.05))
    half, whole = (
        one.standard_error * stats.t.ppf(1 - level, one.degrees_of_freedom)
        for level in (0.025, 0.05)
    )
    assert allowed.above.within == pytest.approx(max(width - half, near * SPREAD), abs=1e-6)
    assert allowed.above.outside == pytest.approx(max(width + whole, far * SPREAD), abs=1e-6)
    assert allowed.above.error == one.standard_error
    assert allowed.above.freedom == one.degrees_of_freedom


@pytest.mark.parametrize("null", [(0.5,), (0.5, 0.5), (0.5, 0.5001)])
def test_a_number_stands_alone_where_the_null_shows_no_spread(null: tuple[float, ...]) -> None:
    one = replace(of_kind(own=0.0004), null=null)
    plain = region(one, Bounds(above=0.3), alpha=0.05)
    beside = region(one, Bounds(above=0.3, spreads_above=3.0), alpha=0.05)
    assert plain is not None
    assert beside is not None
    flat = len(set(null)) == 1
    assert (beside == plain) is flat
    alone = region(one, Bounds(spreads_above=3.0), alpha=0.05)
    assert alone is not None
    assert (alone.above.within == -math.inf) is flat
    assert (alone.above.outside == math.inf) is flat


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (-0.1, "undecided"),
        (-0.09, "within"),
        (0.19, "within"),
        (0.2, "undecided"),
        (0.4, "undecided"),
        (0.41, "outside"),
        (-0.3, "undecided"),
        (-0.31, "outside"),
    ],
)
def test_a_difference_at_a_limit_is_neither_within_nor_beyond(
    difference: float, expected: str
) -> None:
    allowed = Region(
        below=Side(within=0.1, outside=0.3, error=0.1, freedom=4),
        above=Side(within=0.2, outside=0.4, error=0.1, freedom=4),
    )
    assert allowed.outcome(difference) == expected


def test_shares_need_an_original_that_stands_apart_and_a_margin() -> None:
    one = figure(own=0.0004)
    for lacking in (
        replace(one, standard_error=None),
        replace(one, degrees_of_freedom=None),
    ):
        assert region(lacking, Bounds(remainder=0.5), alpha=0.05) is None
        assert region(lacking, Bounds(above=0.5), alpha=0.05) is None
    assert region(replace(one, original=None), Bounds(remainder=0.5), alpha=0.05) is None
    assert Bounds(remainder=0.0).relative
    assert not Bounds(overshoot=0.5).relative
    # an original that lies exactly one above stands apart
    far = region(replace(one, original=1.5, null=(0.5,) * 5), Bounds(remainder=0.5), alpha=0.05)
    assert far is not None


@pytest.mark.parametrize("original", [0.9, 0.1])
def test_remainder_and_overshoot_have_errors_of_their_own_shares(original: float) -> None:
    """The variance of (c - m) - share (o - m), with the share of an overshoot below 0."""
    own, shared, of_mean = 0.01, 0.004, SPREAD**2 / 5
    one = figure(own=own, shared=shared, original=original)
    allowed = region(one, Bounds(remainder=0.4, overshoot=0.7), alpha=0.05)
    assert allowed is not None
    high = original > 0.5
    remains, beyond = (allowed.above, allowed.below) if high else (allowed.below, allowed.above)
    for side, share, margin in ((remains, 0.4, 0.4), (beyond, -0.7, 0.7)):
        images = own - 2 * share * shared + share**2 * own
        mean = (1 - share) ** 2 * of_mean
        total = images + mean
        freedom = total**2 / (images**2 / 99 + mean**2 / 4)
        reach = math.sqrt(total) * stats.t.ppf(0.95, freedom)
        assert side.error == pytest.approx(math.sqrt(total))
        assert side.freedom == pytest.approx(freedom)
        assert side.within == pytest.approx(margin * 0.4 - reach)
        assert side.outside == pytest.approx(margin * 0.4 + reach)
    open_ended = region(one, Bounds(remainder=0.4), alpha=0.05)
    assert open_ended is not None
    free = open_ended.below if high else open_ended.above
    assert free.within == math.inf
    assert free.error == pytest.approx(math.sqrt(own + of_mean))


def sides(below: float, above: float) -> Region:
    return Region(
        below=Side(within=below, outside=1.0, error=0.1, freedom=4),
        above=Side(within=above, outside=1.0, error=0.1, freedom=4),
    )


@pytest.mark.parametrize(("below", "above"), [(0.1, 0.2), (0.3, -0.05), (math.inf, 0.1)])
def test_one_more_training_is_predicted_by_a_t_distribution(below: float, above: float) -> None:
    scale = SPREAD * math.sqrt(1 + 1 / 5)
    expected = stats.t.cdf(above, 4, scale=scale) - stats.t.cdf(-below, 4, scale=scale)
    assert chance_within(figure(), sides(below, above)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("below", "above", "expected"),
    [
        (0.1, -0.1, 0.0),
        (0.1, -0.2, 0.0),
        (0.1, 0.2, 1.0),
        (0.0, 0.2, 0.0),
        (0.2, 0.0, 0.0),
        (-0.1, 0.2, 0.0),
        (2.0, 0.5, 1.0),
    ],
)
def test_models_that_all_agree_are_within_a_region_that_holds_0_inside(
    below: float, above: float, expected: float
) -> None:
    flat = replace(figure(), null=(0.5,) * 5)
    assert chance_within(flat, sides(below, above)) == expected


@pytest.mark.parametrize("original", [0.9, 0.1, 0.55])
def test_the_chance_to_catch_adds_what_lies_beyond_either_margin(original: float) -> None:
    one = replace(figure(own=0.006, original=original), budget=None)
    bounds = Bounds(below=0.2, above=0.1)
    chance = chance_outside(one, bounds, alpha=0.05)
    assert one.standard_error_original is not None
    assert one.degrees_of_freedom is not None
    error, freedom = one.standard_error_original, one.degrees_of_freedom
    needed = stats.t.ppf(0.95, freedom)
    gap = original - 0.5
    expected = stats.t.cdf((gap - 0.1) / error - needed, freedom) + stats.t.cdf(
        (-gap - 0.2) / error - needed, freedom
    )
    assert chance == pytest.approx(expected)
    one_sided = chance_outside(one, Bounds(above=0.1), alpha=0.05)
    assert one_sided == pytest.approx(stats.t.cdf((gap - 0.1) / error - needed, freedom))


@pytest.mark.parametrize(
    ("original", "expected"), [(0.75, 0.0), (0.76, 1.0), (0.24, 1.0), (0.25, 0.0), (0.3, 0.0)]
)
def test_without_any_error_the_original_is_beyond_or_it_is_not(
    original: float, expected: float
) -> None:
    """A margin of a quarter about .5, exact in binary, so that .75 lies at it."""
    exact = replace(
        figure(original=original),
        null=(0.5,) * 5,
        budget=None,
        standard_error=0.0,
        standard_error_original=0.0,
    )
    assert chance_outside(exact, Bounds(below=0.25, above=0.25), alpha=0.05) == expected


def test_of_an_original_whose_error_is_not_stated_no_chance_is_stated() -> None:
    one, bounds = figure(own=0.006), Bounds(above=0.1)
    for lacking in (
        replace(one, original=None),
        replace(one, standard_error_original=None),
        replace(one, degrees_of_freedom=None),
    ):
        assert chance_outside(lacking, bounds, alpha=0.05) is None
    level = replace(one, original=0.5)
    assert chance_outside(level, Bounds(remainder=0.5), alpha=0.05) is None


def test_with_the_budget_the_original_is_measured_apart_from_the_null() -> None:
    """It errs by its own images and by the mean of the null, which it has no part in."""
    one = figure(own=0.006)
    error = math.sqrt(0.006 + SPREAD**2 / 5)
    freedom = error**4 / (0.006**2 / 99 + (SPREAD**2 / 5) ** 2 / 4)
    expected = stats.t.cdf((0.4 - 0.1) / error - stats.t.ppf(0.95, freedom), freedom)
    assert chance_outside(one, Bounds(above=0.1), alpha=0.05) == pytest.approx(expected)


def test_a_figure_that_errs_in_nothing_is_judged_by_the_members_alone() -> None:
    exact = replace(figure(), budget=None, standard_error=0.0)
    allowed = region(exact, Bounds(spreads_above=3.0), alpha=0.05)
    assert allowed is not None
    expected = limit_by_hand(3.0, 5, 1 / 5, 0.0, 0.95) * SPREAD
    assert allowed.above.within == pytest.approx(expected, abs=1e-6)
