"""Is the forgotten class kept in where features lie in the image, not in how large they are?"""

from __future__ import annotations

import numpy as np

from audits import comparison, depth_probe, discriminant, gates, sampling
from audits.comparison import Models
from audits.estimates import Estimate
from audits.evidence import Evidence
from audits.finding import JSON, Finding
from audits.observation import Observation

AUDIT = "spatial_pattern"
LABELS = {
    f"{AUDIT}.dprime@feature_map": "Distance d' of the forgotten class from the others, by where "
    "in the last feature map the features lie",
    f"{AUDIT}.auc@feature_map": "Area under ROC for the forgotten class, by where in the last "
    "feature map the features lie",
}


def audit(evidence: Evidence, *, folds: int = 5, rows: int = 2000) -> Finding:
    """Held-out d' and AUC of a discriminant on the cells of the last map, less their mean.

    The other readers see features averaged over the image. A class can be kept in the arrangement
    alone: more on the left, less on the right, and the same on average.

    Args:
        folds: Folds of the cross-validation, stratified by class.
        rows: Test rows at most, a seeded stratified sample.
    """
    parameters: dict[str, JSON] = {
        "folds": folds,
        "rows": rows,
        "shrinkages": list(depth_probe.FEW_ROWS),
        "priors": "equal",
    }
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=2 * folds, retain_test=2)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    models = Models.of(evidence, arranged, folds=folds, rows=rows)
    sizes = comparison.sizes(evidence)
    measurements, left_out = comparison.measure_all(evidence, models, LABELS, sizes=sizes)
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters,
        left_out=left_out,
        series=comparison.side_by_side(models, [name for name in LABELS if name not in left_out]),
    )


def arranged(
    evidence: Evidence, observation: Observation, *, folds: int, rows: int
) -> dict[str, Estimate | str]:
    """Both figures of one model."""
    if observation.cells is None:
        return dict.fromkeys(
            LABELS,
            "no map of features over the image was observed: it has none, or observe it anew",
        )
    chosen = sampling.capped(evidence, rows, f"{AUDIT}.rows")
    features = arrangement(np.asarray(observation.cells[chosen], dtype=np.float64))
    why = gates.unusable(features)
    if why:
        return dict.fromkeys(LABELS, why)
    labels = evidence.test_labels[chosen]
    fold = sampling.folds(labels, folds, evidence.rng(f"{AUDIT}.folds"))
    figures = discriminant.figures(
        evidence, discriminant.standardised(features), labels, fold, depth_probe.FEW_ROWS
    )
    return {name: figures[name.split(".")[1].partition("@")[0]] for name in LABELS}


def arrangement(cells: np.ndarray) -> np.ndarray:
    """Cells less the mean over each channel's positions, (n, C, a, b) -> (n, C a b).

    >>> arrangement(np.array([[[[1.0, 3.0]]]]))
    array([[-1.,  1.]])
    """
    flat: np.ndarray = (cells - cells.mean((2, 3), keepdims=True)).reshape(len(cells), -1)
    return flat
