"""Can a linear probe still read the forgotten class from frozen features?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import linalg

from audits import comparison, depths, gates, sampling
from audits.comparison import Models
from audits.estimates import Estimate
from audits.evidence import Evidence
from audits.finding import JSON, Finding
from audits.observation import Observation
from audits.statistics import auc, dprime, proportion

AUDIT = "linear_probe"
FIGURES = {
    "dprime": "Distance d' of the forgotten class from the others, seen by a linear probe at {}",
    "auc": "Area under ROC of a linear probe for the forgotten class at {}",
    "recall": "Share of the forgotten class that a linear probe finds at {}",
}


def audit(
    evidence: Evidence,
    *,
    folds: int = 5,
    shrinkage: float = 1e-6,
    few_rows: float = 0.01,
    rows: int = 4000,
    widest: int = 512,
) -> Finding:
    """Held-out d', AUC and recall of a discriminant probe, forget class against retain classes.

    Every row is scored by a probe that was fitted without it. A perfect AUC does not condemn a
    model: one that never saw the class separates it as well; only the retrained models tell.

    With rows enough the covariance is hardly shrunk, so that the probe reads the same whether
    features are scaled, rotated or sheared: a class that is hidden in a direction of little
    variance is read as well.

    Args:
        folds: Folds of the cross-validation, stratified by class.
        shrinkage: Share of the standardised covariance that is replaced by its mean diagonal.
        few_rows: The same where there are fewer than four rows per feature.
        rows: Test rows at most, a seeded stratified sample.
        widest: Features at most; wider ones go through one random projection.
    """
    parameters: dict[str, JSON] = {
        "folds": folds,
        "shrinkage": shrinkage,
        "few_rows": few_rows,
        "rows": rows,
        "widest": widest,
        "priors": "equal",
    }
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=2 * folds, retain_test=2)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    levels = depths.available(evidence)
    settings = {k: v for k, v in parameters.items() if k != "priors"}
    models = Models.of(evidence, probed, by_class=True, **settings)
    sizes = comparison.sizes(evidence)
    labels = {
        f"{AUDIT}.{figure}@{depth}": text.format(depths.words(depth))
        for depth in levels
        for figure, text in FIGURES.items()
    }
    measurements, left_out = comparison.measure_all(evidence, models, labels, sizes=sizes)
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters,
        left_out=left_out,
        series=_series(models, levels),
    )


def probed(
    evidence: Evidence,
    observation: Observation,
    *,
    folds: int,
    shrinkage: float,
    few_rows: float,
    rows: int,
    widest: int,
) -> dict[str, Estimate | str]:
    """The three figures at every depth of one model."""
    chosen = sampling.capped(evidence, rows, "linear_probe.rows")
    labels = evidence.test_labels[chosen]
    # (n,): the same folds at every depth and for every model
    fold = sampling.folds(labels, folds, evidence.rng("linear_probe.folds"))
    estimates: dict[str, Estimate | str] = {}
    for depth in (*observation.features, depths.LOGITS):
        features = depths.at(evidence, observation, depth)[chosen]
        reason = gates.unusable(features)
        if reason:
            estimates |= {f"{AUDIT}.{figure}@{depth}": reason for figure in FIGURES}
            continue
        # (n, min(D, widest))
        narrow = depths.narrowed(standardised(features), widest, evidence.rng("linear_probe.width"))
        # below four rows per feature the sample covariance is near singular
        least = shrinkage if len(narrow) >= 4 * narrow.shape[1] else few_rows
        at_depth = figures(evidence, narrow, labels, fold, least)
        estimates |= {f"{AUDIT}.{figure}@{depth}": value for figure, value in at_depth.items()}
    return estimates


def standardised(features: np.ndarray) -> np.ndarray:
    """Features in units of their spread; constant ones become zero."""
    centred = features - features.mean(0)  # (n, D)
    spread = centred.std(0)  # (D,)
    scaled: np.ndarray = centred / np.where(spread > 0, spread, 1.0)
    return scaled


def figures(
    evidence: Evidence,
    features: np.ndarray,
    labels: np.ndarray,
    fold: np.ndarray,
    shrinkage: float,
) -> dict[str, Estimate | str]:
    """The three figures: each forget class against the retain classes, then their mean.

    Args:
        features: (n, D), of rows of forget and retain classes.
        labels: (n,), their classes.
        fold: (n,), fold of each row.
        shrinkage: See `held_out_scores`.
    """
    retain = np.isin(labels, evidence.retain)
    if all(gates.unusable(features[rows]) for rows in (retain, ~retain)):
        return dict.fromkeys(FIGURES, "the features are the same for all images of a kind")
    scores = held_out_scores(features, labels, fold, evidence.forget, shrinkage)
    pairs = [(own[labels == c], own[retain]) for c, own in scores.items()]
    return {
        "dprime": _mean([dprime(*pair) for pair in pairs]),
        "auc": _mean([auc(*pair) for pair in pairs]),
        "recall": _mean([proportion(high > 0) for high, _ in pairs]),
    }


def held_out_scores(
    features: np.ndarray,
    labels: np.ndarray,
    fold: np.ndarray,
    forget: Sequence[int],
    shrinkage: float,
) -> dict[int, np.ndarray]:
    """Log odds of each forget class against the rest, by discriminants fitted on the other folds.

    Equal priors; each covariance is shrunk towards its mean diagonal. The rest are the rows of no
    forget class, so their moments serve all forget classes.

    Args:
        features: (n, D).
        labels: (n,), class of each row.
        fold: (n,), fold of each row.
        shrinkage: Above 0, so that the covariance can be inverted.
    Returns:
        Forget class -> log odds of every row, (n,).
    Source: Fisher 1936; Friedman 1989 (regularised discriminant analysis).
    """
    scores = {c: np.empty(len(features)) for c in forget}
    rest = ~np.isin(labels, forget)  # (n,): rows of no forget class
    for number in np.unique(fold):
        held = fold == number
        others, spread = _moments(features[~held & rest], shrinkage)  # (D,), (D, D)
        for c, log_odds in scores.items():
            # (D,), (D, D)
            centre, own_spread = _moments(features[~held & (labels == c)], shrinkage)
            # w = S^-1 (m1 - m0) with both classes weighed alike
            axis = linalg.solve((spread + own_spread) / 2, centre - others, assume_a="pos")
            # (x - (m1 + m0) / 2)'w: zero halfway between the means
            log_odds[held] = (features[held] - (centre + others) / 2) @ axis
    return scores


def _moments(rows: np.ndarray, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and shrunk covariance (D, D) of rows."""
    centre = rows.mean(0)
    covariance = (rows - centre).T @ (rows - centre) / len(rows)  # (D, D)
    width = len(covariance)
    # towards a multiple of the identity of the same trace
    level = shrinkage * np.trace(covariance) / width
    return centre, (1 - shrinkage) * covariance + level * np.eye(width)


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    """Mean over forget classes; the retain images are the same, so their contributions add."""
    if len(estimates) == 1:
        return estimates[0]
    parts = [estimate.parts[0].scaled(1 / len(estimates)) for estimate in estimates]
    retain = [estimate.parts[1] for estimate in estimates if len(estimate.parts) > 1]
    if retain:
        mean = np.mean([part.contributions for part in retain], axis=0)  # (r,)
        parts.append(retain[0].with_contributions(mean))
    return Estimate(
        value=float(np.mean([estimate.value for estimate in estimates])),
        parts=tuple(parts),
        bounds=estimates[0].bounds,
    )


def _series(models: Models, levels: Sequence[str]) -> dict[str, JSON]:
    """d' and AUC by depth, for the picture; depths that some model lacks are left out."""
    series: dict[str, JSON] = {}
    for figure in ("dprime", "auc"):
        usable = [d for d in levels if not models.missing(f"{AUDIT}.{figure}@{d}")]
        columns = models.columns([f"{AUDIT}.{figure}@{depth}" for depth in usable])
        series[figure] = {"depths": list(usable), **columns}
    return series
