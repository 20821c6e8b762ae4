"""A class in one weak direction of wide features: seen, and not where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from audits import depth_probe, discriminant, sampling, whitening
from audits.depth_probe import FEW_ROWS
from audits.equivalence import interval
from audits.estimates import Estimate, compare

CLASSES, FORGET = 4, 2


class Wide:
    """Features whose variance falls off as that of real networks does, (k + 1)^-1.5.

    Every model turns them in its own way. A class lies about two others, with a lean of its own;
    the planted one lies in one direction besides, of 3% of the features' spread.
    """

    def __init__(self, width: int, rows: int) -> None:
        self.width, self.rows = width, rows
        self.labels = np.arange(rows) % CLASSES
        rng = np.random.default_rng(width)
        self.near = rng.choice([0, 1], size=rows)
        self.scales = (np.arange(width) + 1.0) ** -0.75
        # classes differ along the twenty directions of most variance
        self.centres = 1.2 * rng.standard_normal((CLASSES, width)) * self.scales
        self.centres[:, 20:] = 0.0
        self.images = rng.standard_normal((rows, width)) * self.scales

    def features(self, seed: int, *, hidden: bool = False) -> np.ndarray:
        rng = np.random.default_rng([self.width, seed])
        own = self.labels == FORGET
        centres = self.centres[self.labels].copy()
        centres[own] = 0.3 * centres[own] + 0.7 * self.centres[self.near[own]]
        noise = 0.3 * rng.standard_normal(self.images.shape) * self.scales
        features = self.images + centres + noise
        if hidden:
            # the last direction: next to no variance of its own
            size = 0.03 * float(np.sqrt((features**2).mean()))
            features[:, -1] = 0.1 * size * rng.standard_normal(self.rows) + size * own
        turn = rng.permutation(self.width)
        features = features[:, turn]
        # reflected at a random plane: no unit holds the direction by itself
        mirror = rng.standard_normal(self.width)
        mirror /= np.linalg.norm(mirror)
        turned: np.ndarray = features - 2 * np.outer(features @ mirror, mirror)
        return turned


class Kept:
    """The classes, as `discriminant.figures` asks for them."""

    forget = (FORGET,)
    retain = tuple(c for c in range(CLASSES) if c != FORGET)


def read(features: np.ndarray, labels: np.ndarray) -> dict[str, Estimate]:
    """d' by all directions and by those of little variance, as `depth_probe` reads them."""
    aside = np.isin(labels, Kept.retain) & (np.arange(len(labels)) // CLASSES % 2 == 0)
    low = whitening.tail(whitening.components(features[aside]), features[~aside])
    estimates = {}
    for name, rows, own in (("dprime", features, labels), ("tail", low, labels[~aside])):
        scaled = discriminant.standardised(rows)
        shrinkages = depth_probe.enough(scaled, 1e-6, 512) if name == "dprime" else FEW_ROWS
        fold = sampling.folds(own, 5, np.random.default_rng(0))
        estimates[name] = discriminant.figures(Kept, scaled, own, fold, shrinkages)["dprime"]
    return estimates


@pytest.fixture(
    scope="module",
    params=[(768, 1500), pytest.param((2048, 1500), marks=pytest.mark.slow)],
    ids=str,
)
def models(request):
    """Figures of four retrained models, and of one that holds the class besides."""
    wide = Wide(*request.param)
    clean = [read(wide.features(seed), wide.labels) for seed in range(4)]
    return clean, read(wide.features(9, hidden=True), wide.labels)


@pytest.mark.parametrize("figure", ["dprime", "tail"])
def test_a_class_in_one_weak_direction_is_seen(models, figure):
    clean, planted = models
    comparison = compare(planted[figure], [estimates[figure] for estimates in clean[1:]])
    low, _ = interval(
        comparison.difference, comparison.standard_error, comparison.degrees_of_freedom
    )
    assert low > 0.2


@pytest.mark.parametrize("figure", ["dprime", "tail"])
def test_a_model_without_it_is_not(models, figure):
    clean, _ = models
    comparison = compare(clean[0][figure], [estimates[figure] for estimates in clean[1:]])
    low, high = interval(
        comparison.difference, comparison.standard_error, comparison.degrees_of_freedom
    )
    assert low < 0 < high or abs(comparison.difference) < 0.2


def test_in_the_space_of_the_rows_the_axis_is_the_same():
    """Woodbury against the covariance itself, on both sides of as many rows as features."""
    rng = np.random.default_rng(1)
    for width in (20, 200):
        labels = np.repeat([0, 1], [60, 30])
        features = rng.normal(size=(90, width)) + 0.3 * labels[:, None]
        fold = np.arange(90) % 3
        plain = discriminant.held_out_scores(features, labels, fold, [1], 0.01)[1]
        # both covariances are shrunk by their own trace there, by the mean of both here
        equal = discriminant.strongest_scores(features, labels, fold, [1], (0.01,))[1]
        assert np.corrcoef(plain, equal)[0, 1] > 0.999
        own, others = features[labels == 1], features[labels == 0]
        rows = [(part - part.mean(0)) for part in (others, own)]
        covariance = sum(part.T @ part / len(part) for part in rows) / 2
        level = 0.01 * np.trace(covariance) / width
        axis = np.linalg.solve(
            0.99 * covariance + level * np.eye(width), own.mean(0) - others.mean(0)
        )
        (ours,) = discriminant._axes(others, own, (0.01,))
        assert ours == pytest.approx(axis, rel=1e-6)


def test_the_strongest_of_several_shrinkages_counts():
    wide = Wide(200, 300)
    features = discriminant.standardised(wide.features(1, hidden=True))
    fold = np.arange(300) // CLASSES % 5
    single = [
        discriminant.figures(Kept, features, wide.labels, fold, (shrinkage,))["dprime"].value
        for shrinkage in FEW_ROWS
    ]
    best = discriminant.figures(Kept, features, wide.labels, fold, FEW_ROWS)["dprime"].value
    assert best == pytest.approx(max(single))


def test_narrow_features_with_rows_enough_are_read_with_one_small_shrinkage():
    features = np.zeros((900, 64))
    assert depth_probe.enough(features, 1e-6, 512) == 1e-6
    assert depth_probe.enough(features[:200], 1e-6, 512) == FEW_ROWS
    assert depth_probe.enough(np.zeros((4000, 768)), 1e-6, 512) == FEW_ROWS
