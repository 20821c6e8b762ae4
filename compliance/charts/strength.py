"""How strongly each layer was changed, in the order of the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from compliance.charts import svg
from compliance.charts.picture import Picture, picture
from compliance.presentation.palette import COLOURS
from compliance.presentation.strip import finite
from compliance.signing.facts import Operator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = 30  # more layers than this are numbered, not named
Line = tuple[str, str, float, float, float]


def picture_of(operators: Sequence[Operator]) -> Picture | None:
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


def _line(operator: Operator) -> Line:
    strength, separability = (
        max(finite(values), default=float("nan"))
        for values in (operator.strength, operator.separability)
    )
    return operator.name, operator.kind, strength, operator.relative_change, separability


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
