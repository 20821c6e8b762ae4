"""An estimate with the parts of its sampling error, so that models are compared paired.

Every statistic is, to first order, a sum of contributions of independent units (images, draws). Two
models measured on the same units differ by the differences of their contributions, which is far
less than two independent samples would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from audits.errors import TooFewSamples


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One independent source of sampling error.

    Attributes:
        contributions: (m,), one number per unit; their order is the same for every model.
        divisor: The variance of the estimate is that of the contributions over this.
        freedom: Degrees of freedom of that variance.
        floor: Least variance: perfect agreement on n images does not prove a zero error.
    """

    contributions: np.ndarray
    divisor: float
    freedom: float
    floor: float = 0.0

    def variance(self) -> float:
        """Variance of the estimate that this part causes."""
        # (m,); ddof=1, as the mean is estimated from the same units
        return max(float(np.var(self.contributions, ddof=1)) / self.divisor, self.floor)

    def with_contributions(self, contributions: np.ndarray) -> Part:
        """The same units with other contributions."""
        return replace(self, contributions=contributions)

    def scaled(self, share: float) -> Part:
        """This part in an estimate in which it counts for a share only."""
        scaled = self.contributions * share
        # a variance scales with the square
        return replace(self, contributions=scaled, floor=self.floor * share**2)


def images(contributions: np.ndarray, *, bounded: bool = False) -> Part:
    """One contribution per image; the estimate is their mean.

    Args:
        contributions: (n,), n >= 2.
        bounded: Whether they lie in [0, 1]. Then the variance is never taken below 1/n^2, what a
            single deviating image of n would give.
    """
    count = len(contributions)
    _refuse_few(count)
    # n equal answers of 0 or 1 have no variance, but do not prove a rate of exactly 0
    floor = 1.0 / count**2 if bounded else 0.0
    return Part(contributions=contributions, divisor=count, freedom=count - 1, floor=floor)


def draws(values: np.ndarray, *, independent: int) -> Part:
    """One value per random draw of support images; the estimate is their mean.

    Args:
        values: (m,), m >= 2.
        independent: How many disjoint supports the rows would give: more draws than that use the
            same images again and prove nothing new.
    """
    _refuse_few(len(values))
    # a hundred draws from twenty images hold no more than their disjoint supports do
    count = max(min(len(values), independent), 1)
    return Part(contributions=values, divisor=count, freedom=max(count - 1, 1))


def bootstrap(replicates: np.ndarray, *, units: int) -> Part:
    """Replicates of the estimate itself, from resampled units (the same ones for every model)."""
    _refuse_few(len(replicates))
    # replicates scatter as the estimate itself does: nothing to divide by
    return Part(contributions=replicates, divisor=1.0, freedom=max(units - 1, 1))


def _refuse_few(count: int) -> None:
    if count < 2:
        raise TooFewSamples(f"{count} samples have no spread: give at least 2.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """A value measured on one model.

    Attributes:
        value: The statistic.
        parts: Independent sources of its sampling error, in an order of its own.
        bounds: Least and greatest value it can take.
        exact: Its 95% interval where an exact one is known (Clopper-Pearson).
    """

    value: float
    parts: tuple[Part, ...]
    bounds: tuple[float, float] = (-np.inf, np.inf)
    exact: tuple[float, float] | None = None

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The exact interval, or a t-interval cut at the bounds."""
        if self.exact is not None:
            return self.exact
        error, freedom = _combined([(p.variance(), p.freedom) for p in self.parts])
        # two-sided: (1 + confidence) / 2 is the upper quantile
        reach = error * float(special.stdtrit(freedom, (1 + confidence) / 2))
        low, high = self.bounds
        return max(low, self.value - reach), min(high, self.value + reach)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A difference with its standard error and the degrees of freedom of that."""

    difference: float
    standard_error: float
    degrees_of_freedom: float


def compare(estimate: Estimate, references: Sequence[Estimate]) -> Comparison:
    """An estimate against the mean of others that were measured on the same units.

    The squared standard error is the paired sampling variance of the difference plus, from two
    references on, their variance over their number. A single reference is taken as it is: a fixed
    model, not a sample of models.

    Raises:
        TooFewSamples: no reference.
    Source: Welch 1947, Satterthwaite 1946 (degrees of freedom).

    >>> a, b = (Estimate(value=x.mean(), parts=(images(x),)) for x in np.eye(4)[:2])
    >>> found = compare(a, [b])
    >>> found.difference, round(found.standard_error, 3)
    (0.0, 0.408)
    """
    if not references:
        raise TooFewSamples("There is no reference to compare with: give at least one.")
    values = np.array([reference.value for reference in references])
    parts = zip(estimate.parts, *(reference.parts for reference in references), strict=True)
    # error of the images: paired, as all models saw the same ones
    errors = [(part.variance(), part.freedom) for part in map(_paired, parts)]
    # error of the mean over trainings: another set of references would have another mean
    if len(values) > 1:
        errors.append((float(np.var(values, ddof=1)) / len(values), len(values) - 1.0))
    error, freedom = _combined(errors)
    return Comparison(
        difference=float(estimate.value - values.mean()),
        standard_error=error,
        degrees_of_freedom=freedom,
    )


def compare_apart(estimate: Estimate, others: Sequence[Estimate]) -> Comparison:
    """An estimate against a population of others that were measured on units of their own.

    The others are members of a population, novel classes for one, and the estimate is of one more
    member: it deviates from the population's mean as each of them does, by nature and not by what
    is asked about. So the squared standard error is the variance of the others, for the one, and
    the same over their number, for the mean. Their variance holds sampling error; where the
    estimate's own is larger, that takes its place.

    Raises:
        TooFewSamples: fewer than two others.
    Source: the prediction of one more observation, Fisher 1935.

    >>> values = np.array([0.1, 0.3, 0.2])
    >>> others = [Estimate(value=v, parts=(images(values),)) for v in values]
    >>> apart = compare_apart(Estimate(value=0.5, parts=(images(values),)), others)
    >>> round(apart.difference, 2), round(apart.standard_error, 4), apart.degrees_of_freedom
    (0.3, 0.1155, 2.0)
    """
    if len(others) < 2:
        raise TooFewSamples(f"{len(others)} others have no spread: give at least 2.")
    values = np.array([other.value for other in others])
    spread, freedom = float(np.var(values, ddof=1)), len(values) - 1.0
    own = [(part.variance(), part.freedom) for part in estimate.parts]
    if sum(variance for variance, _ in own) > spread:
        error, freedom = _combined([*own, (spread / len(values), freedom)])
    else:
        # one variance, estimated once: its degrees of freedom are those of the whole
        error = float(np.sqrt(spread * (1 + 1 / len(values))))
    return Comparison(
        difference=float(estimate.value - values.mean()),
        standard_error=error,
        degrees_of_freedom=freedom,
    )


def _paired(parts: tuple[Part, ...]) -> Part:
    """The part of a difference: contributions of the first minus the mean of the others'."""
    first, *others = parts
    # (m,): unit by unit, since all models saw the same units
    mean = np.mean([part.contributions for part in others], axis=0)
    return first.with_contributions(first.contributions - mean)


def _combined(errors: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Standard error and degrees of freedom of a sum of independent variances."""
    total = sum(variance for variance, _ in errors)
    if total <= 0:
        return 0.0, min(freedom for _, freedom in errors)
    # Welch-Satterthwaite: (sum v)^2 / sum(v^2 / freedom)
    spread = sum(variance**2 / freedom for variance, freedom in errors)
    return float(np.sqrt(total)), float(total**2 / spread)
