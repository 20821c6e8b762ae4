"""The null of a figure that is measured between two models.

The candidate is compared with each of K references, and so are the references with each other;
their pairs share members. With a value of a pair = mu + a_i + a_j + e_ij (a the models' own, e the
pair's), the mean over the candidate's pairs less the mean over the references' is

    D = a_c - mean(a) + mean(e_ci) - mean(e_ij),

of variance (s_a^2 + s_e^2 (K + 1) / (K - 1)) / K by the references. Means that leave one reference
out vary too little: each holds every other reference, so that (K - 2) / (K - 1) of a is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audits.estimates import Estimate, bootstrap


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairNull:
    """What the references' pairs are to a candidate and to the original.

    Attributes:
        members: (K,) estimates, the references counted as a candidate is: their spread is that of
            one more model.
        to_candidate: (K,) estimates of the same mean, whose spread over K is the variance of the
            candidate's difference by the references.
        to_original: The same for the original.
    """

    members: tuple[Estimate, ...]
    to_candidate: tuple[Estimate, ...]
    to_original: tuple[Estimate, ...]


def null_of(
    candidate: np.ndarray, original: np.ndarray, among: np.ndarray, *, units: int
) -> PairNull:
    """The null of one figure.

    Args:
        candidate: (K, 1 + B), its values with each reference, of all images and of each resample.
        original: (K, 1 + B), the original's.
        among: (K, K, 1 + B), the references' with each other, symmetric; the diagonal is not read.
        units: Images that were resampled.
    """
    own = effects(among)  # (K, 1 + B)
    mean = among[~np.eye(len(among), dtype=bool)].mean(0)  # (1 + B,)

    def as_estimates(values: np.ndarray) -> tuple[Estimate, ...]:
        return tuple(
            Estimate(value=float(row[0]), parts=(bootstrap(row[1:], units=units),))
            for row in values
        )

    return PairNull(
        members=as_estimates(mean + own),
        to_candidate=as_estimates(mean - influence(candidate, own)),
        to_original=as_estimates(mean - influence(original, own)),
    )


def effects(among: np.ndarray) -> np.ndarray:
    """Each reference's own a, less their mean, by least squares on the pairs.

    Args:
        among: (K, K, ...), symmetric; the diagonal is not read.
    Returns:
        (K, ...); zeros of two references, whose one pair says nothing of the one or the other.
    Source: Griffing 1956 (diallel crosses, method 4: general combining ability).

    >>> a = np.array([1.0, 2.0, 6.0, -1.0])
    >>> effects(a[:, None] + a)
    array([-1.,  0.,  4., -3.])
    """
    count = len(among)
    if count < 3:
        return np.zeros(among.shape[1:])
    others = ~np.eye(count, dtype=bool)
    totals = np.stack([among[i][others[i]].sum(0) for i in range(count)])  # (K, ...)
    fitted: np.ndarray = (count * totals - totals.sum(0)) / (count * (count - 2))
    return fitted


def influence(values: np.ndarray, own: np.ndarray) -> np.ndarray:
    """What each reference does to the difference D, scaled so that their variance over K is D's.

    A reference moves the candidate's mean by its a and the null's by twice that, so that what it
    does is x_i - 2 a_i. With l in place of 2, and a factor, the variance is unbiased for every mix
    of s_a and s_e, and D over its root is Student's t with K - 1 degrees of freedom where a and e
    are normal: x_i - mean(x) - l a_i are K exchangeable numbers, independent of D.

    Args:
        values: (K, ...), x, the model's value with each reference.
        own: (K, ...), a by `effects`.
    Returns:
        (K, ...), of mean 0.
    """
    count = len(values)
    centred = values - values.mean(0)
    if count < 3:
        # from the model's own values alone, which hold s_a^2 + s_e^2: as if all were s_e^2
        return centred * np.sqrt((count + 1) / max(count - 1, 1))
    slope = _slope(count)
    scaled: np.ndarray = (centred - slope * own) / (slope - 1)
    return scaled


def _slope(count: int) -> float:
    """The larger l of (1 + l^2 / (K - 2)) / (1 - l)^2 = (K + 1) / (K - 1): near 2 for many."""
    square, twice = count**2 - 2 * count - 1, 2 * (count + 1)
    # square / (K - 2) l^2 - twice l + 2 = 0
    leading = square / (count - 2)
    return float((twice + np.sqrt(twice**2 - 8 * leading)) / (2 * leading))


def mean_over_pairs(pairs: np.ndarray, *, units: int) -> Estimate:
    """The mean over a model's pairs, (K, 1 + B), as an estimate."""
    values = pairs.mean(0)
    return Estimate(value=float(values[0]), parts=(bootstrap(values[1:], units=units),))


def table(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Values of the references with each other, (K, K, 1 + B), from the rows above the diagonal."""
    count = len(rows) + 1
    size = len(rows[0][0])
    values = np.zeros((count, count, size))
    for i, row in enumerate(rows):
        for offset, value in enumerate(row):
            j = i + 1 + offset
            values[i, j] = values[j, i] = value
    return values
