"""Errors of shares, against the variance of the statistic itself."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest

from audits.error_budget import ErrorBudget, ErrorPart, combined
from audits.errors import BadFigure

IMAGES = ErrorPart(candidate=0.04, original=0.09, shared=0.03, freedom=59.0)
DRAWS = ErrorPart(candidate=0.01, original=0.02, shared=0.0, freedom=9.0)
MEAN = ErrorPart(candidate=0.005, original=0.005, shared=0.005, freedom=4.0)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0, -0.7])
def test_the_variance_of_a_share_is_that_of_a_difference_of_differences(share):
    expected = 0.04 - 2 * share * 0.03 + share**2 * 0.09
    assert IMAGES.of_share(share) == pytest.approx(expected)
    assert MEAN.of_share(share) == pytest.approx((1 - share) ** 2 * 0.005)


def test_no_variance_lies_below_its_floor_or_below_0():
    high = ErrorPart(candidate=0.04, freedom=9, floor=0.05)
    assert high.of_share(0.0) == 0.05
    # more shared than there is: rounding, or estimates that do not fit
    odd = ErrorPart(candidate=0.01, original=0.01, shared=0.02, freedom=9)
    assert odd.of_share(1.0) == 0.0
    assert ErrorPart(candidate=0.5, freedom=3).of_share(0.7) == 0.5


def welch(*errors):
    """Standard error and freedom of independent variances, spelled out."""
    total = math.fsum(v for v, _ in errors)
    return math.sqrt(total), total**2 / math.fsum(v**2 / f for v, f in errors)


@pytest.mark.parametrize("share", [0.0, 0.4, -1.0])
def test_sources_of_error_add_up(share):
    parts = [(p.of_share(share), p.freedom) for p in (IMAGES, DRAWS, MEAN)]
    budget = ErrorBudget(sampling=(IMAGES, DRAWS), baseline=MEAN, members=5)
    assert budget.of_share(share) == pytest.approx(welch(*parts))
    fixed = ErrorBudget(sampling=(IMAGES, DRAWS))
    assert fixed.of_share(share) == pytest.approx(welch(*parts[:2]))


def test_nothing_that_errs_has_the_least_freedom_and_no_error():
    assert combined([(0.0, 9.0), (0.0, 4.0)]) == (0.0, 4.0)
    assert combined([(1e-30, 9.0)]) == pytest.approx((1e-15, 9.0))


@pytest.mark.parametrize(("own", "by_members"), [(0.02, True), (0.025, True), (0.026, False)])
def test_one_more_of_a_population_errs_by_its_spread_or_by_its_own_images(own, by_members):
    """The members' variance is five times that of their mean; the larger of both counts."""
    part = ErrorPart(candidate=own, freedom=59.0)
    mean = ErrorPart(candidate=0.005, freedom=4.0)
    budget = ErrorBudget(sampling=(part,), baseline=mean, members=5, population=True)
    expected = (math.sqrt(0.03), 4.0) if by_members else welch((own, 59.0), (0.005, 4.0))
    assert budget.of_share(0.0) == pytest.approx(expected)
    plain = ErrorBudget(sampling=(part,), baseline=mean, members=5)
    assert plain.of_share(0.0) == pytest.approx(welch((own, 59.0), (0.005, 4.0)))


def test_measured_by_itself_the_original_shares_the_mean_of_the_null_alone():
    baseline = ErrorPart(candidate=0.005, original=0.007, shared=0.004, freedom=4.0, floor=0.001)
    budget = ErrorBudget(sampling=(IMAGES, DRAWS), baseline=baseline, members=5, population=True)
    own = budget.of_original()
    assert [(p.candidate, p.original, p.shared) for p in own.sampling] == [
        (0.09, 0.09, 0.0),
        (0.02, 0.02, 0.0),
    ]
    assert (own.baseline.candidate, own.baseline.shared) == (0.007, 0.007)
    assert (own.baseline.floor, own.members, own.population) == (0.001, 5, True)
    assert ErrorBudget(sampling=(IMAGES,)).of_original().baseline is None


@pytest.mark.parametrize("baseline", [MEAN, None])
def test_a_budget_survives_being_taken_apart(baseline):
    budget = ErrorBudget(sampling=(IMAGES, DRAWS), baseline=baseline, members=5, population=True)
    assert ErrorBudget.from_json(asdict(budget)) == budget
    with pytest.raises(BadFigure, match="has no extra, more"):
        ErrorBudget.from_json(asdict(budget) | {"more": 1, "extra": 2})


def test_every_number_of_it_is_listed():
    budget = ErrorBudget(sampling=(IMAGES,), baseline=MEAN)
    expected = [0.04, 0.09, 0.03, 59.0, 0.0, 0.005, 0.005, 0.005, 4.0, 0.0]
    assert budget.numbers() == expected
    assert ErrorBudget(sampling=(IMAGES,)).numbers() == expected[:5]
    assert (budget.members, budget.population) == (1, False)
