"""Are the retrained references trainings of their own, or copies of another model?

A yardstick made of copies of the candidate would fit it perfectly. Copies betray themselves in the
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


def copies(evidence: Evidence) -> str:
    """What makes the references no yardstick, in sentences; empty where nothing does."""
    found = list(_copies(evidence))
    if not found:
        return ""
    listed = "; ".join(found[:3]) + (f"; and {len(found) - 3} more pairs" if found[3:] else "")
    return (
        f"Image by image {listed}: these are no trainings of their own. Train references from "
        "scratch, each with a seed of its own."
    )


def _copies(evidence: Evidence) -> Iterator[str]:
    named = [(f"reference {i}", seen) for i, seen in enumerate(evidence.references)]
    others = [("the candidate", evidence.candidate), ("the original", evidence.original)]
    for place, (name, reference) in enumerate(named):
        for who, seen in (*others, *named[:place]):
            alike = evidence.between(likeness, reference, seen)
            if alike >= LIMIT:
                yield f"{name} answers as {who} does (correlation {alike:.3f})"


def likeness(evidence: Evidence, one: Observation, other: Observation) -> float:
    """Correlation of two models' answers beyond what the classes explain, on retain test images.

    Answers are the centred outputs of the retain classes; each class's mean answer is taken away.
    Models that answer with constants have none in common: 0.
    """
    if one.digest == other.digest:
        return 1.0
    a, b = evidence.of(_deviations, one), evidence.of(_deviations, other)
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / scale) if scale > 0 and np.isfinite(scale) else 0.0


def _deviations(evidence: Evidence, seen: Observation) -> np.ndarray:
    rows = evidence.test_rows(evidence.retain)
    answers, labels = retain_logits(evidence, seen)[rows].copy(), evidence.test_labels[rows]
    for c in evidence.retain:
        answers[labels == c] -= answers[labels == c].mean(0)
    return answers
