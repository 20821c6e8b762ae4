"""Do two units that the head hardly uses hold the forgotten class together?"""

from __future__ import annotations

import numpy as np

from audits import comparison, depths, discriminant, gates, sampling, whitening
from audits.comparison import Models
from audits.estimates import Estimate
from audits.evidence import Evidence
from audits.finding import JSON, Finding
from audits.observation import PENULTIMATE, Head, Observation

AUDIT = "unit_pairs"
FIGURES = {
    "dprime": "Distance d' of the forgotten class from the others, by products of two of the units "
    "that the head uses least, at {}",
    "auc": "Area under ROC for the forgotten class, by products of two of the units that the head "
    "uses least, at {}",
}


def audit(
    evidence: Evidence,
    *,
    units: int = 12,
    folds: int = 5,
    shrinkage: float = 0.01,
    rows: int = 4000,
) -> Finding:
    """Held-out d' and AUC of a discriminant on the products of two little used units.

    A class can be written into two units so that neither says anything: they agree on its images
    and not on others. Whoever does so takes units that the head does not miss.

    Args:
        units: Least used units that are read.
        folds: Folds of the cross-validation, stratified by class.
        shrinkage: Share of the standardised covariance that is replaced by its mean diagonal.
        rows: Test rows at most, a seeded stratified sample; half of the retain rows give the units'
            scale and are not read.
    """
    parameters: dict[str, JSON] = {
        "units": units,
        "folds": folds,
        "shrinkage": shrinkage,
        "rows": rows,
    }
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=2 * folds, retain_test=4)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    models = Models.of(evidence, multiplied, by_class=True, **parameters)
    labels = {
        f"{AUDIT}.{figure}@{PENULTIMATE}": text.format(depths.words(PENULTIMATE))
        for figure, text in FIGURES.items()
    }
    sizes = comparison.sizes(evidence)
    measurements, left_out = comparison.measure_all(evidence, models, labels, sizes=sizes)
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters={**parameters, "cut": whitening.CLIP},
        left_out=left_out,
        series=comparison.side_by_side(models, [name for name in labels if name not in left_out]),
    )


def multiplied(
    evidence: Evidence,
    observation: Observation,
    *,
    units: int,
    folds: int,
    shrinkage: float,
    rows: int,
) -> dict[str, Estimate | str]:
    """Both figures of one model."""
    names = [f"{AUDIT}.{figure}@{PENULTIMATE}" for figure in FIGURES]
    parts = whitening.halves(evidence, rows, AUDIT)
    features = depths.at(evidence, observation, PENULTIMATE)  # (n_test, D)
    why = _unusable(observation.head, features) or whitening.unusable(features, parts)
    if why or observation.head is None:
        return dict.fromkeys(names, why)
    chosen = least_used(observation.head.weight[list(evidence.retain)], features, units)
    basis, read = features[parts.basis][:, chosen], features[parts.read][:, chosen]
    # a unit that is dead on retain rows is read in units of the others
    floor = max(float(basis.std()) * 1e-3, np.finfo(float).tiny)
    scaled = (read - basis.mean(0)) / np.maximum(basis.std(0), floor)  # (m, units)
    products = discriminant.standardised(pairs(np.clip(scaled, -whitening.CLIP, whitening.CLIP)))
    labels = evidence.test_labels[parts.read]
    fold = sampling.folds(labels, folds, evidence.rng(f"{AUDIT}.folds"))
    figures = discriminant.figures(evidence, products, labels, fold, (shrinkage,))
    return {f"{AUDIT}.{figure}@{PENULTIMATE}": figures[figure] for figure in FIGURES}


def _unusable(head: Head | None, features: np.ndarray) -> str:
    if head is None:
        return "its last layer is not linear, so that nothing says which units it uses"
    width = features.shape[1]
    if head.weight.shape[1] != width:
        return f"its last layer reads {head.weight.shape[1]} units and {width} were observed"
    if np.count_nonzero(np.ptp(features, axis=0) > 0) < 2:
        return "fewer than two of its units vary"
    return ""


def least_used(weight: np.ndarray, features: np.ndarray, units: int) -> np.ndarray:
    """Numbers of the units that move the answers least, ascending, dead ones left out.

    How much a unit moves them is the length of its column of the head, as seen by a softmax, times
    the unit's spread.

    Args:
        weight: The head's rows of the classes that stay, (r, D).
        features: (n, D).
        units: How many.
    """
    columns = np.linalg.norm(weight - weight.mean(0), axis=0)  # (D,): a common shift does nothing
    spread = features.std(0)  # (D,)
    alive = np.flatnonzero(np.ptp(features, axis=0) > 0)
    use = (columns * spread)[alive]
    return np.sort(alive[np.argsort(use, kind="stable")[:units]])


def pairs(features: np.ndarray) -> np.ndarray:
    """Products of each two columns, (n, k) -> (n, k (k - 1) / 2).

    >>> pairs(np.array([[2.0, 3.0, 5.0]]))
    array([[ 6., 10., 15.]])
    """
    first, second = np.triu_indices(features.shape[1], 1)
    return features[:, first] * features[:, second]
