"""Do the weights before and after give the forgotten class away? What must not be published."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from audits import comparison, depths, gates
from audits.estimates import Estimate
from audits.evidence import Evidence
from audits.finding import JSON, Figure, Finding
from audits.statistics import auc

AUDIT = "edit_leakage"
FIGURES = {
    "difference": "Class told from the others by the strongest direction of the change in weights, "
    "at {}",
    "null_space": "Class told from the others by the direction that the new weights ignore most, "
    "at {}",
}
LEAST_CHANGE = 1e-9
"""Relative change of a weight below which nothing was changed there."""


def audit(evidence: Evidence) -> Finding:
    """AUC, on the original's features, of two directions that are read off the weights alone.

    `difference`: whoever holds both models subtracts them and takes the input direction that
    changed most. `null_space`: whoever holds both takes the direction that the new weight has lost
    most of, relative to the old. Informational: an edit that is confined to the class's own
    direction points at it by nature; it says which files must not lie side by side in public. The
    sign of each direction is chosen on half of the images, the AUC measured on the other half.
    """
    parameters: dict[str, JSON] = {"least_change": LEAST_CHANGE}
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=4, retain_test=4)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    if not (evidence.original.weights and evidence.candidate.weights):
        reason = "The weights were not kept: observe original and candidate with `weights=True`."
        return gates.not_run(AUDIT, evidence, reason, parameters)
    measurements: list[Figure] = []
    left_out: dict[str, str] = {}
    for depth in evidence.original.features:
        estimates = _at(evidence, depth)
        if isinstance(estimates, str):
            left_out |= {f"{AUDIT}.{figure}@{depth}": estimates for figure in FIGURES}
        else:
            measurements += [_figure(evidence, figure, depth, e) for figure, e in estimates.items()]
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters,
        left_out=left_out,
        series=_series(measurements),
    )


def _at(evidence: Evidence, depth: str) -> dict[str, Estimate] | str:
    """Both AUCs at a depth, or why there is none."""
    old, new = evidence.original.weights.get(depth), evidence.candidate.weights.get(depth)
    if old is None or new is None or old.shape != new.shape:
        return "the two models have no such weight in common"
    features = depths.at(evidence, evidence.original, depth)
    why = gates.unusable(features)
    if why:
        return why
    change = new.astype(np.float64) - old.astype(np.float64)  # (rows, D)
    # rounding of float32 is no edit: a direction read off it would be noise
    if np.linalg.norm(change) <= LEAST_CHANGE * max(float(np.linalg.norm(old)), LEAST_CHANGE):
        return "nothing was changed there"
    return {
        "difference": _separation(evidence, features, strongest(change)),
        "null_space": _separation(evidence, features, most_lost(old, new)),
    }


def strongest(change: np.ndarray) -> np.ndarray:
    """The input direction that a change of weights (rows, D) acts on most, (D,)."""
    # eigenvalues ascend: the last vector maximises |change v|
    direction: np.ndarray = linalg.eigh(change.T @ change)[1][:, -1]
    return direction


def most_lost(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The input direction with the least |new v| for its |old v|, (D,); old is ridge-regularised.

    A generalised eigenvector of (new' new, old' old).
    """
    before, after = old.T.astype(np.float64) @ old, new.T.astype(np.float64) @ new  # (D, D) each
    width = len(before)
    # directions that the old weight ignored too would win by 0 / 0
    ridge = 1e-3 * np.trace(before) / width * np.eye(width)
    # minimises (v' after v) / (v' before v)
    direction: np.ndarray = linalg.eigh(after + ridge, before + ridge)[1][:, 0]
    return direction


def _separation(evidence: Evidence, features: np.ndarray, direction: np.ndarray) -> Estimate:
    """AUC of the projection, forgotten against others, its sign chosen on the other half."""
    scores = features @ direction  # (n_test,)
    own = np.isin(evidence.test_labels, evidence.forget)
    # an eigenvector has no sign: choosing it where it is scored would find signal in noise
    half = evidence.rng("edit_leakage").permutation(len(own)) % 2 == 0
    sign = np.sign(scores[own & half].mean() - scores[~own & half].mean()) or 1.0
    return auc(sign * scores[own & ~half], sign * scores[~own & ~half])


def _figure(evidence: Evidence, figure: str, depth: str, estimate: Estimate) -> Figure:
    return Figure(
        name=f"{AUDIT}.{figure}@{depth}",
        label=FIGURES[figure].format(depths.words(depth)),
        value=estimate.value,
        interval=estimate.interval(),
        sizes=comparison.sizes(evidence),
    )


def _series(measurements: list[Figure]) -> dict[str, JSON]:
    """AUC by depth, for the picture."""
    return {
        figure: {
            "depths": [m.name.partition("@")[2] for m in measurements if f".{figure}@" in m.name],
            "candidate": [round(m.value, 4) for m in measurements if f".{figure}@" in m.name],
        }
        for figure in FIGURES
    }
