"""Bounds against scipy, against simulation, and against cases that were worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from compliance.qualification import bounds

COUNTS = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS)
def test_one_sided_bounds_agree_with_the_beta_quantiles(counts: tuple[int, int]) -> None:
    events, trials = counts
    high = stats.beta.ppf(0.95, events + 1, trials - events) if events < trials else 1.0
    low = stats.beta.ppf(0.05, events, trials - events + 1) if events else 0.0
    assert bounds.at_most(events, trials) == pytest.approx(high, abs=1e-9)
    assert bounds.at_least(events, trials) == pytest.approx(low, abs=1e-9)


def test_no_event_in_ten_by_hand() -> None:
    """(1 - p)^10 = .05 gives p = 1 - .05^.1 = .2589; ten of ten at least .05^.1 = .7411."""
    assert bounds.at_most(0, 10) == pytest.approx(1 - 0.05**0.1)
    assert bounds.at_least(10, 10) == pytest.approx(0.05**0.1)


def test_without_a_trial_nothing_is_known() -> None:
    assert (bounds.at_least(0, 0), bounds.at_most(0, 0), bounds.anytime(0, 0)) == (0.0, 1.0, 1.0)


@pytest.mark.parametrize(("events", "trials"), [(-1, 3), (4, 3)])
def test_counts_that_cannot_be_are_refused(events: int, trials: int) -> None:
    with pytest.raises(ValueError, match="count again"):
        bounds.at_most(events, trials)


def test_the_bound_at_every_look_without_failures_by_hand() -> None:
    """B(1, n + 1) = 1 / (n + 1), so (1 - p)^n = .05 / (n + 1)."""
    for n in (1, 5, 10, 40):
        assert bounds.anytime(0, n) == pytest.approx(1 - (0.05 / (n + 1)) ** (1 / n), abs=1e-9)


@given(COUNTS)
def test_the_bound_at_every_look_is_wider_than_the_one_at_a_single_look(
    counts: tuple[int, int],
) -> None:
    events, trials = counts
    assert bounds.anytime(events, trials) >= bounds.at_most(events, trials) - 1e-9
    assert bounds.anytime(events, trials) >= events / trials


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3])
def test_over_all_looks_together_the_bound_misses_with_five_per_cent_at_most(rate: float) -> None:
    generator = np.random.default_rng(20261130)
    runs, looks = 400, 60
    missed = 0
    memo: dict[tuple[int, int], float] = {}
    for _ in range(runs):
        failures = np.cumsum(generator.random(looks) < rate)
        for n, failed in enumerate(failures, 1):
            key = (int(failed), n)
            if key not in memo:
                memo[key] = bounds.anytime(*key)
            if memo[key] < rate:
                missed += 1
                break
    # four standard errors above 5%: a bound that holds at one look only misses far more often
    assert missed / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


def test_the_simulation_sees_a_bound_that_holds_at_one_look_only() -> None:
    generator = np.random.default_rng(1)
    memo: dict[tuple[int, int], float] = {}
    missed = 0
    for _ in range(200):
        failures = np.cumsum(generator.random(60) < 0.3)
        keys = [(int(failed), n) for n, failed in enumerate(failures, 1)]
        for key in keys:
            memo.setdefault(key, bounds.at_most(*key))
        missed += any(memo[key] < 0.3 for key in keys)
    assert missed / 200 > 0.1


def test_a_sequential_test_needs_more_than_one_bad_check() -> None:
    assert not bounds.rules_out(1, 1, 0.2)
    assert bounds.rules_out(6, 6, 0.2)


@pytest.mark.parametrize("classes", [3, 9])
def test_a_new_class_is_lowest_as_often_as_any_other(classes: int) -> None:
    generator = np.random.default_rng(7)
    scores = generator.random((20_000, classes + 1))
    lowest = (scores.argmin(1) == classes).mean()
    assert lowest == pytest.approx(bounds.of_a_new_class(classes), abs=0.01)
