"""Size and power of every kind of rule, by the shipped functions on worlds that are known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from audits.equivalence import OUTSIDE, WITHIN
from audits.finding import Figure
from audits.regions import Bounds, region
from audits.statistics import clopper_pearson
from benchmarks.statistics.worlds import PairWorld, World, figures, pair_figures

ALPHA = 0.05
REFERENCES = (3, 5, 10, 20)
SAMPLING = (0.1, 0.5, 1.0)
PAIR = 0.5
"""Standard deviation of what a pair of models has of its own, in that of a model."""
KINDS = ("number", "share", "overshoot", "spreads", "number or spreads", "pairs", "pairs, spreads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How often a rule came out how, in one world.

    Attributes:
        kind: Of the rule.
        references: K.
        sampling: v / s^2.
        draws: Candidates simulated.
        size: Share of candidates exactly at the margin that came out within.
        failed: Share of them that came out outside.
        honest: Share of honest trainings that came out within.
        honest_failed: Share of them that came out outside.
    """

    kind: str
    references: int
    sampling: float
    draws: int
    size: float
    failed: float
    honest: float
    honest_failed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule with one margin, and where it lies.

    Attributes:
        bounds: What the audits' numerics take.
        at: The true value at the margin, in s above the trainings' mean.
    """

    bounds: Bounds
    at: float


def rule(kind: str, world: World) -> Rule:
    """The rule of a kind; its margin is three trainings' spreads or more from their mean.

    The margin in spreads counts what a measurement of one model scatters by, trainings and images.
    """
    spread = math.sqrt(1 + world.sampling)
    if kind == "share":
        return Rule(bounds=Bounds(remainder=0.5), at=0.5 * world.gap)
    if kind == "overshoot":
        # a remainder of nearly all allows that side, as one must be named
        return Rule(bounds=Bounds(remainder=0.99, overshoot=1.0), at=-world.gap)
    if kind == "spreads":
        return Rule(bounds=Bounds(spreads_above=5.0), at=5.0 * spread)
    if kind == "number or spreads":
        return Rule(bounds=Bounds(above=5.0 * spread, spreads_above=5.0), at=5.0 * spread)
    if kind == "pairs":
        return Rule(bounds=Bounds(below=3.0), at=-3.0)
    if kind == "pairs, spreads":
        # one more model scatters by its own part and by what its pairs have of theirs
        error = (PAIR**2 + world.sampling) / (world.references - 2)
        return Rule(bounds=Bounds(spreads_below=5.0), at=-5.0 * math.sqrt(1 + error))
    return Rule(bounds=Bounds(above=3.0), at=3.0)


def outcomes(drawn: Iterable[Figure], bounds: Bounds) -> Mapping[str, float]:
    """Share of figures within and outside."""
    counts = {WITHIN: 0, OUTSIDE: 0}
    total = 0
    for figure in drawn:
        allowed = region(figure, bounds, alpha=ALPHA)
        if allowed is None or figure.difference is None:
            raise AssertionError("a figure of a world that has no margin")
        outcome = allowed.outcome(figure.difference)
        counts[outcome] = counts.get(outcome, 0) + 1
        total += 1
    return {outcome: count / total for outcome, count in counts.items()}


def simulated(
    kind: str, world: World, candidate: float | None, draws: int, seed: int
) -> Iterator[Figure]:
    """Figures of candidates of a true value in the world that a kind of rule is about."""
    generator = np.random.default_rng([seed, *kind.encode(), world.references])
    if kind.startswith("pairs"):
        pairs = PairWorld(references=world.references, pair=PAIR, sampling=world.sampling)
        return pair_figures(pairs, candidate, draws=draws, generator=generator)
    return figures(world, candidate, draws=draws, generator=generator)


def rates(kind: str, world: World, *, draws: int, seed: int = 0) -> Rates:
    """Size at the margin and power of honest trainings of one kind of rule in one world."""
    asked = rule(kind, world)
    at_margin, honest = (
        outcomes(simulated(kind, world, candidate, draws, seed), asked.bounds)
        for candidate in (asked.at, None)
    )
    return Rates(
        kind=kind,
        references=world.references,
        sampling=world.sampling,
        draws=draws,
        size=at_margin[WITHIN],
        failed=at_margin[OUTSIDE],
        honest=honest[WITHIN],
        honest_failed=honest[OUTSIDE],
    )


def table(*, draws: int, references: Sequence[int] = REFERENCES) -> Iterator[Rates]:
    """Every kind of rule in every world."""
    for kind in KINDS:
        for count in references:
            for sampling in SAMPLING:
                yield rates(kind, World(references=count, sampling=sampling), draws=draws)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """An `at_most` rule on a share of images: its size is computed, not simulated.

    Attributes:
        images: On which the share is measured.
        at_most: The limit.
        size: Chance that a model exactly at the limit comes out within.
        clean: Whether no error at all comes out within.
    """

    images: int
    at_most: float
    size: float
    clean: bool


def limits(at_most: float = 0.05, images: Sequence[int] = (30, 59, 100, 300, 1000)) -> list[Limit]:
    """The exact size of `at_most` by Clopper and Pearson: at most alpha, less where counts jump."""
    from scipy import stats

    every = []
    for count in images:
        allowed = [
            hits
            for hits in range(count + 1)
            if clopper_pearson(hits, count, 1 - 2 * ALPHA)[1] <= at_most
        ]
        size = float(stats.binom.cdf(max(allowed), count, at_most)) if allowed else 0.0
        every.append(Limit(images=count, at_most=at_most, size=size, clean=bool(allowed)))
    return every
