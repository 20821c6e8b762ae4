"""How strongly each layer was changed, in the order of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compliance.charts import svg
from compliance.charts.picture import Picture, picture
from compliance.presentation.palette import COLOURS
from compliance.presentation.strip import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = 30  # more layers than this are numbered, not named
Line = tuple[str, str, float, float, float]


def picture_of(operators: Sequence[Mapping[str, Any]]) -> Picture | None:
    """Strength and relative change by layer; None where no layer was changed."""
    lines = [_line(operator) for operator in operators]
    if not lines:
        return None
    return picture(
        "strength",
        lambda figure: _draw(figure, lines),
        size=(7.2, 2.9 if len(lines) <= NAMED else 2.4),
        title="Strength by layer",
        caption="Left to right from the first layer to the last. Strength: how much of the "
        "forgotten directions was taken out (1 is all). Relative change: size of the change "
        "compared with the weights of the layer.",
        header=("Layer", "Kind", "Strength", "Relative change", "Separability before"),
        rows=lines,
    )


def _line(operator: Mapping[str, Any]) -> Line:
    change = operator.get("relative_change", operator.get("relativeChange"))
    strength, separability = (
        max(finite(operator.get(key)), default=float("nan")) for key in ("strength", "separability")
    )
    kind = str(operator.get("kind", ""))
    return str(operator["name"]), kind, strength, _or_nan(change), separability


def _or_nan(value: Any) -> float:
    return next(iter(finite([value])), float("nan"))


def _draw(figure: Figure, lines: Sequence[Line]) -> None:
    panels = (("strength", 2, 2), ("relative change", 3, 3))
    for place, (title, column, _) in enumerate(panels):
        axes = figure.add_subplot(1, 2, place + 1)
        axes.set_title(title)
        heights = [line[column] for line in lines]
        axes.bar(range(len(lines)), heights, color=COLOURS["retrained"], width=0.7)
        axes.set_ylim(bottom=0)
        if len(lines) <= NAMED:
            names = [svg.label(line[0], 24) for line in lines]
            axes.set_xticks(range(len(lines)), names, rotation=90 if len(lines) > 6 else 0)
        else:
            axes.set_xlabel("layer number")
