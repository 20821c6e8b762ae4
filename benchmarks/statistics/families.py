"""How often does any of several attempts pass that should not, by the levels that they declare?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from audits.equivalence import WITHIN
from audits.regions import Bounds, region
from benchmarks.statistics.worlds import World, attempts

BOUNDS = Bounds(remainder=0.5)
REFERENCES, SAMPLING = (5, 10), (0.1, 1.0)
LEVELS: tuple[tuple[float, ...], ...] = (
    (0.05,),
    (0.01, 0.025, 0.015),
    (0.05 / 3, 0.05 / 3, 0.05 / 3),
    (0.05, 0.05, 0.05),
)
"""One attempt; default-v4's; equal parts; and what it would be if none of them paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What came of some attempts, all judged on the same images by the same references.

    Attributes:
        levels: Of each attempt.
        references: K.
        sampling: v / s^2.
        draws: Sets of attempts that were simulated.
        size: Share of them in which any attempt came out within, all of them exactly at the margin.
        honest: Share in which an honest training in the second one's place did (in the only one's,
            where there is no second), at that one's level: what a fresh top can hope for.
    """

    levels: tuple[float, ...]
    references: int
    sampling: float
    draws: int
    size: float
    honest: float


def family(levels: Sequence[float], world: World, *, draws: int, seed: int = 0) -> Family:
    """Size and power of some attempts in one world."""
    size = _passed(levels, world, [0.5 * world.gap] * len(levels), draws, seed).any(1)
    honest = _passed(levels[:2][-1:], world, [None], draws, seed)
    return Family(
        levels=tuple(levels),
        references=world.references,
        sampling=world.sampling,
        draws=draws,
        size=float(size.mean()),
        honest=float(honest.mean()),
    )


def _passed(
    levels: Sequence[float],
    world: World,
    candidates: Sequence[float | None],
    draws: int,
    seed: int,
) -> np.ndarray:
    """Whether each attempt of each set came out within, (draws, attempts)."""
    generator = np.random.default_rng([seed, world.references, len(levels)])
    outcomes = []
    for figures in attempts(world, candidates, draws=draws, generator=generator):
        own = []
        for figure, level in zip(figures, levels, strict=True):
            allowed = region(figure, BOUNDS, alpha=level)
            if allowed is None or figure.difference is None:
                raise AssertionError("a figure of a world that has no margin")
            own.append(allowed.outcome(figure.difference) == WITHIN)
        outcomes.append(own)
    return np.array(outcomes)


def table(*, draws: int) -> Iterator[Family]:
    """Every declaration in every world."""
    for levels in LEVELS:
        for count in REFERENCES:
            for sampling in SAMPLING:
                yield family(levels, World(references=count, sampling=sampling), draws=draws)
