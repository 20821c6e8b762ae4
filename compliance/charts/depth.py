"""How readable the class is at each depth, against the band of the retrained models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from audits import catalogue
from compliance.charts import svg
from compliance.charts.picture import MODEL, ORIGINAL, RETRAINED, Picture, picture
from compliance.presentation.palette import COLOURS
from compliance.presentation.strip import finite
from compliance.signing.facts import AuditRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# the statistics that do not saturate, then those that may; the first two with depths are drawn
WANTED = ("linear_probe.dprime", "few_shot.1", "few_shot.5", "linear_probe.auc", "few_shot.20")
TITLES = {
    "linear_probe.dprime": "linear probe: distance (d')",
    "linear_probe.auc": "linear probe: AUC",
    "few_shot.1": "few-shot accuracy, 1 image a class",
    "few_shot.5": "few-shot accuracy, 5 images a class",
    "few_shot.20": "few-shot accuracy, 20 images a class",
}


def picture_of(rows: Sequence[AuditRow]) -> Picture | None:
    """The depth profiles; None where no statistic was measured at two depths or more."""
    profiles = {name: profile(rows, name) for name in WANTED}
    shown = [(name, rows) for name, rows in profiles.items() if len(rows) > 1][:2]
    if not shown:
        return None
    return picture(
        "depth",
        lambda figure: _draw(figure, shown),
        size=(7.2, 3.4),
        title="The forgotten class by depth",
        caption="From the first layers (left) to the last (right). The band is the range of the "
        "retrained models: inside it the class is as readable as in a model that never saw it. "
        "Above it the model still holds more, below it the change overshot.",
        header=("Measured at", "This model", "Retrained, mean", "lowest", "highest", "Original"),
        rows=[_table(row) for _, profile_rows in shown for row in profile_rows],
        on_paper=False,
    )


def profile(rows: Sequence[AuditRow], name: str) -> list[AuditRow]:
    """The rows of one statistic, shallow to deep, in the order of the statement."""
    named = [r for r in rows if r.ran and r.title.startswith(f"{name}@")]
    # a second name of a depth that is there already
    named = [r for r in named if r.title != f"{name}@{catalogue.EARLIER}"]
    return [r for r in named if finite([r.value]) and finite(r.null)]


def _table(row: AuditRow) -> tuple[Any, ...]:
    null = finite(row.null)
    return row.title, row.value, row.null_mean, min(null), max(null), row.original


def _draw(figure: Figure, shown: Sequence[tuple[str, list[AuditRow]]]) -> None:
    for place, (name, rows) in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), place + 1)
        axes.set_title(TITLES[name])
        _panel(axes, rows, place == 0)
    figure.legend(loc="outside upper center", ncols=3)


def _panel(axes: Any, rows: list[AuditRow], named: bool) -> None:
    places = list(range(len(rows)))
    null = [finite(r.null) for r in rows]
    axes.fill_between(
        places,
        [min(n) for n in null],
        [max(n) for n in null],
        color=COLOURS["allowed"],
        linewidth=0,
    )
    lines = (
        (ORIGINAL, [_or_nan(r.original) for r in rows], "original"),
        (RETRAINED, [sum(n) / len(n) for n in null], "retrained, mean and range"),
        (MODEL, [r.value for r in rows], "this model"),
    )
    for style, heights, label in lines:
        axes.plot(places, heights, **style, label=label if named else None)
    for at, row in zip(places, rows, strict=True):
        axes.plot(
            [at, at],
            finite(row.interval) or finite([row.value]) * 2,
            color=COLOURS["ink"],
            linewidth=1,
        )
    names = [svg.label(r.title.partition("@")[2], 18) for r in rows]
    axes.set_xticks(places, names, rotation=45, ha="right")


def _or_nan(value: Any) -> float:
    return next(iter(finite([value])), float("nan"))
