"""Three pictures for docs/method.md: trade-off by gain, strengths and separability by depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

import damp
from benchmarks.method import cases
from benchmarks.method.cases import BATCH, GAINS
from benchmarks.method.figures import Bench, averaged

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

DOCS = Path(__file__).parents[2] / "docs"
COLOURS = {
    "original": "#8a8a8a",
    "retrained": "#1b1b1b",
    "paper": "#d1495b",
    "mixture": "#00798c",
    "mended": "#edae49",
    "rewritten": "#66a182",
}
DEEP = ("paper", "mixture", "rewritten")
"""Presets whose depth is drawn; `mended` has the features of `mixture`."""

Facts = dict[str, Any]


def tradeoff(bench: Bench, gained: Sequence[str]) -> list[Facts]:
    """Retain accuracy and one-shot reading by gain, as differences from the retrained networks.

    On validation rows: settings may be chosen from this picture.
    """
    other, _ = bench.yardstick("validation")
    units = [(request, bench.study.seeds[0]) for request in bench.study.requests]
    points = []
    for name in gained:
        for gain in sorted(GAINS):
            rows = [bench.edited(unit, "validation", name, {"gain": gain}) for unit in units]
            own = averaged(rows)
            facts: Facts = {"method": name, "gain": gain}
            for column in ("retain", "few1@last", "few1@earlier"):
                facts[column] = round(own[column] - other[column], 4)
            points.append(facts)
    return points


def by_depth(bench: Bench) -> Facts:
    """Strengths and separability at each operator's input, means over requests, first seed.

    Separability is the distance of a class from its mixture among test rows, where retained samples
    are round: the same reader for every network.
    """
    rows = cases.batches(bench.data, bench.study, bench.study.requests[0])
    test = list(
        zip(
            bench.data.inputs("test").split(BATCH),
            bench.data.labels["test"].split(BATCH),
            strict=True,
        )
    )
    seed = bench.study.seeds[0]
    original = bench._net(seed, ())
    names: list[str] = []
    strengths: dict[str, list[list[float]]] = {}
    depths: dict[str, list[list[float]]] = {}
    for request in bench.study.requests:
        networks = {
            "original": original,
            "retrained": bench._net(seed, request),
            **{name: bench.model((request, seed), name, {}) for name in DEEP},
        }
        for name, network in networks.items():
            (cost,) = damp.costs(damp.measure(network, test), classes=request)
            names = [operator.name for operator in cost.operators]
            depths.setdefault(name, []).append(
                [operator.separability**0.5 for operator in cost.operators]
            )
        for preset in DEEP:
            (cost,) = damp.costs(damp.measure(original, rows), classes=request, preset=preset)
            strengths.setdefault(preset, []).append([op.strength for op in cost.operators])
    return {
        "operators": names,
        "strength": {k: np.mean(v, axis=0).round(4).tolist() for k, v in strengths.items()},
        "separability": {k: np.mean(v, axis=0).round(3).tolist() for k, v in depths.items()},
    }


def draw(studies: Sequence[Facts]) -> None:
    """Write the three SVGs under docs/, a panel for each study that has them."""
    by_name = {study["name"]: study for study in studies if study["by_depth"]}
    gained = [name for name, study in by_name.items() if study["tradeoff_on_validation_rows"]]
    _panels("method-tradeoff", gained, lambda axes, name: _trade(axes, by_name[name]))
    _panels(
        "method-strengths", list(by_name),
        lambda axes, name: _lines(axes, by_name[name]["by_depth"], "strength", "share taken away"),
    )  # fmt: skip
    _panels(
        "method-separability", list(by_name),
        lambda axes, name: _lines(axes, by_name[name]["by_depth"], "separability", "distance, sd"),
    )  # fmt: skip


def _panels(name: str, studies: Sequence[str], fill: Callable[[Axes, str], None]) -> None:
    settings = {"svg.hashsalt": "damp", "svg.fonttype": "none", "font.size": 9}
    with mpl.rc_context(settings):
        figure, axes = plt.subplots(
            1, len(studies), figsize=(3.2 * len(studies), 3.0), squeeze=False, layout="constrained"
        )
        for panel, study in zip(axes[0], studies, strict=True):
            fill(panel, study)
            panel.set_title(study)
            panel.spines[["top", "right"]].set_visible(False)
        axes[0][0].legend(frameon=False, fontsize=8)
        figure.savefig(DOCS / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


def _trade(axes: Axes, study: Facts) -> None:
    trade = study["tradeoff_on_validation_rows"]
    for name in dict.fromkeys(point["method"] for point in trade):
        points = [point for point in trade if point["method"] == name]
        x = [100 * point["retain"] for point in points]
        y = [100 * point["few1@last"] for point in points]
        axes.plot(x, y, "o-", color=COLOURS[name], label=name, markersize=4)
        for point, left, up in zip(points, x, y, strict=True):
            axes.annotate(f"{point['gain']:g}", (left, up), fontsize=7, xytext=(3, 3),
                          textcoords="offset points")  # fmt: skip
    axes.axhline(0, color="#1b1b1b", linewidth=0.7)
    axes.axvline(0, color="#1b1b1b", linewidth=0.7)
    axes.set_xlabel("retain accuracy, points over retrained")
    axes.set_ylabel("1-shot, points over retrained")


def _lines(axes: Axes, facts: Facts, key: str, label: str) -> None:
    values: Mapping[str, list[float]] = facts[key]
    places = range(len(facts["operators"]))
    for name, heights in values.items():
        axes.plot(places, heights, "o-", color=COLOURS[name], label=name, markersize=4)
    axes.set_xticks(list(places), facts["operators"], rotation=60, ha="right", fontsize=7)
    axes.set_ylabel(label)
