"""Made-up trainings of which everything is known: what a rule decides on them is its size.

A model's figure has a true value of its own, drawn for each training with standard deviation `s`,
and is measured on images: some are hard for every model, and each model errs on each image in a way
of its own, which leaves the figure a sampling variance `v`. All in units of `s`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from audits.comparison import Models, measure
from audits.estimates import Estimate, images
from audits.evidence import Evidence
from audits.finding import Figure
from audits.observation import Observation
from audits.pair_null import mean_over_pairs, null_of

NAME = "figure"
IMAGES = 100
COMMON = 10.0
"""Variance that the images share over all models, in that of a model's own."""
REPLICATES = 50
"""Resamples of the images for figures of pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where a candidate and its references come from.

    Attributes:
        references: How many, K.
        sampling: v / s^2, the sampling variance of a figure in that of trainings.
        gap: What the original knows, in s.
    """

    references: int
    sampling: float
    gap: float = 4.0


def evidence() -> Evidence:
    """The least that a figure is measured with; what it holds is not read."""
    nothing = Observation(
        digest="none",
        train_logits=np.zeros((0, 3)),
        test_logits=np.zeros((0, 3)),
        features={},
    )
    labels = np.zeros(0, dtype=np.int64)
    return Evidence(
        original=nothing,
        candidate=nothing,
        references=(),
        train_labels=labels,
        test_labels=labels,
        forget=(0,),
        seed=0,
    )


def figures(
    world: World, candidate: float | None, *, draws: int, generator: np.random.Generator
) -> Iterator[Figure]:
    """Figures of candidates of one true value, each with references of its own.

    Args:
        candidate: True value, in s above the trainings' mean; None for one more training.
        draws: How many figures.
        generator: Of all that is drawn.
    """
    for (figure,) in attempts(world, [candidate], draws=draws, generator=generator):
        yield figure


def attempts(
    world: World,
    candidates: Sequence[float | None],
    *,
    draws: int,
    generator: np.random.Generator,
) -> Iterator[tuple[Figure, ...]]:
    """Figures of several candidates that are held against the same references on the same images.

    Args:
        candidates: True values, in s above the trainings' mean; None for one more training.
        draws: How many such sets.
        generator: Of all that is drawn.
    """
    nothing = evidence()
    count = world.references
    for _ in range(draws):
        own = generator.standard_normal(count)  # (K,), what each training came to
        truths = [generator.standard_normal() if c is None else c for c in candidates]
        common = generator.standard_normal(IMAGES) * np.sqrt(world.sampling * COMMON * IMAGES)
        noise = generator.standard_normal((count + 1 + len(truths), IMAGES))
        noise *= np.sqrt(world.sampling * IMAGES)
        levels = np.array([*truths, world.gap, *own])  # (candidates + 1 + K,)
        estimates = [
            Estimate(value=float(row.mean()), parts=(images(row),))
            for row in levels[:, None] + common + noise
        ]
        first, original, others = (
            estimates[: len(truths)],
            estimates[len(truths)],
            estimates[-count:],
        )
        yield tuple(
            measure(
                nothing,
                Models(
                    candidate={NAME: each},
                    original={NAME: original},
                    references=tuple({NAME: other} for other in others),
                ),
                NAME,
                NAME,
                sizes={},
            )
            for each in first
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PairWorld:
    """Where figures of pairs come from: mu + a_i + a_j + e_ij.

    Attributes:
        references: How many, K.
        pair: Standard deviation of e, in that of a.
        sampling: Variance of what images do to a pair, in that of a.
    """

    references: int
    pair: float
    sampling: float = 0.0


def pair_figures(
    world: PairWorld, candidate: float | None, *, draws: int, generator: np.random.Generator
) -> Iterator[Figure]:
    """As `figures`, of figures of pairs; the candidate's value is its own a."""
    nothing = evidence()
    for _ in range(draws):
        own = generator.standard_normal(world.references)
        truth = generator.standard_normal() if candidate is None else candidate
        among = _symmetric(own[:, None] + own, world, generator)
        beside, original = (
            _resampled(
                level + own + world.pair * generator.standard_normal(len(own)), world, generator
            )
            for level in (truth, -30.0)
        )
        null = null_of(beside, original, among, units=IMAGES)
        models = Models(
            candidate={NAME: mean_over_pairs(beside, units=IMAGES)},
            original={NAME: mean_over_pairs(original, units=IMAGES)},
            references=tuple({NAME: member} for member in null.members),
            pairs={NAME: null},
        )
        yield measure(nothing, models, NAME, NAME, sizes={})


def _symmetric(values: np.ndarray, world: PairWorld, generator: np.random.Generator) -> np.ndarray:
    noise = world.pair * generator.standard_normal(values.shape)
    upper = _resampled(np.triu(values + noise, 1), world, generator)
    upper *= np.triu(np.ones(values.shape), 1)[:, :, None]
    symmetric: np.ndarray = upper + upper.transpose(1, 0, 2)
    return symmetric


def _resampled(values: np.ndarray, world: PairWorld, generator: np.random.Generator) -> np.ndarray:
    """The value with a pair's sampling error in front, then resamples that scatter as widely."""
    spread = np.sqrt(world.sampling)
    measured = values + spread * generator.standard_normal(values.shape)
    again = spread * generator.standard_normal((*values.shape, REPLICATES))
    resampled: np.ndarray = np.concatenate(
        [measured[..., None], measured[..., None] + again], axis=-1
    )
    return resampled
