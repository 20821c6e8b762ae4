import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from audits.equivalence import equivalence
from audits.error_budget import ErrorBudget, ErrorPart
from audits.finding import Figure
from audits.regions import Bounds, chance_outside, chance_within, region

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
