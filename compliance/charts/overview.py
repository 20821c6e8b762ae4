"""All required measurements on one scale: distance to the baseline in units of the margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compliance.charts import svg
from compliance.charts.picture import MODEL, ORIGINAL, Picture, picture
from compliance.presentation import row_text, strip
from compliance.presentation.palette import COLOURS
from compliance.signing.facts import AuditRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REACH = 3.0  # further out is drawn as an arrow at the rim
LOWER = 0.27  # the original's mark stands a little below the row's line
Place = tuple[float, float, float]


def picture_of(rows: Sequence[AuditRow]) -> Picture | None:
    """The overview; None where no required row has a margin and a value."""
    placed = [(row, place(row)) for row in rows if row.required]
    shown = [_line(row, at) for row, at in placed if at is not None]
    if not shown:
        return None
    return picture(
        "overview",
        lambda figure: _draw(figure, shown),
        size=(7.2, 1.15 + 0.27 * len(shown)),
        title="Required measurements in units of their margin",
        caption="0 is the mean of the retrained models (or the other baseline of the rule), the "
        "band from -1 to +1 is the margin, bars are the intervals that are judged. Where the "
        "original lies inside the band, that measurement alone does not tell it from a retrained "
        "model. An arrow marks what lies further out than 3 margins.",
        header=("Measurement", "Difference / margin", "from", "to", "Original", "Outcome"),
        rows=[(line.name, *line.place, line.original, line.word) for line in shown],
        on_paper=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One required measurement as it is drawn."""

    name: str
    place: Place
    original: float | None
    word: str
    tone: str


def _line(row: AuditRow, at: Place) -> _Line:
    words = row_text.worded(row)
    return _Line(
        name=row.title, place=at, original=original(row), word=words["word"], tone=words["tone"]
    )


def place(row: AuditRow) -> Place | None:
    """Value, lower and upper end of a row in units of its margin; None where it has none."""
    limits = row.limits
    if limits.at_most:
        return _scaled([row.value, *(row.interval or ())], None, limits.at_most)
    return _scaled([row.difference, *(row.difference_interval or ())], limits.below, limits.above)


def original(row: AuditRow) -> float | None:
    """The original's distance in units of the margin; None where the row is no case for it."""
    if row_text.side_effect(row) or not strip.is_finite(row.original):
        return None
    if row.limits.at_most:
        return row.original / row.limits.at_most
    if row.against == "original" or not strip.is_finite(row.null_mean):
        return None
    away = row.original - row.null_mean
    return _units(away, row.limits.below if away < 0 else row.limits.above)


def _scaled(ends: Sequence[Any], below: float | None, above: float | None) -> Place | None:
    numbers = strip.finite(ends)
    if len(numbers) != 3 or (below is None and above is None):
        return None
    value, low, high = (_units(x, below if x < 0 else above) for x in numbers)
    return value, low, high


def _units(distance: float, margin: float | None) -> float:
    if distance == 0 or margin is None:  # no limit on this side
        return 0.0
    return distance / margin if margin else float("inf") * distance


def _draw(figure: Figure, shown: Sequence[_Line]) -> None:
    axes = figure.add_subplot()
    axes.axvspan(-1, 1, color=COLOURS["allowed"], linewidth=0)
    for edge in (-1, 1):
        axes.axvline(edge, color=COLOURS["muted"], linewidth=1.2)
    axes.axvline(0, color=COLOURS["retrained"], linewidth=1)
    for height, line in enumerate(shown):
        _mark(axes, height, *(min(max(x, -REACH), REACH) for x in line.place))
        _mark_original(axes, height, line.original)
    axes.set_yticks(range(len(shown)), [svg.label(line.name) for line in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(-REACH - 0.1, REACH + 0.1)
    axes.set_xlabel("difference in units of the margin")
    _explain(axes)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(shown)), [line.word for line in shown])
    for tick, line in zip(right.get_yticklabels(), shown, strict=True):
        tick.set(color=COLOURS[line.tone], fontweight="bold")
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)


def _mark(axes: Any, height: int, value: float, low: float, high: float) -> None:
    axes.plot([low, high], [height, height], color=COLOURS["ink"], linewidth=3.5)
    out = abs(value) >= REACH
    marker = (">" if value > 0 else "<") if out else MODEL["marker"]
    axes.plot(
        [value],
        [height],
        marker=marker,
        color=COLOURS["ink"],
        markersize=6,
        markeredgecolor=COLOURS["paper"],
        clip_on=False,
    )


def _mark_original(axes: Any, height: int, at: float | None) -> None:
    if at is None:
        return
    out = abs(at) >= REACH
    axes.plot(
        [min(max(at, -REACH), REACH)],
        [height + LOWER],
        marker=(">" if at > 0 else "<") if out else ORIGINAL["marker"],
        color=COLOURS["original"],
        markersize=4.5,
        linestyle="none",
        clip_on=False,
    )


def _explain(axes: Any) -> None:
    """What the marks stand for, above the picture."""
    kinds = (
        ("original", COLOURS["original"], ORIGINAL["marker"], "none", 0.0),
        ("this model, with the interval that is judged", COLOURS["ink"], MODEL["marker"], "-", 3.5),
    )
    for name, colour, marker, line, width in kinds:
        axes.plot([], [], color=colour, marker=marker, linestyle=line, linewidth=width, label=name)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
