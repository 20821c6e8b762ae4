"""The statistics of the audits, all in float64: intervals, areas under curves, distances.

Comparison lives in `estimates`, the tests of equivalence in `equivalence`.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from audits.errors import BadStatistic, TooFewSamples
from audits.estimates import Estimate, bootstrap, images


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of a proportion.

    Raises:
        TooFewSamples: no trial.
    Source: Clopper and Pearson 1934.

    >>> [round(x, 4) for x in clopper_pearson(0, 100)]
    [0.0, 0.0362]
    """
    if trials < 1:
        raise TooFewSamples("A proportion of no trials has no interval: give at least one.")
    tail = (1 - confidence) / 2
    failures = trials - successes
    # quantiles of the beta distribution: the interval by inverting the binomial test
    low = special.betaincinv(successes, failures + 1, tail) if successes else 0.0
    high = special.betaincinv(successes + 1, failures, 1 - tail) if failures else 1.0
    return float(low), float(high)


def proportion(hits: np.ndarray) -> Estimate:
    """A share of images, (n,) of 0 and 1, with its exact interval."""
    hits = np.asarray(hits, dtype=np.float64)
    return Estimate(
        value=float(hits.mean()),
        parts=(images(hits, bounded=True),),
        bounds=(0.0, 1.0),
        exact=clopper_pearson(int(hits.sum()), len(hits)),
        trials=len(hits),
    )


def placements(high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each score of one group, the share of the other group on its proper side; ties are half.

    Args:
        high: Scores that should be high, (n,).
        low: Scores that should be low, (m,).
    Returns:
        (n,) share of `low` below each of `high`, (m,) share of `high` above each of `low`.
    Source: DeLong, DeLong and Clarke-Pearson 1988.
    """
    return _share_below(high, low), 1.0 - _share_below(low, high)


def _share_below(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    ordered = np.sort(others)
    strictly = np.searchsorted(ordered, scores, side="left")  # others below each score
    # others below or equal: the mean of both counts ties half
    at_most = np.searchsorted(ordered, scores, side="right")
    return (strictly + at_most) / (2.0 * len(ordered))


def auc(high: np.ndarray, low: np.ndarray) -> Estimate:
    """Area under the ROC curve with DeLong's variance, which allows paired comparison.

    The area is the chance that `high` exceeds `low`, ties counted half.

    >>> auc(np.array([2.0, 3.0]), np.array([1.0, 2.0])).value
    0.875
    """
    above, below = placements(high, low)
    return Estimate(
        value=float(above.mean()),
        parts=(images(above, bounded=True), images(below, bounded=True)),
        bounds=(0.0, 1.0),
    )


def dprime(high: np.ndarray, low: np.ndarray) -> Estimate:
    """Distance of two groups of scores in units of their spread, with its influence values.

    d' = (mean_h - mean_l) / s with s^2 = (var_h + var_l) / 2.

    Raises:
        BadStatistic: all scores of a group are equal, so that there is no unit.
    Source: Green and Swets 1966; influence function by the delta method.
    """
    spread = (np.var(high, ddof=1) + np.var(low, ddof=1)) / 2  # s^2, both groups weighed alike
    if not spread > 0 or not np.isfinite(spread):
        raise BadStatistic("d' needs scores that vary: these are constant or not finite.")
    unit = np.sqrt(spread)
    value = (np.mean(high) - np.mean(low)) / unit
    # (n,), (m,)
    centred_high, centred_low = (high - np.mean(high)) / unit, (low - np.mean(low)) / unit
    # d d' / d s^2 = -d' / (2 s^2), and each variance is half of s^2
    bend = value / 4
    return Estimate(
        value=float(value),
        parts=(
            images(centred_high - bend * (centred_high**2 - np.mean(centred_high**2))),
            images(-centred_low - bend * (centred_low**2 - np.mean(centred_low**2))),
        ),
    )


def roc(members: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ROC curve: false and true positive rates from the strictest threshold to the loosest.

    >>> [rates.tolist() for rates in roc(np.array([2.0, 3.0]), np.array([1.0, 2.0]))]
    [[0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0]]
    """
    # each distinct score once, from the strictest
    thresholds = np.unique(np.concatenate([members, others]))[::-1]
    rates = [
        1.0 - np.searchsorted(np.sort(group), thresholds, side="left") / len(group)
        for group in (others, members)
    ]
    fpr, tpr = (np.concatenate([[0.0], rate]) for rate in rates)
    return fpr, tpr


def tpr_at_fpr(
    members: np.ndarray, others: np.ndarray, fpr: float, *, weights: np.ndarray | None = None
) -> Estimate:
    """True positive rate at a fixed false positive rate, never above it.

    Args:
        members: Scores of members, (n,).
        others: Scores of non-members, (m,).
        fpr: The false positive rate, 0.01 or 0.001.
        weights: Bootstrap counts of the non-members, (B, m), for the threshold's own error.
    Raises:
        TooFewSamples: fewer than 1/fpr non-members (100 at 1%, 1000 at 0.1%).
    Source: Carlini et al. 2022, arXiv:2112.03570.
    """
    least = least_others(fpr)
    if len(others) < least:
        raise TooFewSamples(
            f"TPR at {fpr:.1%} FPR needs {least} non-members, {len(others)} are given: leave it "
            "out, or give more held-out rows of the class."
        )
    # strictly above: ties at the threshold would exceed the allowed rate
    caught = members > _threshold(others, fpr)
    parts = [images(caught.astype(np.float64), bounded=True)]
    if weights is not None:
        # the threshold comes from few rows in the tail: its own error counts
        resampled = [_threshold(np.repeat(others, counts), fpr) for counts in weights]
        rates = 1.0 - np.searchsorted(np.sort(members), resampled, side="right") / len(members)
        parts.append(bootstrap(rates, units=len(others)))
    return Estimate(value=float(caught.mean()), parts=tuple(parts), bounds=(0.0, 1.0))


def least_others(fpr: float) -> int:
    """Non-members from which a threshold for this false positive rate can be read off.

    >>> least_others(0.01)
    100
    """
    return int(np.ceil(1 / fpr - 1e-9))


def attained_fpr(others: np.ndarray, fpr: float) -> float:
    """The false positive rate that the threshold for `fpr` really has on these non-members.

    >>> attained_fpr(np.arange(150.0), 0.01) == 1 / 150
    True
    """
    return float((others > _threshold(others, fpr)).mean())


def _threshold(others: np.ndarray, fpr: float) -> float:
    """The least score that at most a share `fpr` of the others exceeds."""
    allowed = int(np.floor(fpr * len(others) + 1e-9))  # 1e-9 against rounding
    return float(np.partition(others, len(others) - 1 - allowed)[len(others) - 1 - allowed])


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence over the last axis, natural logarithm: 0 to ln 2.

    Source: Lin 1991.

    >>> round(float(jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0]))), 4)  # ln 2
    0.6931
    """
    middle = (p + q) / 2
    return (special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum(-1) / 2


def total_variation(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Half the summed absolute difference over the last axis: 0 to 1."""
    return np.abs(p - q).sum(-1) / 2


def bootstrap_weights(
    groups: np.ndarray, replicates: int, generator: np.random.Generator
) -> np.ndarray:
    """How often each unit is drawn in each replicate, resampling within its group.

    Args:
        groups: Group of each unit, (n,).
        replicates: Number of replicates, B.
        generator: Source of the draws.
    Returns:
        Counts, (B, n), int64; each group keeps its size.
    """
    weights = np.zeros((replicates, len(groups)), dtype=np.int64)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        shares = np.full(len(rows), 1 / len(rows))
        weights[:, rows] = generator.multinomial(len(rows), shares, size=replicates)
    return weights
