"""Class by class: how many images are recognised, and where the forgotten images go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compliance.charts import svg
from compliance.charts.picture import MODEL, ORIGINAL, RETRAINED, Picture, picture, series
from compliance.presentation.strip import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN = 40  # with more classes, the forgotten ones and those that differ most are drawn
Line = tuple[Any, ...]  # class, then one figure or None per column
FORGOTTEN = "*"
COLUMNS = ("candidate", "retrained", "retrained_low", "retrained_high", "original")
HEADER = ("Class", "This model", "Retrained, mean", "lowest", "highest", "Original")


def accuracy(findings: Sequence[Mapping[str, Any]]) -> Picture | None:
    """Accuracy per class; None where the finding brings no such series."""
    return _by_class(
        series(findings, "accuracy", "per_class"),
        "classes",
        "Accuracy per class",
        "share recognised",
        "Share of test images recognised, class by class, before retiring. A forgotten class "
        "(marked *) should stand where the retrained models stand, the others should not move.",
    )


def routing(findings: Sequence[Mapping[str, Any]]) -> Picture | None:
    """Where the forgotten images go; None where the finding brings no such series."""
    return _by_class(
        series(findings, "routing", "shares"),
        "routing",
        "Where images of the forgotten class go",
        "share of forgotten images",
        "Share of the forgotten class's test images that are taken for each other class.",
    )


def _by_class(
    data: Mapping[str, Any] | None, name: str, title: str, axis: str, caption: str
) -> Picture | None:
    if data is None or not data.get("candidate") or not data.get("classes"):
        return None
    lines = _lines(data)
    drawn = _drawn(lines)
    if len(drawn) < len(lines):
        caption += f" Drawn are the {len(drawn)} classes that differ most."
    return picture(
        name,
        lambda figure: _draw(figure, drawn, axis),
        size=(7.2, 2.9),
        title=title,
        caption=caption,
        header=HEADER,
        rows=lines,
    )


def _lines(data: Mapping[str, Any]) -> list[Line]:
    marks = [FORGOTTEN if f else "" for f in data.get("forgotten") or ()]
    columns = [data.get(key) or () for key in COLUMNS]
    return [
        (f"{c}{''.join(marks[i : i + 1])}", *(_at(column, i) for column in columns))
        for i, c in enumerate(data["classes"])
    ]


def _at(values: Sequence[Any], index: int) -> float | None:
    return next(iter(finite(values[index : index + 1])), None)


def _drawn(lines: list[Line]) -> list[Line]:
    if len(lines) <= DRAWN:
        return lines
    worst = sorted(lines, key=lambda x: (not str(x[0]).endswith(FORGOTTEN), -_gap(x)))[:DRAWN]
    return [line for line in lines if line in worst]


def _gap(line: Line) -> float:
    return abs((line[1] or 0.0) - (line[2] or 0.0))


def _draw(figure: Figure, lines: Sequence[Line], axis: str) -> None:
    axes = figure.add_subplot()
    nothing = {"linestyle": "none"}
    places = list(range(len(lines)))
    for at, (_, _, _, low, high, _) in zip(places, lines, strict=True):
        if low is not None and high is not None:
            axes.plot([at, at], [low, high], color=RETRAINED["color"], linewidth=5, alpha=0.35)
    for column, style, shift, name in (
        (5, ORIGINAL, 0.22, "original"),
        (2, RETRAINED, 0.0, "retrained, mean and range"),
        (1, MODEL, -0.22, "this model"),
    ):
        heights = [float("nan") if (h := line[column]) is None else h for line in lines]
        axes.plot([x + shift for x in places], heights, **{**style, **nothing}, label=name)
    axes.set_xticks(places, [svg.label(line[0], 9) for line in lines])
    axes.tick_params(axis="x", rotation=90 if len(lines) > 20 else 0)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.set_xlabel("class")
    axes.set_ylabel(axis)
    figure.legend(loc="outside upper center", ncols=3)
