"""A linear probe of one model at every depth; `linear_probe` shows it, `earlier` chooses by it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from audits import depths, discriminant, gates, sampling, whitening
from audits.estimates import TEST_ROWS, Estimate
from audits.evidence import Evidence
from audits.finding import JSON
from audits.observation import Observation

AUDIT = "linear_probe"
FIGURES = ("dprime", "auc", "recall", "tail")
SETTINGS: Mapping[str, JSON] = MappingProxyType(
    {"folds": 5, "shrinkage": 1e-6, "rows": 4000, "widest": 512}
)
"""As the audit runs by default, so that a model is read once for both."""
FEW_ROWS = (1e-6, 1e-4, 1e-2)
"""Shrinkages that are tried where the rows do not determine a covariance."""
ROWS_PER_FEATURE = 4


def probed(
    evidence: Evidence,
    observation: Observation,
    *,
    folds: int,
    shrinkage: float,
    rows: int,
    widest: int,
) -> dict[str, Estimate | str]:
    """The four figures at every depth of one model."""
    chosen = sampling.capped(evidence, rows, "linear_probe.rows")
    labels = evidence.test_labels[chosen]
    # (n,): the same folds at every depth and for every model
    fold = sampling.folds(labels, folds, evidence.rng("linear_probe.folds"))
    estimates: dict[str, Estimate | str] = {}
    for depth in (*observation.features, depths.LOGITS):
        features = depths.at(evidence, observation, depth)  # (n_test, D)
        reason = gates.unusable(features[chosen])
        if reason:
            estimates |= {f"{AUDIT}.{figure}@{depth}": reason for figure in FIGURES}
            continue
        scaled = discriminant.standardised(features[chosen])  # (n, D)
        shrinkages = enough(scaled, shrinkage, widest)
        at_depth = discriminant.figures(evidence, scaled, labels, fold, shrinkages)
        at_depth["dprime"] = discriminant.of_rows(
            at_depth["dprime"], evidence, labels, TEST_ROWS, chosen
        )
        at_depth["tail"] = _tail(evidence, features, folds, rows)
        estimates |= {f"{AUDIT}.{figure}@{depth}": value for figure, value in at_depth.items()}
    return estimates


def enough(features: np.ndarray, shrinkage: float, widest: int) -> float | tuple[float, ...]:
    """One small shrinkage where the rows determine the covariance, several to try elsewhere."""
    count, width = features.shape
    plain = width <= widest and count >= ROWS_PER_FEATURE * width
    return shrinkage if plain else FEW_ROWS


def _tail(evidence: Evidence, features: np.ndarray, folds: int, rows: int) -> Estimate | str:
    """d' without the directions along which the retain rows vary most.

    Several shrinkages are tried on every width: units that hardly ever fire are among what is left.
    """
    parts = whitening.halves(evidence, rows, "linear_probe.tail")
    why = whitening.unusable(features, parts)
    if why:
        return why
    low = whitening.tail(whitening.components(features[parts.basis]), features[parts.read])
    reason = gates.unusable(low)
    if reason:
        return reason
    labels = evidence.test_labels[parts.read]  # (m,)
    fold = sampling.folds(labels, folds, evidence.rng("linear_probe.tail.folds"))
    scaled = discriminant.standardised(low)
    return discriminant.figures(evidence, scaled, labels, fold, FEW_ROWS)["dprime"]
