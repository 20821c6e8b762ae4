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

from audits.error_budget import ErrorBudget, ErrorPart, combined
from audits.errors import TooFewSamples

TEST_ROWS = "test rows"
"""Source of units that are held-out images."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Units:
    """What the units of a part are, so that several figures of the same ones can be pooled.

    Attributes:
        source: Where they come from; units of two sources have nothing in common.
        rows: (m,), their numbers there, each once.
    """

    source: str
    rows: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One independent source of sampling error.

    Attributes:
        contributions: (m,), one number per unit; their order is the same for every model.
        divisor: The variance of the estimate is that of the contributions over this.
        freedom: Degrees of freedom of that variance.
        floor: Least variance: perfect agreement on n images does not prove a zero error.
        units: What they are contributions of; None where nobody pools this figure with others.
    """

    contributions: np.ndarray
    divisor: float
    freedom: float
    floor: float = 0.0
    units: Units | None = None

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
        trials: Images of which it is the share, where it is one.
    """

    value: float
    parts: tuple[Part, ...]
    bounds: tuple[float, float] = (-np.inf, np.inf)
    exact: tuple[float, float] | None = None
    trials: int | None = None

    def with_units(self, units: Sequence[Units]) -> Estimate:
        """The same with the units of each part named."""
        parts = [replace(part, units=own) for part, own in zip(self.parts, units, strict=True)]
        return replace(self, parts=tuple(parts))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The exact interval, or a t-interval cut at the bounds."""
        if self.exact is not None:
            return self.exact
        error, freedom = combined([(p.variance(), p.freedom) for p in self.parts])
        # two-sided: (1 + confidence) / 2 is the upper quantile
        reach = error * float(special.stdtrit(freedom, (1 + confidence) / 2))
        low, high = self.bounds
        return max(low, self.value - reach), min(high, self.value + reach)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A difference with its standard error and the degrees of freedom of that.

    Attributes:
        budget: What the error is made of.
    """

    difference: float
    standard_error: float
    degrees_of_freedom: float
    budget: ErrorBudget


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beside:
    """The original beside a candidate: what it knows is what shares are taken of.

    Attributes:
        original: Its estimate.
        baseline: The null's members as they are to the original; the candidate's own where that
            makes no difference.
    """

    original: Estimate
    baseline: Sequence[Estimate]


def compare(
    estimate: Estimate, references: Sequence[Estimate], beside: Beside | None = None
) -> Comparison:
    """An estimate against the mean of others that were measured on the same units.

    The squared standard error is the sampling variance of the estimate, paired with the others'
    mean, plus, from two references on, the variance of these over their number. What images do to
    each reference is in both; that is left so, as a reader that was fitted errs by more than its
    images alone say. A single reference is taken as it is: a fixed model, not a sample of models.

    Args:
        beside: The original, for errors of shares; None where it has no such figure.
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
    count = len(references)
    sampling = tuple(
        _sampled(part, [r.parts[place] for r in references], beside, place)
        for place, part in enumerate(estimate.parts)
    )
    # error of the mean over trainings: another set of references would have another mean
    budget = ErrorBudget(
        sampling=sampling,
        baseline=_of_mean(references, beside, 1 / count) if count > 1 else None,
        members=count,
    )
    return _comparison(estimate, references, budget)


def compare_apart(
    estimate: Estimate, others: Sequence[Estimate], beside: Beside | None = None
) -> Comparison:
    """An estimate against a population of others that were measured on units of their own.

    The others are members of a population, novel classes for one, and the estimate is of one more
    member: it deviates from the population's mean as each of them does, by nature and not by what
    is asked about. So the squared standard error is the variance of the others, for the one, and
    the same over their number, for the mean. Their variance holds sampling error; where the
    estimate's own is larger, that takes its place.

    Args:
        beside: The original and the same others on it: a class that is less readable by nature is
            so in both, so that a share of the one taken from the other leaves less of that.
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
    sampling = tuple(_sampled(part, (), beside, place) for place, part in enumerate(estimate.parts))
    budget = ErrorBudget(
        sampling=sampling,
        baseline=_of_mean(others, beside, 1 / len(others)),
        members=len(others),
        population=True,
    )
    return _comparison(estimate, others, budget)


def _comparison(
    estimate: Estimate, baseline: Sequence[Estimate], budget: ErrorBudget
) -> Comparison:
    error, freedom = budget.of_share(0.0)
    return Comparison(
        difference=float(estimate.value - np.mean([other.value for other in baseline])),
        standard_error=error,
        degrees_of_freedom=freedom,
        budget=budget,
    )


def _sampled(part: Part, baseline: Sequence[Part], beside: Beside | None, place: int) -> ErrorPart:
    """The sampling error of candidate and original against the mean of the baseline.

    Unit by unit, since all models saw the same ones.

    Args:
        part: Of the candidate; contributions (m,).
        baseline: The same part of each model of the null; none where nothing is paired.
        beside: The original.
        place: Which part it is.
    """
    null = _stacked(baseline, part)  # (K, m)
    own = part.contributions - null.mean(0)  # (m,)
    candidate = float(_covariance(own, own)) / part.divisor
    original = shared = 0.0
    if beside is not None:
        if baseline:
            null = _stacked([other.parts[place] for other in beside.baseline], part)
        theirs = beside.original.parts[place].contributions - null.mean(0)
        original = max(float(_covariance(theirs, theirs)) / part.divisor, part.floor)
        shared = float(_covariance(own, theirs)) / part.divisor
    return ErrorPart(
        candidate=max(candidate, part.floor),
        original=original,
        shared=shared,
        freedom=part.freedom,
        floor=part.floor,
    )


def _stacked(parts: Sequence[Part], like: Part) -> np.ndarray:
    """Contributions of each model, (K, m); one row of zeros without any."""
    if not parts:
        return np.zeros((1, len(like.contributions)))
    return np.stack([part.contributions for part in parts])


def _covariance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of the units in the last axis, (..., m) -> (...)."""
    centred = one - one.mean(-1, keepdims=True)
    products = centred * (other - other.mean(-1, keepdims=True))
    covariances: np.ndarray = products.sum(-1) / (one.shape[-1] - 1)
    return covariances


def _of_mean(baseline: Sequence[Estimate], beside: Beside | None, share: float) -> ErrorPart:
    """The error of the baseline's mean, from the spread of its members."""
    values = np.array([other.value for other in baseline])  # (K,)
    theirs = values * 0.0
    if beside is not None:
        theirs = np.array([other.value for other in beside.baseline])
    return ErrorPart(
        candidate=float(np.var(values, ddof=1)) * share,
        original=float(np.var(theirs, ddof=1)) * share,
        shared=float(_covariance(values, theirs)) * share,
        freedom=len(values) - 1.0,
    )
