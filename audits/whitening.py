"""A model's features along the principal components of the retain rows, in units of their spread.

The components come from one half of the retain rows, which no probe then reads: a direction that
hardly varies on the rows it was chosen by would set all others apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from audits import gates, sampling
from audits.evidence import Evidence

MOST_ROWS = 1000
"""Rows that give the components of features wider than this; then the Gram matrix is solved."""
LEAST_ROWS = 10
"""Rows below which components say nothing."""
FLOOR = 1e-6
"""Least variance, as a share of the mean one: units that are dead on retain rows are read too."""
CLIP = 4.0
"""Whitened values are cut here: a direction that hardly varies has tails without end."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Halves:
    """Test rows by what they are for.

    Attributes:
        basis: Retain rows that give the components, (a,).
        read: The other retain rows and all forget rows, ascending, (m,).
    """

    basis: np.ndarray
    read: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Components:
    """Principal components of some rows.

    Attributes:
        centre: Their mean, (D,).
        axes: Orthonormal, most variance first, (D, k), k at most the number of rows less one.
        variances: Along each, (k,).
        floor: The least variance that counts.
    """

    centre: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    floor: float


def halves(evidence: Evidence, rows: int, purpose: str) -> Halves:
    """At most `rows` test rows; half of the retain ones, class by class, are for the basis."""
    chosen = sampling.capped(evidence, rows, f"{purpose}.rows")
    labels = evidence.test_labels[chosen]
    first = sampling.folds(labels, 2, evidence.rng(f"{purpose}.halves")) == 0  # (n,)
    aside = first & np.isin(labels, evidence.retain)
    return Halves(basis=chosen[aside], read=chosen[~aside])


def unusable(features: np.ndarray, parts: Halves) -> str:
    """Why features (n_test, D) cannot be whitened; empty where they can."""
    if len(parts.basis) < LEAST_ROWS:
        return (
            f"{len(parts.basis)} retain rows are left to find directions by and {LEAST_ROWS} are "
            "needed: give more test rows"
        )
    return gates.unusable(features[parts.read]) or gates.unusable(features[parts.basis])


def components(rows: np.ndarray) -> Components:
    """Principal components of rows, (n, D).

    Source: Pearson 1901; through the Gram matrix where D exceeds n (Turk and Pentland 1991).
    """
    if rows.shape[1] > MOST_ROWS:
        rows = rows[:: -(-len(rows) // MOST_ROWS)]  # every k-th, so that no class is left out
    centre = rows.mean(0)
    scaled = (rows - centre) / np.sqrt(len(rows))  # (n, D): scaled'scaled is the covariance
    count, width = scaled.shape
    total = float((scaled**2).sum())
    if count <= width:
        variances, left = linalg.eigh(scaled @ scaled.T)  # (n,), (n, n)
        kept = (
            variances > total * 1e-12
        )  # the centred rows have one dimension less than their number
        axes = scaled.T @ left[:, kept] / np.sqrt(variances[kept])
        variances = variances[kept]
    else:
        variances, axes = linalg.eigh(scaled.T @ scaled)  # ascending
    return Components(
        centre=centre,
        axes=axes[:, ::-1],
        variances=np.maximum(variances[::-1], 0.0),
        floor=max(FLOOR * total / width, np.finfo(float).tiny),
    )


def tail(basis: Components, rows: np.ndarray) -> np.ndarray:
    """Rows (n, D) without the half of the components along which the basis varies most.

    Returns:
        (n, D - k/2) coordinates where the components span all features, else (n, D); k components
        vary.
    """
    centred = rows - basis.centre
    width, count = basis.axes.shape
    # half of those that vary: dead units are no directions that a model would have used
    half = (int(np.count_nonzero(basis.variances > basis.floor)) + 1) // 2
    if count == width:
        low: np.ndarray = centred @ basis.axes[:, half:]
        return low
    most = basis.axes[:, :half]  # (D, k/2)
    rest: np.ndarray = centred - (centred @ most) @ most.T
    return rest


def whitened(basis: Components, rows: np.ndarray, most: int) -> np.ndarray:
    """Rows (n, D) along the components in units of their spread, cut at `CLIP`.

    Args:
        basis: Of other rows.
        rows: (n, D).
        most: Components at most: half of those with most variance, half of those with least.
    Returns:
        (n, k), or (n, k + 1) where the components do not span all features: the last column is
        the length of what they leave, in units of the same.
    """
    centred = rows - basis.centre
    width, count = basis.axes.shape
    along = centred @ basis.axes  # (n, count)
    columns = along / np.sqrt(np.maximum(basis.variances, basis.floor))
    if count > most:
        columns = np.concatenate([columns[:, : most // 2], columns[:, -(most // 2) :]], axis=1)
    if count < width:
        # |x|^2 less what the components hold: no (D, D) projector is needed
        beyond = np.maximum((centred**2).sum(1) - (along**2).sum(1), 0.0)  # (n,)
        lengths = np.sqrt(beyond / max(float(np.median(beyond)), basis.floor))
        columns = np.concatenate([columns, lengths[:, None]], axis=1)
    cut: np.ndarray = np.clip(columns, -CLIP, CLIP)
    return cut
