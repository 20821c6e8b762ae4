"""Equivalence within a stated margin, and whether the sample could have shown it.

"No significant difference" is never taken as evidence: a figure is within its margin only where
the data exclude that it is beyond. Needs numpy and scipy.special only: `compliance` uses it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from scipy import special

from audits.errors import BadStatistic, TooFewSamples

WITHIN = "within"
OUTSIDE = "outside"
UNDECIDED = "undecided"


def interval(
    difference: float, standard_error: float, degrees_of_freedom: float, *, alpha: float = 0.05
) -> tuple[float, float]:
    """The t-interval at confidence 1 - 2 alpha (90% by default) of a difference."""
    # alpha on each side, so that both tests hold their level
    reach = standard_error * _quantile(degrees_of_freedom, alpha)
    return difference - reach, difference + reach


def equivalence(
    difference: float,
    standard_error: float,
    degrees_of_freedom: float,
    below: float,
    above: float,
    alpha: float = 0.05,
) -> str:
    """Two one-sided t-tests of -below < difference < above.

    Returns:
        "within" where both tests reject (the interval at 1 - 2 alpha lies inside the margins),
        "outside" where that interval lies wholly beyond one margin, else "undecided".
    Raises:
        BadStatistic: margins that enclose nothing, or figures that are not finite.
    Source: Schuirmann 1987.

    >>> equivalence(0.01, 0.02, 30, below=0.1, above=0.1)
    'within'
    >>> equivalence(0.01, 0.20, 30, below=0.1, above=0.1)
    'undecided'
    """
    _check(difference, standard_error, below, above)
    low, high = interval(difference, standard_error, degrees_of_freedom, alpha=alpha)
    # two tests at alpha each and no correction: both must reject (intersection-union)
    if -below < low and high < above:
        return WITHIN
    return OUTSIDE if low > above or high < -below else UNDECIDED


def power_to_accept(
    null: Sequence[float],
    standard_error: float,
    degrees_of_freedom: float,
    below: float,
    above: float,
    alpha: float = 0.05,
) -> float:
    """Chance that one more retrained model comes out "within".

    Its difference to the mean of `null` is predicted by a t-distribution around 0 with the null's
    own spread; it must fall short of both margins by what the test asks for.

    Args:
        null: The figure of each retrained reference, at least two.
        standard_error: Of a difference to their mean, as measured on the candidate.
        degrees_of_freedom: Of that standard error.
    Raises:
        TooFewSamples: fewer than two references.

    >>> round(power_to_accept([0.50, 0.52, 0.48], 0.01, 20, below=0.2, above=0.2), 2)
    0.98
    """
    _check(0.0, standard_error, below, above)
    count = len(null)
    if count < 2:
        raise TooFewSamples(f"{count} references show no spread: give at least 2.")
    reach = standard_error * _quantile(degrees_of_freedom, alpha)
    # the difference must lie in here for the interval to fit between the margins
    low, high = reach - below, above - reach
    if low >= high:
        return 0.0
    # predicts one more model against a mean of `count`
    spread = stdev(null) * math.sqrt(1 + 1 / count)
    if spread == 0:
        return float(low < 0 < high)
    # Student's t with the freedom of the null's own spread
    inside = special.stdtr(count - 1, high / spread) - special.stdtr(count - 1, low / spread)
    return float(inside)


def power_to_detect(
    original: float,
    null: Sequence[float],
    standard_error: float,
    degrees_of_freedom: float,
    below: float,
    above: float,
    alpha: float = 0.05,
) -> float:
    """Chance that a model with the original's value comes out "outside".

    Args:
        original: The original's figure.
        null: The figure of each retrained reference.
        standard_error: Of the original minus the mean of `null`.
        degrees_of_freedom: Of that standard error.
    Raises:
        TooFewSamples: no reference.

    >>> round(power_to_detect(0.9, [0.5, 0.6, 0.7], 0.05, 20, below=0.2, above=0.1), 2)
    0.98
    """
    if not null:
        raise TooFewSamples("Without a reference there is nothing to differ from: give some.")
    distance = original - fmean(null)
    _check(distance, standard_error, below, above)
    if standard_error == 0:
        return float(distance > above or distance < -below)
    needed = _quantile(degrees_of_freedom, alpha)  # beyond the margin by this many standard errors
    chances = special.stdtr(
        degrees_of_freedom,
        [
            (distance - above) / standard_error - needed,
            (-below - distance) / standard_error - needed,
        ],
    )
    # above one margin or below the other: the events exclude each other
    return float(min(1.0, sum(chances)))


def _quantile(degrees_of_freedom: float, alpha: float) -> float:
    return float(special.stdtrit(degrees_of_freedom, 1 - alpha))


def _check(difference: float, standard_error: float, below: float, above: float) -> None:
    if not (math.isfinite(difference) and math.isfinite(standard_error) and standard_error >= 0):
        raise BadStatistic(
            f"Difference {difference} with standard error {standard_error} cannot be tested: "
            "what could not be measured is NOT_RUN."
        )
    if not below + above > 0:
        raise BadStatistic(
            f"Margins -{below} to {above} enclose nothing: one of them must be above 0."
        )
