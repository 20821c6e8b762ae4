"""How many training images an attacker finds, for each share of false alarms; both axes log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compliance.charts.picture import MODEL, ORIGINAL, RETRAINED, Picture, picture, series
from compliance.presentation.palette import COLOURS
from compliance.presentation.strip import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN = 120  # points of a curve; a finer one is thinned, evenly: the page stays small
LISTED = 16  # lines of the table
CURVES = ("fpr", "candidate", "retrained", "retrained_low", "retrained_high", "original")
HEADER = ("False alarms", "Found, this model", "retrained, mean", "lowest", "highest", "original")
Curves = dict[str, list[float]]


def picture_of(findings: Sequence[Mapping[str, Any]]) -> Picture | None:
    """The attack's ROC curve; None where the finding brings no such series."""
    data = series(findings, "membership", "roc") or {}
    curves = {key: _thin(finite(data.get(key) or ()), DRAWN) for key in CURVES}
    points = len(curves["fpr"])
    if not points or len(curves["candidate"]) != points:
        return None
    return picture(
        "roc",
        lambda figure: _draw(figure, curves),
        size=(7.2, 3.6),
        title="Membership attack on the forgotten class",
        caption="Share of training images that an attacker finds (upwards) for each share of "
        "false alarms (to the right), both on log scales. On the dotted line the attack guesses; "
        "well above it, the model betrays its training images. The band is the range of the "
        "retrained models.",
        header=HEADER,
        rows=[
            tuple(curves[key][i] if curves[key] else None for key in CURVES)
            for i in _thin(list(range(points)), LISTED)
        ],
    )


def _thin(values: list[Any], most: int) -> list[Any]:
    if len(values) <= most:
        return values
    step = (len(values) - 1) / (most - 1)
    return [values[round(i * step)] for i in range(most)]


def _draw(figure: Figure, curves: Curves) -> None:
    axes = figure.add_subplot()
    low = min((x for x in curves["fpr"] if x > 0), default=0.001)
    axes.plot([low, 1], [low, 1], color=COLOURS["muted"], linestyle=":", label="guessing")
    band = [
        (x, max(down, low), max(up, low))
        for x, down, up in zip(
            curves["fpr"], curves["retrained_low"], curves["retrained_high"], strict=False
        )
        if x > 0
    ]
    if band:
        places, least, most = zip(*band, strict=True)
        axes.fill_between(places, least, most, color=COLOURS["allowed"], linewidth=0)
    _curve(axes, curves, "original", ORIGINAL, "original")
    _curve(axes, curves, "retrained", RETRAINED, "retrained,\nmean and range")
    _curve(axes, curves, "candidate", MODEL, "this model")
    _log_scales(axes, low)
    axes.set_xlabel("false alarms (share of images not used in training)")
    axes.set_ylabel("found (share of training images)")
    figure.legend(loc="outside right upper")


def _log_scales(axes: Any, low: float) -> None:
    axes.set(xscale="log", yscale="log", xlim=(low, 1.0), ylim=(low, 1.0))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda x, _: f"{x:g}")
        axis.set_minor_formatter(lambda x, _: "")


def _curve(axes: Any, curves: Curves, key: str, style: Mapping[str, Any], name: str) -> None:
    points = [(x, y) for x, y in zip(curves["fpr"], curves[key], strict=False) if x > 0 < y]
    if points:
        every = max(len(points) // 8, 1)
        axes.plot(*zip(*points, strict=True), **style, markevery=every, label=name)
