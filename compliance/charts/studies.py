"""What is still readable of each studied class, model by model, beside the thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from compliance.charts.picture import MODEL, ORIGINAL, RETRAINED, Picture, picture
from compliance.presentation.palette import COLOURS
from compliance.qualification.study import CUT, StudiedClass
from compliance.qualification.study import RETRAINED as NEVER_TRAINED
from compliance.qualification.thresholds import Thresholds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDEST = 1.3
"""Shares beyond it are drawn at the edge: the table has them."""


def picture_of(classes: Sequence[StudiedClass], thresholds: Thresholds | None) -> Picture | None:
    """One line for each class; None where no class was studied."""
    if not classes:
        return None
    rows = [
        (_name(each), model.name, model.kind, model.result, model.kept)
        for each in classes
        for model in each.models
    ]
    return picture(
        "study",
        lambda figure: _draw(figure, classes, thresholds),
        size=(7.2, 1.2 + 0.34 * len(classes)),
        title="What is still readable of each class",
        caption="0 is nothing, 1 what the original knows. Diamonds: cuts as events make them. "
        "Circles: models that never saw the class. Squares: models that must not pass, filled "
        "where retrained models fail them. Shaded: shares that pass without retrained models.",
        header=("Class", "Model", "Kind", "Against retrained models", "Still readable"),
        rows=rows,
    )


def _name(each: StudiedClass) -> str:
    return f"{each.label} after {each.edits} edits" if each.edits else str(each.label)


def _draw(figure: Figure, classes: Sequence[StudiedClass], thresholds: Thresholds | None) -> None:
    axes = figure.add_subplot(1, 1, 1)
    if thresholds is not None:
        axes.axvspan(thresholds.least, thresholds.most, color=COLOURS["allowed"], zorder=0)
        axes.axvline(thresholds.fails, color=COLOURS["rule"], linestyle=":", zorder=1)
    for place, each in enumerate(classes):
        for model in each.models:
            if model.kept is None:
                continue
            style = {CUT: MODEL, NEVER_TRAINED: RETRAINED}.get(model.kind, ORIGINAL)
            filled = model.kind == CUT or model.result == "FAILED"
            axes.plot(
                [min(model.kept, WIDEST)],
                [place],
                marker=style["marker"],
                markersize=style["markersize"],
                color=style["color"],
                markerfacecolor=style["color"]
                if filled and model.kind != NEVER_TRAINED
                else COLOURS["paper"],
                linestyle="none",
                zorder=3 if model.kind == CUT else 2,
            )
    axes.set_yticks(range(len(classes)), [f"class {_name(each)}" for each in classes])
    axes.invert_yaxis()
    axes.set_xlabel("share of what the original knows that is still readable")


def bounds_picture(counts: Sequence[int], bounds: Sequence[float]) -> Picture:
    """The bound on failures after so many good spot checks, where none failed."""
    return picture(
        "bounds",
        lambda figure: _bounds(figure, counts, bounds),
        size=(7.2, 2.6),
        title="What spot checks add",
        caption="Upper bound of the rate of events that would fail against retrained models, at "
        "95% at every look at once, after so many spot checks without a failure.",
        header=("Spot checks", "Bound"),
        rows=[(n, round(b, 3)) for n, b in zip(counts, bounds, strict=True)],
    )


def _bounds(figure: Figure, counts: Sequence[int], bounds: Sequence[float]) -> None:
    axes = figure.add_subplot(1, 1, 1)
    axes.plot(counts, bounds, color=COLOURS["retrained"], linewidth=1.6)
    axes.set_xlabel("spot checks, none failed")
    axes.set_ylabel("rate at most")
    axes.set_ylim(0, 1)
