"""Where a difference must lie to come out "within", or "outside", for every kind of margin.

A margin is a number, a share of what the original knows, or a number of the null's own spreads. In
each case candidate and margin err together in another way; what is left after that is where the
difference may lie. Both one-sided tests at `alpha` make "within" (Schuirmann 1987).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import stdev

import numpy as np
from scipy import optimize, special

from audits.equivalence import OUTSIDE, UNDECIDED, WITHIN
from audits.error_budget import ErrorBudget
from audits.errors import BadStatistic
from audits.finding import Figure

STEPS = 200
"""Quantiles by which a spread's distribution is replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a rule allows; None where it sets nothing.

    Attributes:
        below: Distance below the null's mean.
        above: Distance above it.
        remainder: Share of what the original knows that may remain.
        overshoot: Share of it that may be lost beyond the null's mean.
        spreads_below: Distance below in true standard deviations of the null.
        spreads_above: Distance above in them. Beside `below` or `above` the wider counts.
    """

    below: float | None = None
    above: float | None = None
    remainder: float | None = None
    overshoot: float | None = None
    spreads_below: float | None = None
    spreads_above: float | None = None

    @property
    def relative(self) -> bool:
        """Whether they are shares of what the original knows."""
        return self.remainder is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One margin, as distances from the null's mean on its own side of it.

    Attributes:
        within: A difference below this comes out within.
        outside: A difference beyond this comes out outside.
        error: Standard error of what is tested, or of the difference where spreads are counted.
        freedom: Its degrees of freedom.
    """

    within: float
    outside: float
    error: float
    freedom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Both sides of a margin.

    Attributes:
        below: Where the difference is negative.
        above: Where it is positive.
    """

    below: Side
    above: Side

    def outcome(self, difference: float) -> str:
        """Where the difference lies: "within", "outside" or "undecided"."""
        if -self.below.within < difference < self.above.within:
            return WITHIN
        beyond = difference > self.above.outside or difference < -self.below.outside
        return OUTSIDE if beyond else UNDECIDED


def region(figure: Figure, bounds: Bounds, *, alpha: float) -> Region | None:
    """The region of a figure's difference; None where there is nothing to compare with.

    It follows from the null, the original and the errors; the candidate's value is not asked.

    Args:
        figure: With its null, its original and its errors.
        bounds: Of the rule.
        alpha: Level of each one-sided test.
    """
    if figure.standard_error is None or figure.degrees_of_freedom is None:
        return None
    if bounds.relative:
        return _in_shares(figure, bounds, alpha)
    return Region(
        below=_side(figure, bounds.below, bounds.spreads_below, alpha),
        above=_side(figure, bounds.above, bounds.spreads_above, alpha),
    )


def _in_shares(figure: Figure, bounds: Bounds, alpha: float) -> Region | None:
    gap = figure.gap
    if gap is None or gap == 0:
        return None
    remainder = _share(figure, abs(gap), bounds.remainder, 1, alpha)
    # an overshoot lies beyond the null's mean: a negative share of what the original knows
    overshoot = _share(figure, abs(gap), bounds.overshoot, -1, alpha)
    if gap > 0:
        return Region(below=overshoot, above=remainder)
    return Region(below=remainder, above=overshoot)


def _share(figure: Figure, gap: float, share: float | None, sign: int, alpha: float) -> Side:
    errors = figure.error_of_share(sign * (share or 0.0))
    if errors is None:
        raise BadStatistic(f"{figure.name} has no standard error: it is NOT_RUN.")
    return _by_t(math.inf if share is None else share * gap, *errors, alpha)


def _by_t(margin: float, error: float, freedom: float, alpha: float) -> Side:
    reach = error * float(special.stdtrit(freedom, 1 - alpha))
    return Side(within=margin - reach, outside=margin + reach, error=error, freedom=freedom)


def _side(figure: Figure, width: float | None, spreads: float | None, alpha: float) -> Side:
    error, freedom = figure.standard_error or 0.0, figure.degrees_of_freedom or 1.0
    with_spread = len(figure.null) > 1 and stdev(figure.null) > 0
    if spreads is None or not with_spread:
        # a null without spread sets no margin: without a number, nothing is within or beyond
        lacking = spreads is not None and width is None
        side = _by_t(math.inf if width is None else width, error, freedom, alpha)
        return replace(side, within=-math.inf) if lacking else side
    if width is None:
        return _in_spreads(figure, spreads, alpha, alpha)
    # within the wider of two margins is within either: each test has half of alpha for that
    number = _by_t(width, error, freedom, alpha / 2)
    in_spreads = _in_spreads(figure, spreads, alpha / 2, alpha)
    return Side(
        within=max(number.within, in_spreads.within),
        outside=max(_by_t(width, error, freedom, alpha).outside, in_spreads.outside),
        error=error,
        freedom=freedom,
    )


def _in_spreads(figure: Figure, spreads: float, alpha: float, beyond: float) -> Side:
    """A margin of so many true standard deviations of the null, of which there are few members.

    Their number is known, the standard deviation is not: with five members the true one may be
    twice what they show. The generalised pivotal quantity of `difference - spreads sigma` replaces
    sigma by what the members leave possible; without sampling error it is the exact test by the
    noncentral t-distribution.

    Args:
        figure: Its null has a spread.
        spreads: The margin.
        alpha: Level of the test for "within".
        beyond: Level of the test for "outside".
    Source: Weerahandi 1993 (generalised confidence intervals); Owen 1968 (tolerance limits).
    """
    spread, count = stdev(figure.null), len(figure.null)
    error = figure.standard_error or 0.0
    # one more member of a population deviates by nature as well as its mean errs
    scale = 1 / count + (figure.budget is not None and figure.budget.population)
    # what the candidate's own images add
    own = max(error**2 / spread**2 - scale, 0.0)
    near, far = (_limit(spreads, count, scale, own, level) for level in (1 - alpha, beyond))
    return Side(
        within=near * spread,
        outside=far * spread,
        error=error,
        freedom=figure.degrees_of_freedom or 1.0,
    )


@lru_cache(maxsize=4096)
def _limit(spreads: float, count: int, scale: float, own: float, level: float) -> float:
    """Quantile of the margin less the error, in units of the spread that `count` members show.

    Args:
        spreads: The margin in true standard deviations.
        count: Members of the null.
        scale: Variance of the difference over sigma^2, but for the candidate's sampling.
        own: Sampling variance of the candidate over the square of that spread.
        level: Chance that the quantity lies above what is returned.
    """
    places = (np.arange(STEPS) + 0.5) / STEPS
    # (STEPS,): sigma over the spread, as (K - 1) s^2 / sigma^2 is chi-square with K - 1
    sigma = np.sqrt((count - 1) / special.chdtri(count - 1, places))
    error = np.sqrt(own + scale * sigma**2)  # (STEPS,)

    margin = spreads * sigma

    def excess(limit: float) -> float:
        return float(special.ndtr((margin - limit) / error).mean()) - level

    most = float((margin + 10 * error).max())
    return float(optimize.brentq(excess, -most, most, xtol=1e-6))


def chance_within(figure: Figure, allowed: Region) -> float:
    """Chance that one more retrained model comes out "within".

    Its difference to the null's mean is predicted by a t-distribution around 0 with the null's own
    spread; it must lie where the tests want it.

    Args:
        figure: Its null has at least two members.
        allowed: Of this figure.
    """
    low, high = -allowed.below.within, allowed.above.within
    if low >= high:
        return 0.0
    count = len(figure.null)
    # predicts one more model against a mean of `count`
    spread = stdev(figure.null) * math.sqrt(1 + 1 / count)
    if spread == 0:
        return float(low < 0 < high)
    inside = special.stdtr(count - 1, high / spread) - special.stdtr(count - 1, low / spread)
    return float(inside)


def chance_outside(figure: Figure, bounds: Bounds, *, alpha: float) -> float | None:
    """Chance that a model that knows the class as the original does comes out "outside".

    It is a model of its own, measured on the same images: what these happen to show of the original
    they do not show of it. None where the original's error is not known.
    """
    gap = figure.gap
    if gap is None or figure.standard_error_original is None or figure.degrees_of_freedom is None:
        return None
    allowed = region(_like_original(figure), bounds, alpha=alpha)
    if allowed is None:
        return None
    chances = []
    for side, distance in ((allowed.above, gap), (allowed.below, -gap)):
        if side.error == 0:
            chances.append(float(distance > side.outside))
        elif math.isfinite(side.outside):
            away = (distance - side.outside) / side.error
            chances.append(float(special.stdtr(side.freedom, away)))
    # beyond one margin or beyond the other: the events exclude each other
    return min(1.0, sum(chances))


def _like_original(figure: Figure) -> Figure:
    """The figure with the errors of a model that is measured as the original is."""
    budget: ErrorBudget | None = figure.budget.of_original() if figure.budget else None
    error, freedom = (
        budget.of_share(0.0)
        if budget
        else (figure.standard_error_original, figure.degrees_of_freedom)
    )
    return replace(figure, budget=budget, standard_error=error, degrees_of_freedom=freedom)
