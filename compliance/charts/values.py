"""The figures of an audit as they are, for audits whose unit is not what the original knew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compliance.charts.picture import Picture, line, name_lines, picture
from compliance.presentation.strip import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 12
"""Lines of a picture."""
Json = Mapping[str, Any]


def picture_of(finding: Json) -> Picture | None:
    """Each figure with its interval, the retrained models and the original; None without any."""
    shown = list(finding.get("measurements") or ())[:MOST]
    if not shown:
        return None
    return picture(
        f"values-{finding['audit']}",
        lambda figure: _draw(figure, shown),
        size=(7.2, 1.1 + 0.28 * len(shown)),
        title=str(finding["question"]),
        caption="The diamond is this model with its interval, the square the original, the circles "
        "are the retrained models where they are compared with.",
        header=("Measurement", "This model", "from", "to", "Original"),
        rows=[(m["name"], m["value"], *m["interval"], m.get("original")) for m in shown],
    )


def _draw(figure: Figure, shown: Sequence[Json]) -> None:
    axes = figure.add_subplot()
    for height, seen in enumerate(shown):
        line(
            axes,
            height,
            value=seen["value"],
            interval=seen["interval"],
            null=finite(seen.get("null") or ()),
            original=finite([seen.get("original")]),
        )
    name_lines(axes, [seen["name"] for seen in shown])
    axes.set_xlabel("value")
