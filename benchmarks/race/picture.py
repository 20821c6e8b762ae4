"""The picture of docs/race.md: distance to retrained against kept accuracy, cost as size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

Json = dict[str, Any]
COLOURS = {"ours": "#0b6e4f", "others": "#8a5a00", "retrained": "#1f4e9e", "original": "#a11d33"}
MARKS = {"ours": "o", "others": "s", "retrained": "^", "original": "X"}
WORDS = {
    "ours": "presets of damp", "others": "methods of others", "retrained": "retraining",
    "original": "the original",
}  # fmt: skip
WORST = -6.0
"""Points of lost accuracy below which a mark stands at the lower edge."""


def draw(content: Json, path: Path) -> None:
    """Write the picture, a panel per track; marks of others carry their rank in the table."""
    tracks = content["tracks"]
    columns = min(2, len(tracks))
    lines = -(-len(tracks) // columns)
    with mpl.rc_context({"svg.hashsalt": "race", "font.size": 9, "svg.fonttype": "path"}):
        figure, panels = plt.subplots(
            lines, columns, figsize=(6.4 * columns, 4.2 * lines + 0.9), squeeze=False
        )
        for place, axes in enumerate(panels.flat):
            if place < len(tracks):
                _panel(axes, tracks[place])
            else:
                axes.axis("off")
        handles = [
            Line2D([], [], marker=MARKS[kind], color=COLOURS[kind], linestyle="", label=words)
            for kind, words in WORDS.items()
        ]
        figure.legend(handles=handles, loc="lower center", ncol=len(handles), frameon=False)
        figure.tight_layout(rect=(0.0, 0.9 / (4.2 * lines + 0.9) * 0.5, 1.0, 1.0))
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        plt.close(figure)


def _panel(axes: Axes, track: Json) -> None:
    measured = [method for method in track["methods"] if method["events"]]
    for method in measured:
        kept = max(-100 * method["lost"], WORST)
        axes.scatter(
            method["distance"],
            kept,
            s=30 + 220 * min(method["cost"]["share"], 1.0),
            color=COLOURS[method["kind"]],
            marker=MARKS[method["kind"]],
            alpha=0.7,
            linewidths=0,
        )
        if method["kind"] == "others" and method.get("rank"):
            axes.annotate(
                str(method["rank"]), (method["distance"], kept), fontsize=6, color="white",
                ha="center", va="center",
            )  # fmt: skip
    ours = [method for method in measured if method["kind"] == "ours"]
    for turn, method in enumerate(sorted(ours, key=lambda m: m["lost"])):
        axes.annotate(
            method["title"].replace("`", "").removeprefix("damp "),
            (method["distance"], max(-100 * method["lost"], WORST)),
            textcoords="offset points",
            xytext=(4, 7 if turn % 2 else -13),
            fontsize=8,
            color=COLOURS["ours"],
        )
    axes.axvline(track["retrained_distance"], color=COLOURS["retrained"], lw=0.8, ls=":")
    axes.axhline(-0.5, color="#777777", lw=0.6, ls="--")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(WORST - 0.6, None)
    axes.set_title(track["title"], fontsize=10)
    axes.set_xlabel("distance to retrained models, in their spreads")
    axes.set_ylabel("retain accuracy kept, points")
