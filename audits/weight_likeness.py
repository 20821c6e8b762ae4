"""How alike two weights are, whatever was done to hide that one was made from the other.

A copy may be scaled, rounded, overlaid with noise, its rows or columns in another order, or turned
into another basis. Each disguise leaves something in place; what it leaves is compared here. Two
independent trainings agree in these by chance only, and how much chance gives is measured for each
pair of shapes on a rotated weight, which has the same spectrum and lies nowhere near.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg, signal
from scipy.optimize import linear_sum_assignment

LEAST_ENTRIES = 64
"""A weight of fewer numbers agrees with another by chance: it is not compared."""
LEAST_WIDTH = 8
"""Rows shorter than this point in like directions by chance: they are not matched."""
DEVIATIONS = 7.0
"""Standard deviations of a chance correlation that a copy must exceed."""
LEAST_CORRELATION = 0.5
"""Correlation that a copy must exceed however many numbers it has; noise as large as the weight
itself leaves .71."""
SAME_VALUES = 0.5
"""Share of a weight's numbers, bit for bit, that make another one its copy in any order."""
SAMPLED = 4096
"""Numbers of a weight that are looked for in another."""
SAME_SPECTRUM = 1e-3
"""Relative distance of two spectra below which one weight is the other in another basis. Half
precision moves them by 3e-4 at most, another training by some per cent."""
ROTATIONS = 3
LARGEST = 1024
"""Rows or columns beyond which no order is searched for."""


def matrix(weight: np.ndarray) -> np.ndarray:
    """A weight as float64 (outputs, all that each output reads); not finite numbers become 0."""
    whole = np.asarray(weight, dtype=np.float64)
    rows = whole.reshape(len(whole), -1) if whole.ndim > 1 else whole[None]
    return np.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)


def comparable(weight: np.ndarray) -> bool:
    """Whether a weight holds enough different numbers to be told from another.

    >>> comparable(np.ones((8, 8))), comparable(np.arange(64.0).reshape(8, 8))
    (False, True)
    """
    return bool(weight.size >= LEAST_ENTRIES and np.ptp(np.nan_to_num(weight)) > 0)


def disguise(original: np.ndarray, other: np.ndarray) -> str:
    """How `other` holds `original`, in words; empty where it does not.

    Args:
        original: A weight, (outputs, ...).
        other: A tensor of any shape and precision.

    >>> weight = np.random.default_rng(0).normal(size=(12, 20))
    >>> disguise(weight, -3.0 * weight), disguise(weight, weight[::-1])
    ('scaled or with noise', 'bit for bit, its numbers in another order')
    >>> disguise(weight, np.random.default_rng(1).normal(size=(12, 20)))
    ''
    """
    own = matrix(original)
    for view in _views(other):
        if not comparable(view) or view.size < own.size:
            continue
        words = _in_place(own, view) or _in_any_order(original, view)
        if not words and view.size == own.size:
            words = _in_another_basis(own, view)
        if words:
            return words
    return ""


def _views(other: np.ndarray) -> list[np.ndarray]:
    """The tensor, and the floating numbers that the bytes of an integer one may stand for."""
    if np.issubdtype(other.dtype, np.floating):
        return [other]
    raw = np.ascontiguousarray(other).reshape(-1).view(np.uint8)
    views = [other.astype(np.float64)]
    for kind in (np.float32, np.float16, np.float64):
        width = np.dtype(kind).itemsize
        if raw.size >= width:
            with np.errstate(all="ignore"):
                numbers = raw[: raw.size // width * width].view(kind).astype(np.float64)
            # bytes that are no weights stand for numbers of wild magnitude
            if np.isfinite(numbers).all() and float(np.abs(numbers).max(initial=0)) < 1e6:
                views.append(numbers)
    return views


def in_place(original: np.ndarray, other: np.ndarray) -> bool:
    """Whether two weights of one shape agree number by number, but for scale, noise, rounding."""
    own = matrix(original)
    limit = max(LEAST_CORRELATION, DEVIATIONS / np.sqrt(own.size))
    return correlation_along(own, matrix(other)) >= limit


def _in_place(own: np.ndarray, other: np.ndarray) -> str:
    """The numbers in their order, at whatever place of a longer tensor they begin."""
    limit = max(LEAST_CORRELATION, DEVIATIONS / np.sqrt(own.size))
    if limit >= 1:
        return ""
    if correlation_along(own, matrix(other)) >= limit:
        exact = other.size == own.size and np.array_equal(own.ravel(), matrix(other).ravel())
        return "bit for bit" if exact else "scaled or with noise"
    if other.ndim > 1 and correlation_along(own.T, matrix(other)) >= limit:
        return "transposed"
    return ""


def correlation_along(own: np.ndarray, other: np.ndarray) -> float:
    """The largest |correlation| of all numbers of `own` with as many successive ones of `other`."""
    short, long = own.ravel() - own.mean(), other.ravel()
    size, norm = short.size, float(np.linalg.norm(own - own.mean()))
    if not norm > 0:
        return 0.0
    long = long - long.mean()  # a large constant would drown the rest in rounding
    if long.size == size:
        scale = norm * float(np.linalg.norm(long))
        return abs(float(short @ long)) / scale if scale > 0 else 0.0
    products = signal.fftconvolve(long, short[::-1], mode="valid")  # (long - size + 1,)
    # sums over each window of that size
    first, second = (np.cumsum(np.append(0.0, long**power)) for power in (1, 2))
    spread = second[size:] - second[:-size] - (first[size:] - first[:-size]) ** 2 / size
    # a window of constants has no correlation, only rounding
    usable = spread > 1e-9 * float(np.var(long)) * size
    if not usable.any():
        return 0.0
    return float(np.max(np.abs(products[usable]) / (norm * np.sqrt(spread[usable]))))


def _in_any_order(original: np.ndarray, other: np.ndarray) -> str:
    """The very numbers in any order, or its rows or columns in another."""
    if shared_values(original, other) >= SAME_VALUES:
        return "bit for bit, its numbers in another order"
    if other.ndim < 2 or other.size != original.size:
        return ""
    own, view = matrix(original), matrix(other)
    if own.shape != view.shape:
        return ""
    for one, two, words in ((own, view, "rows"), (own.T, view.T, "columns")):
        if is_reordered(one, two):
            return f"its {words} in another order, scaled or with noise"
    return ""


def shared_values(original: np.ndarray, other: np.ndarray) -> float:
    """Share of the original's numbers that the other holds as well, bit for bit.

    Of some thousand of them, evenly spaced.
    """
    step = max(1, original.size // SAMPLED)
    numbers = np.asarray(original, dtype=np.float32).ravel()[::step]
    own = np.unique(numbers)
    # a rounded or pruned weight holds the same few numbers as every other
    if own.size < 0.5 * numbers.size:
        return 0.0
    return float(np.isin(own, np.asarray(other, dtype=np.float32)).mean())


def is_reordered(own: np.ndarray, other: np.ndarray) -> bool:
    """Whether the rows of one weight are those of the other in another order, whatever their scale.

    What chance gives is measured on the other weight after random rotations of its rows' space;
    the limit lies half-way between that and identity.
    """
    if own.shape != other.shape or own.shape[1] < LEAST_WIDTH or max(own.shape) > LARGEST:
        return False
    alike = matched(own, other)
    if alike <= 0.5:  # the limit is never lower, and rotations are dear
        return False
    by_chance = max(
        matched(own, other @ _rotation(other.shape[1], seed)) for seed in range(ROTATIONS)
    )
    return alike > (1 + by_chance) / 2


def matched(own: np.ndarray, other: np.ndarray) -> float:
    """Mean |cosine| of the rows of two weights, each row with a partner of its own, at best."""
    cosines = np.abs(_directions(own) @ _directions(other).T)  # (rows, rows)
    pairs = linear_sum_assignment(cosines, maximize=True)
    return float(cosines[pairs].mean())


def _directions(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(1, keepdims=True)  # what all inputs have in common is no likeness
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    directions: np.ndarray = centred / np.where(norms > 0, norms, 1.0)
    return directions


def _rotation(width: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((width, width))
    rotation: np.ndarray = linalg.qr(drawn)[0]
    return rotation


def _in_another_basis(own: np.ndarray, other: np.ndarray) -> str:
    """The same weight with inputs or outputs rotated: what they span together is the same."""
    view = matrix(other)
    if view.shape != own.shape or max(own.shape) > LARGEST:
        return ""
    for one, two in ((own, view), (own.T, view.T)):
        if _same_products(one, two):
            return "rotated"
    if min(own.shape) >= LEAST_WIDTH and spectra_apart(own, view) < SAME_SPECTRUM:
        return "rotated, or its rows and columns in another order"
    return ""


def _same_products(own: np.ndarray, other: np.ndarray) -> bool:
    """Whether the products of rows agree, which no rotation of the inputs changes."""
    upper = np.triu_indices(len(own), 1)
    if len(upper[0]) < LEAST_ENTRIES:
        return False
    one, two = ((m @ m.T)[upper] for m in (own, other))
    # few inputs, or few strong directions, leave the products few degrees of freedom
    freedom = min(float(len(one)), _effective_rank(own) * len(own))
    limit = max(0.9, min(0.99, DEVIATIONS / np.sqrt(freedom)))
    return bool(np.ptp(one) > 0 and np.ptp(two) > 0 and np.corrcoef(one, two)[0, 1] >= limit)


def _effective_rank(rows: np.ndarray) -> float:
    """Participation ratio of the squared singular values: 1 for one direction."""
    powers = linalg.svdvals(rows) ** 2
    return float(powers.sum() ** 2 / (powers**2).sum())


def spectra_apart(own: np.ndarray, other: np.ndarray) -> float:
    """Distance of the singular values of two weights, each scaled to length 1."""
    spectra = [linalg.svdvals(weight) for weight in (own, other)]
    units = [s / max(float(np.linalg.norm(s)), np.finfo(np.float64).tiny) for s in spectra]
    return float(np.linalg.norm(units[0] - units[1]))
