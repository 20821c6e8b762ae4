"""Where the marks of one row's strip picture stand: the model, the retrained models, the margin.

Pure geometry, in a box of `WIDTH` units; the template draws it. The interval that the rule looks at
(as a rule the 90% interval of the difference) is drawn around the value as a thick bar, the 95%
interval of the value itself as a thin line, so that the picture shows what was judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeGuard

from compliance.signing.facts import AuditRow

WIDTH = 640.0
EDGE = 12.0
REACH = 1.5  # a margin edge further out than this many spans of the points is not on the axis
NO_SPAN = 0.02  # width of the axis where all points coincide


def strip(row: AuditRow) -> dict[str, Any] | None:
    """Positions of all marks of a row, 0 to `WIDTH`; None where the row has no finite value.

    Returns:
        `value`, `judged`, `sampled`, `retrained`, `mean`, `original`, `allowed` (left, right, and
        whether each end is an edge on the axis), `ticks` as (position, number).
    """
    if not is_finite(row.value):
        return None
    lower, upper = allowed(row)
    low, high = _domain(_points(row), lower, upper)

    def place(value: float) -> float:
        return round(EDGE + (WIDTH - 2 * EDGE) * (value - low) / (high - low), 1)

    return {
        "value": place(row.value),
        "judged": [place(min(max(x, low), high)) for x in judged(row)],
        "sampled": [place(x) for x in _pair(row.interval)],
        "retrained": [place(x) for x in finite(row.null)],
        "mean": place(row.null_mean) if is_finite(row.null_mean) else None,
        "original": place(row.original) if is_finite(row.original) else None,
        "allowed": _band(lower, upper, low, high, place),
        "ticks": [(place(t), t) for t in ticks(low, high)],
    }


def allowed(row: AuditRow) -> tuple[float | None, float | None]:
    """The values that the rule allows, as (lowest, highest); None for an end without a limit."""
    if is_finite(row.limits.at_most):
        return None, row.limits.at_most
    centre = row.original if row.against == "original" else row.null_mean
    if not is_finite(centre):
        return None, None
    below, above = row.limits.below, row.limits.above
    lower = centre - below if is_finite(below) else None
    return lower, centre + above if is_finite(above) else None


def judged(row: AuditRow) -> list[float]:
    """The interval that the rule looks at, around the value; [] where there is none.

    Under a limit that of the value itself, else the 90% interval of the difference, moved.
    """
    if is_finite(row.limits.at_most):
        return _pair(row.interval)
    interval = _pair(row.difference_interval)
    if not interval or not is_finite(row.difference) or not is_finite(row.value):
        return []
    return [row.value - row.difference + end for end in interval]


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers inside an axis, at most `most` of them.

    >>> ticks(0.43, 0.71)
    [0.45, 0.5, 0.55, 0.6, 0.65, 0.7]
    """
    base = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(base * f for f in (1, 2, 5, 10, 20) if (high - low) / (base * f) < most)
    first = math.ceil(low / step)
    return [round(i * step, 10) for i in range(first, math.floor(high / step) + 1)]


def _points(row: AuditRow) -> list[float]:
    several = (*_pair(row.interval), *judged(row), *finite(row.null))
    return [*several, *finite((row.value, row.original, row.null_mean))]


def _domain(points: list[float], *edges: float | None) -> tuple[float, float]:
    low, high = min(points), max(points)
    reach = REACH * max(high - low, NO_SPAN)
    near = [e for e in edges if e is not None and low - reach <= e <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    pad = max(0.04 * (high - low), NO_SPAN / 2 if high == low else 0.0)
    return low - pad, high + pad


def _band(
    lower: float | None, upper: float | None, low: float, high: float, place: Any
) -> dict[str, Any] | None:
    if lower is None and upper is None:
        return None
    left = low if lower is None else min(max(lower, low), high)
    right = high if upper is None else min(max(upper, low), high)
    return {
        "left": place(left),
        "right": place(right),
        "left_edge": lower is not None and low <= lower <= high,
        "right_edge": upper is not None and low <= upper <= high,
    }


def is_finite(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]


def finite(values: object) -> list[float]:
    """The finite numbers among values, in order."""
    return [float(x) for x in values if is_finite(x)] if isinstance(values, Iterable) else []


def _pair(values: object) -> list[float]:
    numbers = finite(values)
    return numbers if len(numbers) == 2 else []
