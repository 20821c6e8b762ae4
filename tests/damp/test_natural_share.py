"""The natural share: separability from rows, and the goals that linear maps give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from damp.natural_share import (
    LinearMap,
    RowGeometry,
    cells_of,
    discriminability,
    natural_goals,
)


def brute_squared(target, rows, labels, forget, brute):
    """s^2 of one prototype, by explicit inverses."""
    kept = sorted(set(labels.tolist()) - set(forget))
    retain = brute.prototypes(rows, labels, kept)
    spread = brute.covariance(rows[~np.isin(labels, forget)])
    gap = target - brute.mixture_weights(target, retain, spread) @ retain
    return gap @ np.linalg.inv(spread) @ gap, spread


@pytest.mark.parametrize("forget", [[2], [0, 3]])
def test_separability_is_the_brute_force_one_less_the_noise_of_the_mean(clouds, brute, forget):
    rows, labels = clouds(1, 5, (6,), 30)
    geometry = RowGeometry.from_rows(rows, labels, forget)
    x, y = rows.numpy(), labels.numpy()
    for number, label in enumerate(forget):
        own = x[y == label]
        squared, spread = brute_squared(own.mean(0), x, y, forget, brute)
        # an unbiased covariance over n: the variance of a mean
        noise = np.trace(np.linalg.inv(spread) @ np.cov(own.T)) / len(own)
        assert float(geometry.squared[number]) == pytest.approx(squared - noise, rel=1e-5)
        assert float(geometry.noise[number]) == pytest.approx(noise, rel=1e-9)


def test_discriminability_is_that_of_fishers_discriminant(clouds):
    """Along S^-1 (mean_f - mean_r): the distance of the means in standard deviations there."""
    rows, labels = clouds(1, 5, (6,), 400)
    x, y = rows.numpy(), labels.numpy()
    own, others = x[y == 2], x[y != 2]
    spread = (np.cov(own.T, bias=True) + np.cov(others.T, bias=True)) / 2
    axis = np.linalg.solve(spread, own.mean(0) - others.mean(0))
    one, two = own @ axis, others @ axis
    expected = (one.mean() - two.mean()) / np.sqrt((one.var() + two.var()) / 2)
    assert float(discriminability(rows, labels, [2])) == pytest.approx(expected, rel=0.02)


def test_a_class_between_the_others_has_no_separability_and_is_told_all_the_same():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(6000) % 3
    # the class to forget, 2, lies nearer to one of the others than their mean does
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.5, 0.0]]).double()
    rows = centres[labels] + torch.randn(6000, 2, generator=generator).double()
    assert float(RowGeometry.from_rows(rows, labels, [2]).separability) < 0.1
    assert float(discriminability(rows, labels, [2])) > 0.7


def test_a_class_that_is_drawn_as_a_mixture_of_the_others_shows_only_noise():
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(40):
        rows = torch.randn(400, 8, generator=generator, dtype=torch.float64)
        labels = torch.arange(400) % 4
        geometry = RowGeometry.from_rows(rows, labels, [1])
        values.append(float(geometry.squared[0]))
        assert float(geometry.squared[0]) < 3 * float(geometry.noise[0])
    # the planted case beside it: a shift of one standard deviation is seen for what it is
    rows[labels == 1, 0] += 1.0
    assert float(RowGeometry.from_rows(rows, labels, [1]).separability[0]) > 0.7 > np.mean(values)


def test_the_regression_is_the_ridge_solution(clouds):
    rows, labels = clouds(2, 4, (5,), 25)
    targets = rows @ torch.arange(15.0, dtype=torch.float64).view(5, 3) + labels[:, None]
    (regression,) = LinearMap.fitted(rows, targets)
    # ridge regression as least squares on rows to which sqrt(ridge) I is appended
    x, y = (rows - rows.mean(0)).numpy(), (targets - targets.mean(0)).numpy()
    ridge = 0.01 * np.mean(np.var(x, axis=0)) * len(x)
    stacked = np.vstack([x, np.sqrt(ridge) * np.eye(5)])
    weights, *_ = np.linalg.lstsq(stacked, np.vstack([y, np.zeros((5, 3))]), rcond=None)
    np.testing.assert_allclose(regression.weights.numpy(), weights, atol=1e-9)
    np.testing.assert_allclose(regression(rows).mean(0).numpy(), targets.mean(0).numpy(), atol=1e-9)


def test_features_that_do_not_vary_predict_the_mean():
    (regression,) = LinearMap.fitted(torch.ones(6, 2).double(), torch.arange(6.0).double()[:, None])
    assert regression(torch.full((1, 2), 9.0).double()).item() == pytest.approx(2.5)


def test_goals_are_where_chained_maps_put_the_prototype(clouds, brute):
    first, labels = clouds(3, 5, (6,), 40)
    generator = torch.Generator().manual_seed(1)
    second = first @ torch.randn(6, 5, generator=generator, dtype=torch.float64)
    second = second + 0.3 * torch.randn(len(second), 5, generator=generator, dtype=torch.float64)
    third = second @ torch.randn(5, 4, generator=generator, dtype=torch.float64)
    third = third + 0.3 * torch.randn(len(third), 4, generator=generator, dtype=torch.float64)
    # what was learnt for class 2 alone, at both depths: away from all others
    for features in (second, third):
        away = features[labels == 2].mean(0) - features[labels != 2].mean(0)
        features[labels == 2] += 3 * away
    maps = [first, second, third]
    goals = natural_goals(maps, maps, labels, [2])
    kept = labels != 2
    predicted = first[labels == 2].mean(0)
    for place, goal in zip((1, 2), goals, strict=True):
        x, y = maps[place - 1][kept].numpy(), maps[place][kept].numpy()
        spread = np.cov(x.T, bias=True)
        spread += 0.01 * np.trace(spread) / len(spread) * np.eye(len(spread))
        weights = np.linalg.solve(spread, (x - x.mean(0)).T @ (y - y.mean(0)) / len(x))
        predicted = (np.asarray(predicted) - x.mean(0)) @ weights + y.mean(0)
        squared, _ = brute_squared(predicted, maps[place].numpy(), labels.numpy(), [2], brute)
        assert float(goal.goal[0]) == pytest.approx(squared**0.5, rel=1e-4)
        assert float(goal.goal[0]) < 0.8 * float(goal.before[0])


def test_what_follows_from_the_depth_before_is_all_natural(clouds):
    first, labels = clouds(4, 5, (6,), 60)
    second = first @ torch.randn(6, 6, generator=torch.Generator().manual_seed(2)).double()
    (goal,) = natural_goals([first, second], [first, second], labels, [1])
    assert float(goal.share[0]) == pytest.approx(1.0, abs=0.08)


def test_a_goal_is_never_above_what_is_there(clouds):
    first, labels = clouds(5, 5, (6,), 60)
    second = first.clone()
    second[labels == 1] = second[labels == 2]  # indistinguishable there, though not before
    (goal,) = natural_goals([first, second], [first, second], labels, [1])
    assert float(goal.goal[0]) <= float(goal.before[0])


def test_maps_are_as_fine_as_they_may_be():
    maps = torch.randn(2, 512, 8, 8)
    torch.testing.assert_close(
        cells_of(maps), torch.nn.functional.adaptive_avg_pool2d(maps, 2).flatten(1)
    )
    assert cells_of(torch.randn(2, 32, 8, 8)).shape == (2, 2048)


def test_what_the_depth_before_predicts_is_natural_in_discriminability_too(clouds):
    """Where the next depth is a linear map of the one before, its d' is the class's own."""
    rows, labels = clouds(2, 5, (6,), 200)
    mixed = rows @ torch.randn(6, 6, generator=torch.Generator().manual_seed(1)).double()
    (goal,) = natural_goals([rows, mixed], [rows, mixed], labels, [3])
    now = discriminability(mixed, labels, [3])
    assert float(goal.apart) == pytest.approx(float(now), rel=0.05)  # ridge
    # with a direction that was learnt for the class alone, the goal stays what it was
    learnt = mixed + 9.0 * (labels == 3).double()[:, None]
    (after,) = natural_goals([rows, learnt], [rows, learnt], labels, [3])
    assert float(after.apart) == pytest.approx(float(goal.apart), rel=0.02)
    assert float(discriminability(learnt, labels, [3])) > 1.5 * float(now)


@pytest.mark.parametrize("count", [6, 400])
def test_discriminability_is_less_what_the_noise_of_the_mean_adds(clouds, brute, count):
    """By explicit inverses; of a class that is drawn like the others nothing is left."""
    rows, labels = clouds(1, 5, (3,), count)
    x, y = rows.numpy(), labels.numpy()
    for label, measured in zip((2, 4), discriminability(rows, labels, [2, 4]), strict=True):
        own, others = x[y == label], x[~np.isin(y, (2, 4))]
        spread = (np.cov(own.T, bias=True) + np.cov(others.T, bias=True)) / 2
        inverse = np.linalg.inv(spread + 0.01 * np.trace(spread) / 3 * np.eye(3))
        apart = own.mean(0) - others.mean(0)
        squared = apart @ inverse @ apart - np.trace(inverse @ np.cov(own.T)) / count
        assert float(measured) == pytest.approx(max(squared, 0) ** 0.5, rel=1e-9)
    alike = rows.clone()
    alike[labels == 2] = rows[labels == 0]
    assert float(discriminability(alike[labels % 2 == 0], labels[labels % 2 == 0] % 4, [2])) >= 0
