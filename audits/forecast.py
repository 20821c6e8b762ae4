"""What a test will be able to decide, from the retrained models and the original alone.

A candidate is not asked: one more honest training is drawn from what the retrained models show,
with all its figures at once, since a training that lies high in one reader often does in another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import numpy as np
from scipy import special

from audits.error_budget import ErrorBudget, ErrorPart
from audits.finding import Figure
from audits.regions import Bounds, Region, chance_outside, chance_within, region

POWER = 0.8
"""Chance from which a row is called able to decide."""
DRAWS = 20_000
MOST_REFERENCES = 40
"""More are never asked for: what they would not decide, no number of them will."""
MOST_IMAGES = 64.0
"""Times as many images as there are, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What lifts a row to power .8, one at a time; None where that alone does not.

    Attributes:
        references: Retrained models in all.
        images: Times as many held-out images as there are.
    """

    references: int | None
    images: float | None


def joint_chance(rows: Sequence[tuple[Sequence[float], Region]], *, seed: int) -> float:
    """Chance that one more retrained model comes out within in every row at once.

    Its differences to the null's means are predicted by a multivariate t-distribution with the
    retrained models' own covariance, K - 1 degrees of freedom and the scale 1 + 1/K; by
    multiplying the rows' chances they would be taken for independent, which they are not.

    Args:
        rows: Null (K,), the retrained models in one order, and the region of each row.
        seed: Of the draws.
    Source: Geisser and Cornfield 1963 (the predictive distribution).

    >>> from audits.regions import Side
    >>> side = Side(within=0.1, outside=0.2, error=0.01, freedom=9)
    >>> row = ([0.4, 0.5, 0.6], Region(below=side, above=side))
    >>> joint_chance([row], seed=1) == joint_chance([row, row], seed=1)
    True
    """
    if not rows:
        return 1.0
    null = np.array([values for values, _ in rows])  # (rows, K)
    count = null.shape[1]
    residuals = null - null.mean(1, keepdims=True)
    generator = np.random.default_rng(seed)
    # sums of the residuals with normal weights have their covariance, whatever its rank
    weights = generator.standard_normal((count, DRAWS)) / math.sqrt(count - 1)
    scale = np.sqrt((count - 1) / generator.chisquare(count - 1, DRAWS) * (1 + 1 / count))
    differences = residuals @ weights * scale  # (rows, DRAWS)
    low = np.array([-allowed.below.within for _, allowed in rows])[:, None]
    high = np.array([allowed.above.within for _, allowed in rows])[:, None]
    return float(((differences > low) & (differences < high)).all(0).mean())


def honest(original: Figure, judged: Sequence[Figure]) -> Figure:
    """The figure as an honest candidate would have it: with the errors of a retrained model.

    Args:
        original: The figure with the original in the candidate's place, and all references.
        judged: The same of each retrained model, judged by the others.
    Returns:
        The original's null, and a budget whose sampling is the retrained models' mean one.
    """
    budgets = [figure.budget for figure in judged if figure.budget is not None]
    own = original.budget
    if own is None:
        return original
    alike = [b for b in budgets if b.baseline is not None and len(b.sampling) == len(own.sampling)]
    if not alike or own.baseline is None or own.population:
        budget = own.of_original()
    else:
        parts = zip(*(b.sampling for b in alike), strict=True)
        # judged by one reference less
        fewer = (own.members - 1) / own.members
        baseline = _mean_part([b.baseline for b in alike if b.baseline is not None])
        budget = ErrorBudget(
            sampling=tuple(map(_mean_part, parts)),
            baseline=_times(baseline, fewer, freedom=own.baseline.freedom),
            members=own.members,
        )
    return _with_budget(original, budget)


def _with_budget(figure: Figure, budget: ErrorBudget) -> Figure:
    error, freedom = budget.of_share(0.0)
    return replace(figure, budget=budget, standard_error=error, degrees_of_freedom=freedom)


def _mean_part(parts: Sequence[ErrorPart]) -> ErrorPart:
    return ErrorPart(
        candidate=fmean(part.candidate for part in parts),
        original=fmean(part.original for part in parts),
        shared=fmean(part.shared for part in parts),
        freedom=fmean(part.freedom for part in parts),
        floor=fmean(part.floor for part in parts),
    )


def _times(part: ErrorPart, factor: float, *, freedom: float) -> ErrorPart:
    return ErrorPart(
        candidate=part.candidate * factor,
        original=part.original * factor,
        shared=part.shared * factor,
        freedom=freedom,
        floor=part.floor * factor,
    )


def needed(figure: Figure, bounds: Bounds, *, alpha: float) -> Needed:
    """What would lift the chance of an honest model, and of catching the original, to .8.

    Args:
        figure: As an honest candidate would have it; its null has at least two members.
        bounds: Of its rule.
        alpha: Level of each one-sided test.
    """

    def enough(references: int, images: float) -> bool:
        planned = with_more(figure, references=references, images=images)
        allowed = region(planned, bounds, alpha=alpha)
        if allowed is None or chance_within(planned, allowed) < POWER:
            return False
        detect = chance_outside(planned, bounds, alpha=alpha)
        return not bounds.relative or detect is None or detect >= POWER

    count = len(figure.null)
    return Needed(
        references=_least(lambda k: enough(k, 1.0), range(count, MOST_REFERENCES + 1)),
        images=_least_factor(lambda factor: enough(count, factor)),
    )


def _least(fits: Callable[[int], bool], numbers: Sequence[int]) -> int | None:
    return next((number for number in numbers if fits(number)), None)


def _least_factor(fits: Callable[[float], bool]) -> float | None:
    if not fits(MOST_IMAGES):
        return None
    low, high = 1.0, MOST_IMAGES
    if fits(low):
        return low
    while high / low > 1.02:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def with_more(figure: Figure, *, references: int, images: float) -> Figure:
    """The figure as it would be expected with more retrained models, or more images.

    The retrained models' spread holds what images do to each of them, as much as to the candidate;
    the rest is trainings and stays.

    Args:
        references: Retrained models in all.
        images: Times as many images.
    """
    budget = figure.budget
    if budget is None or budget.baseline is None or len(figure.null) < 2:
        return figure
    sampling = sum(part.candidate for part in budget.sampling)
    squared = stdev(figure.null) ** 2
    # of the spread, what is left with more images
    left = max(squared - sampling, 0.0) + min(sampling, squared) / images
    share = left / squared if squared > 0 else 1.0
    scaled = ErrorBudget(
        sampling=tuple(
            _times(part, 1 / images, freedom=part.freedom * images) for part in budget.sampling
        ),
        baseline=_times(
            budget.baseline, share * budget.members / references, freedom=references - 1.0
        ),
        members=references,
        population=budget.population,
    )
    more = replace(figure, null=_spread_as(fmean(figure.null), math.sqrt(left), references))
    own = scaled.of_original().of_share(0.0)[0] if figure.original is not None else None
    return replace(_with_budget(more, scaled), standard_error_original=own)


def _spread_as(mean: float, spread: float, count: int) -> tuple[float, ...]:
    """So many values of this mean and this standard deviation."""
    scores = special.ndtri((np.arange(count) + 0.5) / count)
    scaled = mean + spread * scores / np.std(scores, ddof=1)
    return tuple(float(value) for value in scaled)
