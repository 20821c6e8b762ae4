"""The linear discriminant, against explicit inverses and loops in numpy."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from audits import discriminant
from audits.estimates import Estimate, images
from audits.statistics import auc, dprime, proportion

RNG = np.random.default_rng(5)
LABELS = np.repeat([0, 1, 2, 3], [40, 30, 24, 18])
FOLD = np.arange(len(LABELS)) % 3
EVIDENCE = SimpleNamespace(forget=(1, 3), retain=(0, 2))


def rows_of(width):
    """Rows of four classes whose means and spreads differ by feature."""
    centres = RNG.normal(size=(4, width))
    return centres[LABELS] + RNG.normal(size=(len(LABELS), width)) * np.linspace(0.3, 2, width)


def shrunk(rows, shrinkage):
    """Covariance, shrunk towards the identity of the same trace."""
    covariance = np.cov(rows, rowvar=False, bias=True)
    width = len(covariance)
    return (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / width * np.eye(width)


def test_features_are_scaled_by_their_spread_and_constant_ones_are_0():
    features = rows_of(3)
    features[:, 1] = 7.0
    scaled = discriminant.standardised(features)
    assert scaled[:, 1] == pytest.approx(0.0)
    for place in (0, 2):
        own = features[:, place]
        assert scaled[:, place] == pytest.approx((own - own.mean()) / own.std())


@pytest.mark.parametrize("shrinkage", [1e-6, 0.2])
def test_every_row_is_scored_by_the_discriminant_of_the_other_folds(shrinkage):
    features = rows_of(5)
    ours = discriminant.held_out_scores(features, LABELS, FOLD, (1, 3), shrinkage)
    rest = np.isin(LABELS, (0, 2))
    for c in (1, 3):
        for row in range(0, len(LABELS), 5):
            fit = FOLD[row] != FOLD
            own, others = features[fit & (c == LABELS)], features[fit & rest]
            spread = (shrunk(own, shrinkage) + shrunk(others, shrinkage)) / 2
            axis = np.linalg.inv(spread) @ (own.mean(0) - others.mean(0))
            middle = (own.mean(0) + others.mean(0)) / 2
            assert ours[c][row] == pytest.approx((features[row] - middle) @ axis, rel=1e-6)


@pytest.mark.parametrize("width", [4, 150])
def test_of_several_shrinkages_the_largest_held_out_distance_counts(width):
    """On both sides of as many rows as features; the pooled covariance is shrunk at once."""
    features, shrinkages = rows_of(width), (0.01, 0.3, 0.9)
    ours = discriminant.strongest_scores(features, LABELS, FOLD, (1, 3), shrinkages)
    rest = np.isin(LABELS, (0, 2))
    for c in (1, 3):
        tried = np.empty((3, len(LABELS)))
        for number in range(3):
            fit, held = number != FOLD, number == FOLD
            own, others = features[fit & (c == LABELS)], features[fit & rest]
            pooled = sum(np.cov(part, rowvar=False, bias=True) for part in (own, others)) / 2
            for place, shrinkage in enumerate(shrinkages):
                level = shrinkage * np.trace(pooled) / width
                total = (1 - shrinkage) * pooled + level * np.eye(width)
                axis = np.linalg.solve(total, own.mean(0) - others.mean(0))
                middle = (own.mean(0) + others.mean(0)) / 2
                tried[place, held] = (features[held] - middle) @ axis
        apart = [
            (s[c == LABELS].mean() - s[rest].mean())
            / np.sqrt((s[c == LABELS].var() + s[rest].var()) / 2)
            for s in tried
        ]
        assert ours[c] == pytest.approx(tried[int(np.argmax(apart))], rel=1e-6)


def test_a_probe_that_gives_every_row_the_same_score_is_never_the_strongest():
    own, rest = LABELS == 1, np.isin(LABELS, (0, 2))
    scores = np.stack([np.full(len(LABELS), 9.0), RNG.normal(size=len(LABELS)) - own])
    assert discriminant._strongest(scores, own, rest) is not None
    assert discriminant._strongest(scores, own, rest) == pytest.approx(scores[1])
    # scores that vary in one of both groups alone are scores
    lone = np.where(rest, 0.0, RNG.normal(size=len(LABELS)) + 4)
    assert discriminant._strongest(np.stack([scores[1], lone]), own, rest) == pytest.approx(lone)


def test_the_strongest_is_by_both_groups_spreads_alike():
    """Means 1 apart, squared spreads 1 and 3, so 1 / root 2; means 2 apart, 9 and 23, 2 / 4."""
    own, rest = np.array([True, True, False, False]), np.array([False, False, True, True])
    near = np.array([1 - 1.0, 1 + 1.0, -np.sqrt(3), np.sqrt(3)])
    far = np.array([2 - 3.0, 2 + 3.0, -np.sqrt(23), np.sqrt(23)])
    assert discriminant._strongest(np.stack([far, near]), own, rest) == pytest.approx(near)
    # 4.2 over 5 against 1 over root 2: the larger difference wins with the larger spread
    wide = np.array([4.2 - 5.0, 4.2 + 5.0, -5.0, 5.0])
    assert discriminant._strongest(np.stack([near, wide]), own, rest) == pytest.approx(wide)


def test_figures_are_those_of_the_scores_and_their_mean_over_classes():
    features = rows_of(6)
    retain = np.isin(LABELS, (0, 2))
    scores = discriminant.held_out_scores(features, LABELS, FOLD, (1, 3), 0.1)
    several = discriminant.strongest_scores(features, LABELS, FOLD, (1, 3), (0.1, 0.5))
    for own, shrinkage in ((scores, 0.1), (several, (0.1, 0.5))):
        figures = discriminant.figures(EVIDENCE, features, LABELS, FOLD, shrinkage)
        pairs = [(own[c][c == LABELS], own[c][retain]) for c in (1, 3)]
        for name, statistic in (("dprime", dprime), ("auc", auc)):
            expected = np.mean([statistic(*pair).value for pair in pairs])
            assert figures[name].value == pytest.approx(expected)
            # the retain rows are the same for both classes: their contributions are averaged
            parts = [statistic(*pair).parts for pair in pairs]
            halves = [part[0].variance() / 4 for part in parts]
            shared = np.mean([part[1].contributions for part in parts], axis=0)
            variances = [part.variance() for part in figures[name].parts]
            assert variances[:2] == pytest.approx(halves)
            assert variances[2] == pytest.approx(np.var(shared, ddof=1) / len(shared))
        shares = [float((high > 0).mean()) for high, _ in pairs]
        assert figures["recall"].value == pytest.approx(np.mean(shares))
        assert len(figures["recall"].parts) == 2
        assert figures["recall"].bounds == (0.0, 1.0)


def test_a_score_of_exactly_0_recalls_nothing():
    scores = {1: np.where(LABELS == 1, np.arange(len(LABELS)) % 2, -1.0)}
    figures = discriminant.figures_of(scores, LABELS, np.isin(LABELS, (0, 2)))
    assert figures["recall"].value == pytest.approx((np.arange(40, 70) % 2).mean())


@pytest.mark.parametrize("varies", ["own", "rest"])
def test_equal_scores_on_one_side_alone_are_no_obstacle(varies):
    own, retain = LABELS == 1, np.isin(LABELS, (0, 2))
    noise = 0.01 * RNG.normal(size=len(LABELS))  # however little they vary
    scores = np.where(own if varies == "own" else retain, noise, 0.5)
    figures = discriminant.figures_of({1: scores}, LABELS, retain)
    assert figures["dprime"].value == pytest.approx(dprime(scores[own], scores[retain]).value)
    constant = {1: np.where(own, 1.0, 0.0)}
    why = "the probe gives all images of a kind the same score"
    expected = dict.fromkeys(("dprime", "auc", "recall"), why)
    assert discriminant.figures_of(constant, LABELS, retain) == expected
    # one class of several that cannot be read is reason enough
    both = {3: RNG.normal(size=len(LABELS)), **constant}
    assert discriminant.figures_of(both, LABELS, retain) == expected


def test_features_that_are_the_same_within_each_kind_are_not_probed():
    retain = np.isin(LABELS, EVIDENCE.retain)
    features = np.where(retain, 1.0, 2.0)[:, None] * np.ones(3)
    figures = discriminant.figures(EVIDENCE, features, LABELS, FOLD, 0.1)
    why = "the features are the same for all images of a kind"
    assert figures == dict.fromkeys(("dprime", "auc", "recall"), why)
    features[retain] += RNG.normal(size=(int(retain.sum()), 3))
    assert isinstance(discriminant.figures(EVIDENCE, features, LABELS, FOLD, 0.1)["auc"], Estimate)


def test_the_mean_of_one_estimate_is_itself():
    one = proportion(np.array([1.0, 0.0, 1.0]))
    assert discriminant.mean([one]) is one
    other = proportion(np.array([0.0, 0.0, 1.0, 1.0]))
    both = discriminant.mean([one, other])
    assert both.value == pytest.approx((2 / 3 + 1 / 2) / 2)
    expected = [one.parts[0].variance() / 4, other.parts[0].variance() / 4]
    assert [part.variance() for part in both.parts] == pytest.approx(expected)


def test_the_rows_of_a_distance_are_named_class_by_class():
    estimate = Estimate(value=1.0, parts=tuple(images(RNG.normal(size=n)) for n in (30, 18, 64)))
    rows = np.arange(1000, 1000 + len(LABELS))
    named = discriminant.of_rows(estimate, EVIDENCE, LABELS, "test rows", rows)
    expected = [rows[LABELS == 1], rows[LABELS == 3], rows[np.isin(LABELS, (0, 2))]]
    for part, own in zip(named.parts, expected, strict=True):
        assert part.units.source == "test rows"
        assert part.units.rows.tolist() == own.tolist()
    assert discriminant.of_rows("no rows", EVIDENCE, LABELS, "test rows", rows) == "no rows"
