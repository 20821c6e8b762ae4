"""How fast the class comes back while the model is trained on, against retrained models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compliance.charts.picture import MODEL, ORIGINAL, RETRAINED, Picture, picture, series
from compliance.presentation.palette import COLOURS
from compliance.presentation.strip import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    "few": "trained on a few images of every class",
    "retain_only": "trained on the other classes alone",
}
Curve = Mapping[str, Any]


def picture_of(findings: Sequence[Mapping[str, Any]]) -> Picture | None:
    """Both curves; None where the finding brings none."""
    curves = series(findings, "relearning", "curves") or {}
    shown = [(name, curves[name]) for name in TITLES if _whole(curves.get(name))]
    if not shown:
        return None
    return picture(
        "relearning",
        lambda figure: _draw(figure, shown),
        size=(7.2, 3.0),
        title="The forgotten class while the model is trained on",
        caption="Share of the forgotten class that is recognised after so many training steps. "
        "Left: on ten images of every class, the forgotten one among them; its output starts anew "
        "in every model. Right: on the other classes alone, which can bring back a class that was "
        "only hidden. The band is the range of the retrained models.",
        header=(
            "Trained on",
            "Steps",
            "This model",
            "Retrained, mean",
            "lowest",
            "highest",
            "orig.",
        ),
        rows=[row for name, curve in shown for row in _rows(name, curve)],
    )


def _whole(curve: Any) -> bool:
    if not isinstance(curve, Mapping):
        return False
    steps = finite(curve.get("steps") or ())
    return bool(steps) and len(finite(curve.get("candidate") or ())) == len(steps)


def _band(curve: Curve) -> list[list[float]]:
    """The retrained models' heights at each step; empty lists where there are none."""
    steps = len(curve["steps"])
    null = [finite(one) for one in curve.get("retrained") or ()]
    return [[one[i] for one in null if len(one) == steps] for i in range(steps)]


def _rows(name: str, curve: Curve) -> list[tuple[Any, ...]]:
    original = finite(curve.get("original") or ())
    return [
        (
            TITLES[name],
            step,
            curve["candidate"][i],
            sum(null) / len(null) if null else None,
            min(null, default=None),
            max(null, default=None),
            original[i] if i < len(original) else None,
        )
        for i, (step, null) in enumerate(zip(curve["steps"], _band(curve), strict=True))
    ]


def _draw(figure: Figure, shown: Sequence[tuple[str, Curve]]) -> None:
    for place, (name, curve) in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), place + 1)
        axes.set_title(TITLES[name])
        steps, null = finite(curve["steps"]), _band(curve)
        if all(null):
            axes.fill_between(
                steps,
                [min(n) for n in null],
                [max(n) for n in null],
                color=COLOURS["allowed"],
                linewidth=0,
            )
        lines = [
            (ORIGINAL, finite(curve.get("original") or ()), "original"),
            (RETRAINED, [sum(n) / len(n) for n in null if n], "retrained, mean and range"),
            (MODEL, finite(curve["candidate"]), "this model"),
        ]
        for style, heights, label in lines:
            if len(heights) == len(steps):
                axes.plot(steps, heights, **style, label=None if place else label)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("training steps")
    figure.legend(loc="outside upper center", ncols=3)
