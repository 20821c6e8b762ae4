"""The picture of docs/race.md: distance to retrained against kept accuracy, cost as size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

Json = dict[str, Any]
COLOURS = {"ours": "#0b6e4f", "others": "#8a5a00", "retrained": "#1f4e9e", "original": "#a11d33"}
MARKS = {"ours": "o", "others": "s", "retrained": "^", "original": "X"}
WORDS = {
    "ours": "presets of damp", "others": "methods of others", "retrained": "retraining",
    "original": "the original",
}  # fmt: skip
WORST = -6.0
"""Points of lost accuracy below which a mark stands at the edge, with an arrow in its label."""
NAMED = 4
"""Marks of others that get a name in each panel, the nearest to retrained ones."""


def draw(content: Json, path: Path) -> None:
    """Write the picture, a panel per track."""
    tracks = content["tracks"]
    columns = min(3, len(tracks))
    lines = -(-len(tracks) // columns)
    with mpl.rc_context({"svg.hashsalt": "race", "font.size": 8, "svg.fonttype": "path"}):
        figure, panels = plt.subplots(
            lines, columns, figsize=(4.2 * columns, 3.4 * lines), squeeze=False
        )
        for place, axes in enumerate(panels.flat):
            if place < len(tracks):
                _panel(axes, tracks[place])
            else:
                axes.axis("off")
        handles = [
            plt.Line2D([], [], marker=MARKS[kind], color=COLOURS[kind], linestyle="", label=words)
            for kind, words in WORDS.items()
        ]
        figure.legend(handles=handles, loc="lower right", frameon=False)
        figure.supxlabel("distance to retrained models, in their spreads (log): left is closer")
        figure.supylabel("retain accuracy against the original, points: up is better")
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _panel(axes: Axes, track: Json) -> None:
    measured = [method for method in track["methods"] if method["events"]]
    for method in measured:
        kept = -100 * method["lost"]
        axes.scatter(
            method["distance"],
            max(kept, WORST),
            s=14 + 160 * min(method["cost"]["share"], 1.0),
            color=COLOURS[method["kind"]],
            marker=MARKS[method["kind"]],
            alpha=0.75,
            linewidths=0,
        )
    axes.axvline(track["retrained_distance"], color="#1f4e9e", linewidth=0.8, linestyle=":")
    axes.axhline(-0.5, color="#777777", linewidth=0.6, linestyle="--")
    axes.set_xscale("log")
    axes.set_ylim(WORST - 0.6, None)
    axes.set_title(track["title"], fontsize=9)
    near = sorted(
        (m for m in measured if m["kind"] == "others" and m.get("rank")), key=lambda m: m["rank"]
    )
    for turn, method in enumerate([*near[:NAMED], *(m for m in measured if m["kind"] == "ours")]):
        up = 5 if turn % 2 else -9
        axes.annotate(
            method["title"].replace("`", ""),
            (method["distance"], max(-100 * method["lost"], WORST)),
            textcoords="offset points", xytext=(3, up), fontsize=6, color=COLOURS[method["kind"]],
        )  # fmt: skip
