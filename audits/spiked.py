"""Controls near the margin: models that hold a stated share of what the original knows.

The original, and everything made of its untouched features, lies far beyond any margin: audits that
fail it need not be able to fail half of it. These hold just more than a margin allows. One is a
blend of features, made of two observations without a training; the other is trained with a part of
the class's rows left in, where there is a recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
import torch
from torch import Tensor, nn

from audits import remainder
from audits.errors import BadControl, BadRecipe
from audits.evidence import Evidence
from audits.finding import Finding
from audits.observation import PENULTIMATE, Observation, Readout
from audits.references import Recipe, train

STEPS = 10
"""Halvings of the weight: a thousandth of the way from one model to the other."""
TOLERANCE = 0.05
"""How far the share that was reached may lie from the one that was asked for."""


def spiked(
    evidence: Evidence,
    reference: int,
    *,
    share: float,
    audit: Callable[[Evidence], Finding],
    figure: str,
    tolerance: float = TOLERANCE,
) -> tuple[Evidence, float]:
    """A blend of the original and a reference that holds a share of what the original knows.

    The weight of the original's features is sought by halving, until a figure of the blend lies at
    the share: 0 is the mean of the other references, 1 the original. Put before the audits it must
    not come out within where `share` lies above the margin.

    Args:
        reference: Number of the reference that is blended; it is then no longer among the judges.
        share: Between 0 and 1, just above what the margin of `figure` allows.
        audit: Measures `figure`, `audits.remainder.audit` for one.
        figure: Name of a figure that stands apart on the original, "remainder.all".
        tolerance: How far the share may be missed.
    Returns:
        The evidence with the blend in the candidate's place, and the share that it holds.
    Raises:
        BadControl: the figure is not measured, does not tell the original, or the share is not
            reached.
    """
    if not 0 < share < 1:
        raise BadControl(f"A share of {share:g} is no blend: give one between 0 and 1.")
    references = evidence.references
    others = references[:reference] + references[reference + 1 :]
    low, high = 0.0, 1.0
    best: tuple[Evidence, float] | None = None
    for _ in range(STEPS):
        weight = (low + high) / 2
        mixed = blend(evidence.original, references[reference], weight)
        judged = evidence.with_candidate(mixed, others)
        reached = held(audit(judged), figure)
        if best is None or abs(reached - share) < abs(best[1] - share):
            best = judged, reached
        if abs(reached - share) <= tolerance / 2:
            break
        low, high = (weight, high) if reached < share else (low, weight)
    if best is None or abs(best[1] - share) > tolerance:
        nearest = "none" if best is None else f"{best[1]:.2f}"
        raise BadControl(
            f"No blend holds {share:.2f} of what the original knows by {figure}, the nearest "
            f"{nearest}: take another figure, or another reference."
        )
    return best


def near_margin(evidence: Evidence, *, share: float) -> Evidence:
    """The control near the margin: a blend that holds a share by `remainder.all`.

    It is made with the first reference that allows one: with some, the least share of the
    original's features is read so well that the blend jumps from nothing to more than was asked
    for.

    Raises:
        BadControl: there is no reference, or none of them allows such a blend.
    """
    count = len(evidence.references)
    if count == 0:
        raise BadControl("It is blended of the original and a retrained model, and there is none.")
    problems = []
    for number in range(count):
        try:
            blended, _ = spiked(
                evidence, number, share=share, audit=remainder.audit, figure="remainder.all"
            )
        except BadControl as problem:
            problems.append(str(problem))
        else:
            return blended
    raise BadControl(f"Tried with each of {count} retrained models. {problems[0]}")


def held(finding: Finding, figure: str) -> float:
    """What a figure says remains: 0 at the mean of the retrained models, 1 at the original.

    Raises:
        BadControl: it is not there, or does not tell the original from the retrained models.
    """
    measured = next((m for m in finding.measurements if m.name == figure), None)
    if measured is None or measured.original is None or not measured.null:
        why = finding.reason or "the audit has no such figure, or nothing to compare it with"
        raise BadControl(f"{figure} was not measured on the blend: {why}")
    mean = fmean(measured.null)
    gap = measured.original - mean
    if not abs(gap) > 0:
        raise BadControl(f"{figure} is the same on the original and on retrained models.")
    return (measured.value - mean) / gap


def blend(original: Observation, reference: Observation, weight: float) -> Observation:
    """A model whose features and outputs are a weighted mean of two models', image by image.

    At each depth both are scaled to the same size first. Widths may differ, as those of another
    architecture do: the narrower features are filled up with zeros.

    Args:
        weight: Of the original, between 0 and 1.
    """

    def mixed(own: np.ndarray, other: np.ndarray) -> np.ndarray:
        values: np.ndarray = weight * own + (1 - weight) * other
        return values

    depths = [depth for depth in reference.features if depth in original.features]
    if PENULTIMATE not in depths:
        raise BadControl("The two models have no depth in common: observe both alike.")
    scales = {d: _scale(original.features[d], reference.features[d]) for d in depths}

    def features(own: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            d: mixed(*_same_width(scales[d] * own[d].astype(np.float64), other[d])) for d in depths
        }

    def readout(own: Readout | None, other: Readout | None) -> Readout | None:
        if own is None or other is None:
            return None
        return Readout(
            logits=mixed(own.logits, other.logits), features=features(own.features, other.features)
        )

    return replace(
        reference,
        digest=f"blend {weight:.6f} {original.digest} {reference.digest}",
        train_logits=mixed(original.train_logits, reference.train_logits),
        test_logits=mixed(original.test_logits, reference.test_logits),
        features=features(original.features, reference.features),
        fresh=readout(original.fresh, reference.fresh),
        unseen=readout(original.unseen, reference.unseen),
        relearned={
            name: mixed(curves, reference.relearned[name])
            for name, curves in original.relearned.items()
            if name in reference.relearned
        },
        head=None,  # a mean of outputs is no head on a mean of features
    )


def _scale(own: np.ndarray, other: np.ndarray) -> float:
    """What makes features as large as others: the ratio of their total spreads."""
    sizes = [float(np.sqrt(np.var(f.astype(np.float64), axis=0).sum())) for f in (own, other)]
    return sizes[1] / sizes[0] if sizes[0] > 0 else 1.0


def _same_width(own: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    width = max(own.shape[1], other.shape[1])
    wide = [np.pad(f, ((0, 0), (0, width - f.shape[1]))) for f in (own, other)]
    return wide[0], wide[1]


def partly_retrained(
    build: Callable[[], nn.Module],
    inputs: Tensor,
    labels: Tensor,
    *,
    recipe: Recipe,
    seed: int,
    forget: Sequence[int],
    share: float,
    device: str | torch.device | None = None,
) -> nn.Module:
    """A model trained from scratch with a share of the forgotten classes' rows left in.

    Args:
        build: And `inputs`, `labels`, `recipe`, `seed`, `device`: as `audits.references.train`.
        forget: Classes that were to be forgotten.
        share: Of each one's rows, drawn from the seed; at least one row stays.
    """
    if not 0 < share < 1:
        raise BadRecipe(f"A share of {share:g} is no part of the rows: give one between 0 and 1.")
    generator = torch.Generator().manual_seed(seed)
    kept = torch.ones(len(labels), dtype=torch.bool)
    for c in forget:
        rows = torch.nonzero(labels == c).flatten()
        stay = max(1, round(share * len(rows)))
        kept[rows[torch.randperm(len(rows), generator=generator)[stay:]]] = False
    return train(build, inputs[kept], labels[kept], recipe=recipe, seed=seed, device=device)
