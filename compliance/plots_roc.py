"""How many training images an attacker finds, for each share of false alarms; both axes log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compliance.plots_picture import MODEL, ORIGINAL, RETRAINED, Picture, mean, picture, series

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 120  # a finer curve is thinned, evenly: the page stays small
Json = Mapping[str, Any]


def picture_of(
    findings: Sequence[Json], controls: Mapping[str, Sequence[Json]]
) -> Picture | None:
    """The attack's ROC curve; None where the finding brings no such series."""
    data = _complete(series(findings, "membership", "roc"), controls)
    if data is None:
        return None
    rows = _rows(data)
    return picture(
        "roc",
        lambda figure: _draw(figure, data),
        size=(5.6, 3.6),
        title="Membership attack on the forgotten class",
        caption="Share of training images that an attacker finds (upwards) for each share of "
        "false alarms (to the right), both on log scales. On the dotted line the attack guesses; "
        "well above it, the model betrays its training images.",
        header=("False alarms", "Found, this model", "Found, retrained (mean)", "Found, original"),
        rows=rows,
    )


def _complete(data: Json | None, controls: Mapping[str, Sequence[Json]]) -> dict[str, Any] | None:
    """The series thinned, the original's curve taken from its control where it is missing."""
    if data is None or not data.get("false_positive") or not data.get("candidate"):
        return None
    original = data.get("original")
    if not original:
        control = series(controls.get("original") or (), "membership", "roc") or {}
        same = control.get("false_positive") == data["false_positive"]
        original = control.get("candidate") if same else None
    return {
        "false_positive": _thin(data["false_positive"]),
        "candidate": _thin(data["candidate"]),
        "original": _thin(original or ()),
        "references": [_thin(r) for r in data.get("references") or ()],
    }


def _thin(values: Sequence[float]) -> list[float]:
    if len(values) <= POINTS:
        return list(values)
    step = (len(values) - 1) / (POINTS - 1)
    return [values[round(i * step)] for i in range(POINTS)]


def _rows(data: Json) -> list[tuple[float | None, ...]]:
    return [
        (
            x,
            data["candidate"][i],
            mean([r[i] for r in data["references"] if i < len(r)]),
            data["original"][i] if i < len(data["original"]) else None,
        )
        for i, x in enumerate(data["false_positive"])
    ]


def _draw(figure: Figure, data: Json) -> None:
    axes = figure.add_subplot()
    positive = [x for x in data["false_positive"] if x > 0]
    low = min(positive, default=0.001)
    axes.plot([low, 1], [low, 1], color="#4a525c", linestyle=":", linewidth=1.2, label="guessing")
    for i, curve in enumerate(data["references"]):
        _curve(axes, data, curve, RETRAINED, "retrained models" if i == 0 else None)
    _curve(axes, data, data["original"], ORIGINAL, "original")
    _curve(axes, data, data["candidate"], MODEL, "this model")
    for axis in ("x", "y"):
        axes.set(**{f"{axis}scale": "log", f"{axis}lim": (low, 1.0)})
        getattr(axes, f"{axis}axis").set_major_formatter(lambda x, _: f"{x:g}")
        getattr(axes, f"{axis}axis").set_minor_formatter(lambda x, _: "")
    axes.set_xlabel("false alarms (share of images not used in training)")
    axes.set_ylabel("found (share of training images)")
    figure.legend(loc="outside right upper")


def _curve(axes: Any, data: Json, curve: Sequence[float], style: Json, name: str | None) -> None:
    if not curve:
        return
    points = [(x, y) for x, y in zip(data["false_positive"], curve, strict=False) if x > 0 < y]
    every = max(len(points) // 8, 1)
    axes.plot([x for x, _ in points], [y for _, y in points], **style, markevery=every, label=name)
