import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from audits.equivalence import equivalence, interval, power_to_accept, power_to_detect
from audits.errors import BadStatistic, TooFewSamples

finite = st.floats(-2, 2, allow_nan=False)
positive = st.floats(0.001, 1)


@given(finite, positive, st.floats(1, 500), positive, positive)
def test_within_means_that_both_one_sided_tests_reject(
    difference: float, error: float, freedom: float, below: float, above: float
) -> None:
    lower = stats.t.sf((difference + below) / error, freedom)
    upper = stats.t.cdf((difference - above) / error, freedom)
    outcome = equivalence(difference, error, freedom, below, above)
    if abs(max(lower, upper) - 0.05) > 1e-9:
        assert (outcome == "within") == (max(lower, upper) < 0.05)


@given(finite, positive, st.floats(1, 500), positive, positive)
def test_outside_and_within_exclude_each_other_and_mirror(
    difference: float, error: float, freedom: float, below: float, above: float
) -> None:
    outcome = equivalence(difference, error, freedom, below, above)
    assert outcome == equivalence(-difference, error, freedom, above, below)
    low, high = interval(difference, error, freedom)
    assert (outcome == "outside") == (low > above or high < -below)


def test_a_small_sample_is_never_taken_for_agreement() -> None:
    assert equivalence(0.0, 0.01, 20, 0.1, 0.1) == "within"
    assert equivalence(0.0, 0.10, 20, 0.1, 0.1) == "undecided"


def test_overshoot_is_outside_too() -> None:
    assert equivalence(-0.5, 0.01, 20, 0.1, 0.1) == "outside"


@pytest.mark.parametrize("difference", [math.nan, math.inf])
def test_what_is_not_finite_is_not_tested(difference: float) -> None:
    with pytest.raises(BadStatistic, match="NOT_RUN"):
        equivalence(difference, 0.1, 5, 0.1, 0.1)


def test_margins_that_enclose_nothing_are_refused() -> None:
    with pytest.raises(BadStatistic, match="enclose nothing"):
        equivalence(0.0, 0.1, 5, 0.0, 0.0)


def test_power_to_accept_is_the_share_of_models_like_the_references_that_come_out_within() -> None:
    """Brute force: what mean and spread the five leave possible, then a model drawn from each."""
    rng = np.random.default_rng(2)
    null, error, freedom = np.array([0.53, 0.58, 0.61, 0.64, 0.66]), 0.02, 15.0
    spread = np.sqrt(4 * np.var(null, ddof=1) / rng.chisquare(4, 20_000))
    mean = rng.normal(null.mean(), spread / np.sqrt(5))
    new = rng.normal(mean, spread) - null.mean()
    accepted = [equivalence(d, error, freedom, 0.15, 0.12) == "within" for d in new]
    promised = power_to_accept(null.tolist(), error, freedom, 0.15, 0.12)
    assert promised == pytest.approx(np.mean(accepted), abs=0.01)


def test_power_to_accept_promises_less_than_a_known_spread_would() -> None:
    """Five references show the spread badly: over many fives the promise is on the safe side."""
    rng = np.random.default_rng(2)
    accepted, promised = [], []
    for _ in range(1500):
        *null, new = rng.normal(0.6, 0.05, 6)
        promised.append(power_to_accept(null, 0.02, 15.0, 0.15, 0.12))
        difference = new - np.mean(null)
        accepted.append(equivalence(difference, 0.02, 15.0, 0.15, 0.12) == "within")
    assert np.mean(accepted) - 0.1 < np.mean(promised) < np.mean(accepted)


def test_power_to_detect_is_the_share_of_originals_that_come_out_outside() -> None:
    rng = np.random.default_rng(4)
    error, freedom = 0.05, 40.0
    outcome = [
        equivalence(rng.normal(0.3, error), error, freedom, 0.2, 0.2) == "outside"
        for _ in range(4000)
    ]
    promised = power_to_detect(0.9, [0.55, 0.65], error, freedom, 0.2, 0.2)
    assert promised == pytest.approx(np.mean(outcome), abs=0.03)


def test_a_margin_narrower_than_the_error_accepts_nobody() -> None:
    assert power_to_accept([0.5, 0.6, 0.7], 0.2, 10, 0.1, 0.1) == 0


def test_without_spread_or_error_power_is_certain() -> None:
    assert power_to_accept([0.5, 0.5], 0.0, 1, 0.1, 0.1) == 1
    assert power_to_detect(0.9, [0.5, 0.5], 0.0, 1, 0.1, 0.1) == 1
    assert power_to_detect(0.55, [0.5, 0.5], 0.0, 1, 0.1, 0.1) == 0


def test_power_needs_references() -> None:
    with pytest.raises(TooFewSamples, match="at least 2"):
        power_to_accept([0.5], 0.1, 5, 0.1, 0.1)
    with pytest.raises(TooFewSamples, match="give some"):
        power_to_detect(0.5, [], 0.1, 5, 0.1, 0.1)


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (0.25, "undecided"),
        (0.2499, "within"),
        (0.2501, "outside"),
        (-0.5, "undecided"),
        (-0.4999, "within"),
        (-0.5001, "outside"),
    ],
)
def test_at_a_margin_an_exact_difference_is_neither(difference: float, expected: str) -> None:
    assert equivalence(difference, 0.0, 9, below=0.5, above=0.25) == expected


@pytest.mark.parametrize(("below", "above"), [(0.0, 0.1), (0.1, 0.0), (-0.1, 0.2), (0.3, -0.1)])
def test_one_margin_may_be_0_or_below(below: float, above: float) -> None:
    middle = (above - below) / 2
    assert equivalence(middle, 0.001, 99, below, above) == "within"


@pytest.mark.parametrize("error", [math.nan, math.inf, -0.1])
def test_an_error_that_is_none_is_refused(error: float) -> None:
    for test in (
        lambda: equivalence(0.0, error, 5, 0.1, 0.1),
        lambda: power_to_accept([0.1, 0.2], error, 5, 0.1, 0.1),
        lambda: power_to_detect(0.9, [0.1, 0.2], error, 5, 0.1, 0.1),
    ):
        with pytest.raises(BadStatistic, match="NOT_RUN"):
            test()


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.2])
def test_the_power_to_accept_is_a_predictive_t_distribution(alpha: float) -> None:
    null, error, freedom = [0.50, 0.55, 0.48, 0.61], 0.02, 12.0
    reach = error * stats.t.ppf(1 - alpha, freedom)
    scale = np.std(null, ddof=1) * math.sqrt(1 + 1 / 4)
    expected = stats.t.cdf((0.2 - reach) / scale, 3) - stats.t.cdf((reach - 0.15) / scale, 3)
    power = power_to_accept(null, error, freedom, below=0.15, above=0.2, alpha=alpha)
    assert power == pytest.approx(expected)
    if alpha == 0.05:
        assert power == power_to_accept(null, error, freedom, below=0.15, above=0.2)


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.2])
@pytest.mark.parametrize("original", [0.9, 0.2, 0.6])
def test_the_power_to_detect_adds_both_sides(alpha: float, original: float) -> None:
    null, error, freedom = [0.5, 0.6], 0.05, 12.0
    needed, gap = stats.t.ppf(1 - alpha, freedom), original - 0.55
    expected = stats.t.cdf((gap - 0.2) / error - needed, freedom) + stats.t.cdf(
        (-0.15 - gap) / error - needed, freedom
    )
    power = power_to_detect(original, null, error, freedom, below=0.15, above=0.2, alpha=alpha)
    assert power == pytest.approx(expected)
    if alpha == 0.05:
        assert power == power_to_detect(original, null, error, freedom, below=0.15, above=0.2)


@pytest.mark.parametrize(
    ("original", "expected"), [(1.0, 0.0), (1.01, 1.0), (0.25, 0.0), (0.24, 1.0), (0.6, 0.0)]
)
def test_without_an_error_the_original_is_beyond_a_margin_or_not(
    original: float, expected: float
) -> None:
    """A half and a quarter about a half, all exact in binary."""
    assert power_to_detect(original, [0.5, 0.5], 0.0, 9, below=0.25, above=0.5) == expected


@pytest.mark.parametrize(
    ("below", "above", "expected"), [(0.1, 0.1, 1.0), (0.0, 0.1, 0.0), (0.1, 0.0, 0.0)]
)
def test_models_that_all_agree_lie_within_or_at_a_margin(
    below: float, above: float, expected: float
) -> None:
    assert power_to_accept([0.5, 0.5], 0.0, 9, below, above) == expected


def test_an_error_as_wide_as_the_margins_accepts_nobody() -> None:
    """Both tests ask for half the width, so that a single point is left."""
    reach = stats.t.ppf(0.95, 9)
    assert power_to_accept([0.4, 0.5], 1.0, 9, below=reach, above=reach) == 0.0
    assert power_to_accept([0.4, 0.5], 1.0, 9, below=reach, above=1.2 * reach) > 0.0


def test_an_interval_reaches_a_quantile_on_both_sides() -> None:
    reach = 0.2 * stats.t.ppf(0.95, 7)
    assert interval(0.3, 0.2, 7) == pytest.approx((0.3 - reach, 0.3 + reach))
    wide = 0.2 * stats.t.ppf(0.99, 7)
    assert interval(0.3, 0.2, 7, alpha=0.01) == pytest.approx((0.3 - wide, 0.3 + wide))
