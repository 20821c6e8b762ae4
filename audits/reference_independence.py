"""Were the retrained references trained independently, or are they copies of another model?

A baseline made of copies of the candidate would fit it perfectly. Copies betray themselves in the
answers whatever was done to their weights: on one and the same image, independent trainings deviate
from their class's mean answer in different ways, copies in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from audits.evidence import Evidence
from audits.observation import Observation
from audits.outputs import retain_logits

LIMIT = 0.95
"""Correlation from which two models are taken for one. docs/audits.md has the measurements."""


def dependence(evidence: Evidence) -> str:
    """Why the references cannot be the baseline, in sentences; empty where they can."""
    pairs = list(_copies(evidence))
    if not pairs:
        return ""
    listed = "; ".join(pairs[:3]) + (f"; and {len(pairs) - 3} more pairs" if pairs[3:] else "")
    return (
        f"Image by image {listed}: these references were not trained independently. Train "
        "references from scratch, each with a seed of its own."
    )


def _copies(evidence: Evidence) -> Iterator[str]:
    named = [(f"reference {i}", observation) for i, observation in enumerate(evidence.references)]
    others = [("the candidate", evidence.candidate), ("the original", evidence.original)]
    for place, (name, reference) in enumerate(named):
        for who, observation in (*others, *named[:place]):
            alike = evidence.between(likeness, reference, observation)
            if alike >= LIMIT:
                yield f"{name} answers as {who} does (correlation {alike:.3f})"


def likeness(evidence: Evidence, one: Observation, other: Observation) -> float:
    """Correlation of two models' answers beyond what the classes explain, on retain test images.

    Answers are the centred outputs of the retain classes; each class's mean answer is taken away.
    Models that answer with constants have none in common: 0.
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
