"""Does the forgotten class differ from the others in how its features scatter?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audits import comparison, depths, discriminant, earlier, gates, sampling, whitening
from audits.comparison import Models
from audits.estimates import TEST_ROWS, Estimate
from audits.evidence import Evidence
from audits.finding import JSON, Finding
from audits.observation import LOGITS, PENULTIMATE, Observation

AUDIT = "second_moments"
SETTINGS = ("folds", "shrinkage", "rows", "most")
"""Of `squared`, beside its levels."""
FIGURES = {
    "dprime": "Distance d' of the forgotten class from the others, by means and squares of the "
    "features at {}",
    "auc": "Area under ROC for the forgotten class, by means and squares of the features at {}",
}


def audit(
    evidence: Evidence,
    *,
    folds: int = 5,
    shrinkage: float = 0.01,
    rows: int = 4000,
    most: int = 256,
) -> Finding:
    """Held-out d' and AUC of a discriminant on whitened features and their squares.

    A linear reader sees where the mean of a class lies. A class can be kept without one: units that
    are large on its images, with either sign. Its squares tell it.

    Args:
        folds: Folds of the cross-validation, stratified by class.
        shrinkage: Share of the standardised covariance that is replaced by its mean diagonal.
        rows: Test rows at most, a seeded stratified sample; half of the retain rows give the
            directions and are not read.
        most: Directions at most, half of those with most variance and half of those with least.
    """
    settings: dict[str, JSON] = {
        "folds": folds,
        "shrinkage": shrinkage,
        "rows": rows,
        "most": most,
    }
    parameters = {**settings, "cut": whitening.CLIP, "floor": whitening.FLOOR, "priors": "equal"}
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=2 * folds, retain_test=4)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    before = earlier.depth(evidence)
    levels = [depth for depth in (before, PENULTIMATE, LOGITS) if depth is not None]
    models = Models.of(evidence, squared, by_class=True, levels=tuple(levels), **settings).also_at(
        earlier.NAME, before, why=earlier.NONE
    )
    where = {
        earlier.NAME: earlier.words(before),
        PENULTIMATE: depths.words(PENULTIMATE),
        LOGITS: depths.words(LOGITS),
    }
    labels = {
        f"{AUDIT}.{figure}@{depth}": text.format(words)
        for depth, words in where.items()
        for figure, text in FIGURES.items()
    }
    sizes = comparison.sizes(evidence)
    measurements, left_out = comparison.measure_all(evidence, models, labels, sizes=sizes)
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters | {earlier.NAME: before, "levels": list(levels)},
        left_out=left_out,
        series=comparison.side_by_side(models, [name for name in labels if name not in left_out]),
    )


def squared(
    evidence: Evidence,
    observation: Observation,
    *,
    levels: Sequence[str],
    folds: int,
    shrinkage: float,
    rows: int,
    most: int,
) -> dict[str, Estimate | str]:
    """Both figures of one model at each depth."""
    parts = whitening.halves(evidence, rows, AUDIT)
    labels = evidence.test_labels[parts.read]  # (m,)
    fold = sampling.folds(labels, folds, evidence.rng(f"{AUDIT}.folds"))
    figures: dict[str, Estimate | str] = {}
    for depth in levels:
        why = depths.LACKING
        if depths.has(observation, depth):
            features = depths.at(evidence, observation, depth)  # (n_test, D)
            why = whitening.unusable(features, parts)
        if why:
            figures |= {f"{AUDIT}.{figure}@{depth}": why for figure in FIGURES}
            continue
        basis = whitening.components(features[parts.basis])
        both = with_squares(whitening.whitened(basis, features[parts.read], most))
        at_depth = discriminant.figures(evidence, both, labels, fold, (shrinkage,))
        at_depth["dprime"] = discriminant.of_rows(
            at_depth["dprime"], evidence, labels, TEST_ROWS, parts.read
        )
        figures |= {f"{AUDIT}.{figure}@{depth}": at_depth[figure] for figure in FIGURES}
    return figures


def with_squares(features: np.ndarray) -> np.ndarray:
    """Features and their squares, (n, D) -> (n, 2 D), in units of their spread.

    A linear rule on them is a quadratic one without products: where a class scatters more, or less,
    along a direction, its likelihood ratio is such a rule.

    Source: Fisher 1936; the quadratic rule of Anderson and Bahadur 1962 for diagonal covariances.

    >>> with_squares(np.array([[1.0], [-1.0], [3.0], [-3.0]])).round(1)[:, 1]
    array([-1., -1.,  1.,  1.])
    """
    return discriminant.standardised(np.concatenate([features, features**2], axis=1))
