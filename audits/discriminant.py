"""A linear discriminant, every row scored by one that was fitted without it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy import linalg

from audits import gates
from audits.estimates import Estimate, Units
from audits.evidence import Evidence
from audits.statistics import auc, dprime, proportion

FIGURES = ("dprime", "auc", "recall")
"""What is computed of held-out scores."""
Scores = Mapping[int, np.ndarray]
"""Forget class -> log odds of every row, (n,)."""


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
    shrinkage: float | Sequence[float],
) -> dict[str, Estimate | str]:
    """The three figures: each forget class against the retain classes, then their mean.

    Args:
        features: (n, D), of rows of forget and retain classes.
        labels: (n,), their classes.
        fold: (n,), fold of each row.
        shrinkage: See `held_out_scores`; of several, see `strongest_scores`.
    """
    retain = np.isin(labels, evidence.retain)
    if all(gates.unusable(features[rows]) for rows in (retain, ~retain)):
        return dict.fromkeys(FIGURES, "the features are the same for all images of a kind")
    if isinstance(shrinkage, float):
        scores = held_out_scores(features, labels, fold, evidence.forget, shrinkage)
    else:
        scores = strongest_scores(features, labels, fold, evidence.forget, shrinkage)
    return figures_of(scores, labels, retain)


def figures_of(scores: Scores, labels: np.ndarray, retain: np.ndarray) -> dict[str, Estimate | str]:
    """The three figures of held-out scores.

    Args:
        scores: Log odds of every row by forget class.
        labels: (n,), class of each row.
        retain: (n,), whether a row is of a class that stays.
    """
    pairs = [(own[labels == c], own[retain]) for c, own in scores.items()]
    if any(not np.ptp(high) > 0 and not np.ptp(low) > 0 for high, low in pairs):
        return dict.fromkeys(FIGURES, "the probe gives all images of a kind the same score")
    return {
        "dprime": mean([dprime(*pair) for pair in pairs]),
        "auc": mean([auc(*pair) for pair in pairs]),
        "recall": mean([proportion(high > 0) for high, _ in pairs]),
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


def strongest_scores(
    features: np.ndarray,
    labels: np.ndarray,
    fold: np.ndarray,
    forget: Sequence[int],
    shrinkages: Sequence[float],
) -> dict[int, np.ndarray]:
    """Of discriminants that are shrunk more and less, the one that reads a class best.

    Where there are few rows per feature no one shrinkage serves: a strong one overlooks a class in
    a direction of little variance, a weak one drowns in what the rows do not determine. The largest
    held-out d' of a few is taken, on every model alike, so that the retrained ones are as much
    above what each reads by itself.

    Args and returns: as `held_out_scores`; `shrinkages` are all tried.
    """
    scores = {c: np.empty((len(shrinkages), len(features))) for c in forget}
    rest = ~np.isin(labels, forget)
    for number in np.unique(fold):
        held = fold == number
        others = features[~held & rest]  # (n0, D)
        for c, log_odds in scores.items():
            own = features[~held & (labels == c)]  # (n1, D)
            middle = (own.mean(0) + others.mean(0)) / 2
            # (held, D) @ (D, S): one column per shrinkage
            axes = np.stack(list(_axes(others, own, shrinkages)), axis=1)
            log_odds[:, held] = ((features[held] - middle) @ axes).T
    return {c: _strongest(own, labels == c, rest) for c, own in scores.items()}


def _strongest(scores: np.ndarray, own: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Of scores (S, n) the row with the largest d'."""
    # a probe that gives every row the same score reads nothing
    spread = np.sqrt((scores[:, own].var(1) + scores[:, rest].var(1)) / 2)  # (S,)
    apart = scores[:, own].mean(1) - scores[:, rest].mean(1)
    value = np.divide(apart, spread, out=np.full(len(spread), -np.inf), where=spread > 0)
    chosen: np.ndarray = scores[int(value.argmax())]
    return chosen


def _axes(others: np.ndarray, own: np.ndarray, shrinkages: Sequence[float]) -> Iterator[np.ndarray]:
    """The discriminant's axis (D,) for each shrinkage, both classes weighed alike.

    With W the centred rows of both classes, each over the root of twice its rows, the covariance
    is W'W. Where there are fewer rows than features the inverse is taken in the space of the rows,
    (a W'W + b I)^-1 = (I - W' (W W' + b/a I)^-1 W) / b  (Woodbury 1950).

    Args:
        others: (n0, D).
        own: (n1, D).
        shrinkages: Each above 0.
    """
    rows = np.concatenate(
        [(part - part.mean(0)) / np.sqrt(2 * len(part)) for part in (others, own)]
    )  # (n, D)
    apart = own.mean(0) - others.mean(0)  # (D,)
    count, width = rows.shape
    dual = count < width
    gram = rows @ rows.T if dual else rows.T @ rows  # (n, n) or (D, D)
    size, level = len(gram), np.trace(gram) / width
    for shrinkage in shrinkages:
        # an absolute floor: features that do not vary at all must not divide by zero
        ridge = max(shrinkage * level, np.finfo(float).tiny)
        shrunk = (1 - shrinkage) * gram + ridge * np.eye(size)
        if dual:
            inner = linalg.solve(shrunk, (1 - shrinkage) * (rows @ apart), assume_a="pos")
            yield (apart - rows.T @ inner) / ridge
        else:
            yield linalg.solve(shrunk, apart, assume_a="pos")


def _moments(rows: np.ndarray, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and shrunk covariance (D, D) of rows."""
    centre = rows.mean(0)
    covariance = (rows - centre).T @ (rows - centre) / len(rows)  # (D, D)
    width = len(covariance)
    # towards a multiple of the identity of the same trace
    level = shrinkage * np.trace(covariance) / width
    return centre, (1 - shrinkage) * covariance + level * np.eye(width)


def mean(estimates: Sequence[Estimate]) -> Estimate:
    """Mean over forget classes; the retain images are the same, so their contributions add."""
    if len(estimates) == 1:
        return estimates[0]
    parts = [estimate.parts[0].scaled(1 / len(estimates)) for estimate in estimates]
    retain = [estimate.parts[1] for estimate in estimates if len(estimate.parts) > 1]
    if retain:
        contributions = np.mean([part.contributions for part in retain], axis=0)  # (r,)
        parts.append(retain[0].with_contributions(contributions))
    return Estimate(
        value=float(np.mean([estimate.value for estimate in estimates])),
        parts=tuple(parts),
        bounds=estimates[0].bounds,
    )


def of_rows(
    estimate: Estimate | str,
    evidence: Evidence,
    labels: np.ndarray,
    source: str,
    rows: np.ndarray,
) -> Estimate | str:
    """A d' of `figures` with its rows named: of each forget class, then of the retain classes.

    Args:
        estimate: Or the reason why there is none.
        labels: (n,), as `figures` took them.
        source: Where the rows come from.
        rows: (n,), their numbers there.
    """
    if isinstance(estimate, str):
        return estimate
    groups = [rows[labels == c] for c in evidence.forget]
    groups.append(rows[np.isin(labels, evidence.retain)])
    return estimate.with_units([Units(source=source, rows=group) for group in groups])
