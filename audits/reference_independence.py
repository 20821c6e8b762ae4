"""Were the retrained references trained independently, or are they copies of another model?

A baseline made of copies of the candidate would fit it perfectly. Copies betray themselves in the
answers whatever was done to their weights: on one and the same image, independent trainings deviate
from their class's mean answer in different ways, copies in the same way. How different depends on
the data and the network: small networks on easy images agree up to a correlation of .97. So the
limit comes from the pairs of this event: a pair is one model twice where it leaves far less
unexplained than the pairs that agree least. Where all agree because all are copies, the weights
say so.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from audits import weight_likeness
from audits.evidence import Evidence
from audits.observation import PENULTIMATE, Observation
from audits.outputs import retain_logits

LIMIT = 0.995
"""Correlation from which two models are one whatever the other pairs do. docs/audits.md has the
measurements."""
SHARE = 0.2
"""A pair that leaves less than this share of what usual pairs leave unexplained is one model."""
USUAL = 0.75
"""Quantile of what pairs leave unexplained that is usual: from the least alike pairs, so that a
few copies among them do not set it."""


def dependence(evidence: Evidence) -> str:
    """Why the references cannot be the baseline, in sentences; empty where they can.

    References that were trained here are known to be trainings of their own: of them only equal
    weights are looked for.
    """
    pairs = list(_copies(evidence))
    if not pairs:
        return ""
    listed = "; ".join(pairs[:3]) + (f"; and {len(pairs) - 3} more pairs" if pairs[3:] else "")
    return (
        f"{listed[0].upper()}{listed[1:]}: these references were not trained independently. Train "
        "references from scratch, each with a seed of its own."
    )


def _copies(evidence: Evidence) -> Iterator[str]:
    limit = _limit(evidence)
    named = [(f"reference {i}", observation) for i, observation in enumerate(evidence.references)]
    others = [("the candidate", evidence.candidate), ("the original", evidence.original)]
    for place, (name, reference) in enumerate(named):
        for who, observation in (*others, *named[:place]):
            if reference.digest == observation.digest:
                yield f"{name} has the weights of {who}"
                continue
            if evidence.trained_here:
                continue
            alike = evidence.between(likeness, reference, observation)
            if alike >= limit:
                yield f"image by image {name} answers as {who} does (correlation {alike:.3f})"
            elif evidence.between(copied_weights, reference, observation):
                yield f"{name} was made from the weights of {who}"


def _limit(evidence: Evidence) -> float:
    """The correlation from which a pair of this event is one model twice.

    Calibrated on the references among themselves and with the original. The candidate sets
    nothing, as an edit may have moved its answers anywhere.
    """
    if evidence.trained_here:
        return LIMIT
    models = [*evidence.references, evidence.original]
    unexplained = [
        1 - evidence.between(likeness, one, other)
        for place, one in enumerate(models)
        for other in models[place + 1 :]
    ]
    usual = float(np.quantile(unexplained, USUAL))
    return min(LIMIT, 1 - SHARE * usual)


def copied_weights(evidence: Evidence, one: Observation, other: Observation) -> bool:
    """Whether most weights of one model are the other's: scaled, with noise, units in any order.

    At every depth number by number; in the last layer, whose rows are the classes in every model,
    its columns in any order as well.
    """
    compared = copied = 0
    for depth, weight in one.weights.items():
        own, theirs = weight, other.weights.get(depth)
        if theirs is None or own.shape != theirs.shape or not weight_likeness.comparable(own):
            continue
        compared += 1
        copied += weight_likeness.in_place(own, theirs) or (
            depth == PENULTIMATE and weight_likeness.is_reordered(own.T, theirs.T)
        )
    return compared > 0 and 2 * copied > compared


def likeness(evidence: Evidence, one: Observation, other: Observation) -> float:
    """Correlation of two models' answers beyond what the classes explain, on retain test images.

    Answers are the centred outputs of the retain classes; each class's mean answer is taken away.
    Models that answer with constants have none in common: 0.

    Source: independent trainings of one recipe on 8x8 digits .89 to .97, a copy whose weights got
    noise of a tenth (three tenths) of their spread .999 (.989); docs/audits.md.
    """
    if one.digest == other.digest:  # the same weights, whatever they answer
        return 1.0
    a, b = evidence.of(_deviations, one), evidence.of(_deviations, other)  # (n, r) each
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / scale) if scale > 0 and np.isfinite(scale) else 0.0


def _deviations(evidence: Evidence, observation: Observation) -> np.ndarray:
    rows = evidence.test_rows(evidence.retain)
    # (n, r), (n,)
    answers, labels = retain_logits(evidence, observation)[rows].copy(), evidence.test_labels[rows]
    for c in evidence.retain:
        # what a class explains, every training explains; the rest is a training's own
        answers[labels == c] -= answers[labels == c].mean(0)
    return answers
