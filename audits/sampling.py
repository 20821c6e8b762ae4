"""Seeded choices of rows: the same for every model, so that all are compared on the same images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audits.evidence import Evidence


def capped(evidence: Evidence, rows: int, purpose: str, *, least: int = 2) -> np.ndarray:
    """About `rows` test rows at most, each class in its proportion, in ascending order.

    The forget classes are the scarce ones: half of the rows are theirs if they have as many.

    Args:
        least: Rows that a class keeps in any case, where it has them.
    """
    generator = evidence.rng(purpose)
    own = len(evidence.test_rows(evidence.forget))
    # what the forget classes do not use is left to the retain classes
    room = {True: rows // 2, False: rows - min(own, rows // 2)}
    kept = []
    for part in (evidence.forget, evidence.retain):
        total = len(evidence.test_rows(part))
        share = min(1.0, room[part is evidence.forget] / total)
        for c in part:
            candidates = evidence.test_rows([c])
            count = max(least, round(len(candidates) * share))
            kept.append(generator.permutation(candidates)[:count])
    return np.sort(np.concatenate(kept))


def folds(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Fold of each row, (n,), stratified by label: each class is spread evenly over the folds."""
    fold_of = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        # a random first fold: rare classes do not all miss the last one
        fold_of[rows] = (np.arange(len(rows)) + generator.integers(count)) % count
    return fold_of


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
    chosen = np.empty((draws, len(classes), shots), dtype=np.int64)
    for position, c in enumerate(classes):
        rows = np.flatnonzero(labels == c)
        # the first places of a random order: no row twice in a draw
        order = generator.random((draws, len(rows))).argsort(1)[:, :shots]
        chosen[:, position] = rows[order]
    return chosen
