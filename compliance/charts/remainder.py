"""What remains of what the original knew: 0 is a model that never saw the class, 1 the original."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from compliance.charts.picture import Picture, line, name_lines, picture
from compliance.presentation.palette import COLOURS
from compliance.presentation.strip import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 16
"""Lines of a picture."""
TELLING = 2.0
"""Spreads of the retrained models that the original must differ by to be a unit."""
REACH = (-1.0, 1.6)
Line = tuple[str, float, float, float, list[float]]


def picture_of(finding: Mapping[str, Any]) -> Picture | None:
    """One audit's figures in units of the original's difference; None where none is telling."""
    lines = [line for line in map(_line, finding.get("measurements") or ()) if line][:MOST]
    if not lines:
        return None
    return picture(
        f"remains-{finding['audit']}",
        lambda figure: _draw(figure, lines),
        size=(7.2, 1.1 + 0.28 * len(lines)),
        title=str(finding["question"]),
        caption="0 is the mean of the retrained models, 1 the original model. The band and the "
        "circles are the retrained models, the diamond is this model with its interval. Left of "
        "the band the change overshot.",
        header=("Measurement", "This model", "from", "to", "lowest retrained", "highest"),
        rows=[(n, v, low, high, min(null), max(null)) for n, v, low, high, null in lines],
    )


def _line(seen: Mapping[str, Any]) -> Line | None:
    """Name, value, interval and retrained models in units of the original's difference."""
    null, original = finite(seen.get("null") or ()), finite([seen.get("original")])
    error = finite([seen.get("standard_error")])
    if len(null) < 2 or not original or not error or seen.get("against") != "retrained":
        return None
    mean = fmean(null)
    gap = original[0] - mean
    if abs(gap) <= TELLING * stdev(null):
        return None
    value, reach = (seen["value"] - mean) / gap, abs(2 * error[0] / gap)
    return str(seen["name"]), value, value - reach, value + reach, [(x - mean) / gap for x in null]


def _draw(figure: Figure, lines: Sequence[Line]) -> None:
    axes = figure.add_subplot()
    low, high = REACH
    for height, (_, value, least, most, null) in enumerate(lines):
        axes.barh(
            height,
            max(null) - min(null),
            left=min(null),
            height=0.7,
            color=COLOURS["allowed"],
        )
        middle, *ends = (min(max(x, low), high) for x in (value, least, most))
        line(axes, height, value=middle, interval=ends, null=null, original=[1.0])
    axes.axvline(0, color=COLOURS["retrained"], linewidth=1)
    name_lines(axes, [name for name, *_ in lines])
    axes.set_xlim(low - 0.05, high + 0.05)
    axes.set_xlabel("share of what the original knew (0 retrained, 1 original)")
