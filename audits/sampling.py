"""Seeded choices of rows: the same for every model, so that all are compared on the same images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audits.evidence import Evidence


def capped(evidence: Evidence, rows: int, purpose: str) -> np.ndarray:
    """At most `rows` test rows of the live classes, in order, each class in its proportion.

    Every forget row is as likely to stay as any other; the result is sorted.
    """
    chosen = evidence.test_rows(evidence.live)
    if len(chosen) <= rows:
        return chosen
    generator = evidence.rng(purpose)
    kept = []
    for c in evidence.live:
        own = evidence.test_rows([c])
        share = round(len(own) * rows / len(chosen))
        kept.append(generator.permutation(own)[:share])
    return np.sort(np.concatenate(kept))


def folds(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Fold of each row, (n,), stratified by label: each class is spread evenly over the folds."""
    found = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        found[rows] = (np.arange(len(rows)) + generator.integers(count)) % count
    return found


def supports(
    labels: np.ndarray,
    classes: Sequence[int],
    *,
    shots: int,
    draws: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Row numbers of labelled support images, drawn without replacement within a class.

    Args:
        labels: (n,), classes of the rows to draw from; each class has at least `shots` rows.
    Returns:
        (draws, classes, shots), int64.
    """
    found = np.empty((draws, len(classes), shots), dtype=np.int64)
    for position, c in enumerate(classes):
        rows = np.flatnonzero(labels == c)
        order = generator.random((draws, len(rows))).argsort(1)[:, :shots]
        found[:, position] = rows[order]
    return found
