"""From figures of single networks to a table: means, differences with intervals, targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.machine import described
from benchmarks.method import cases, store
from benchmarks.method.figures import Bench, averaged
from benchmarks.method.measures import JUDGED, Figures

Facts = dict[str, Any]

HEADINGS = {
    "retain": "retain",
    "forget": "forget before retiring",
    "few1@last": "1-shot",
    "few5@last": "5-shot",
    "refit@last": "refit",
    "few1@earlier": "1-shot, a block earlier",
    "few5@earlier": "5-shot, a block earlier",
    "refit@earlier": "refit, a block earlier",
    "routing": "routing JS",
    "dprime@last": "linear probe, sd",
}
SHOWN = (*JUDGED, "dprime@last")
"""Figures in the tables; no target speaks of the last, how far off a probe finds the class."""


def table(bench: Bench, advance: Callable[[], None]) -> Facts:
    """All figures of a study, on test rows.

    Returns:
        A row per method; `retrained` is the yardstick. A figure holds its mean, the mean difference
        from the retrained network of the same request and seed, half of that difference's 95 %
        interval over requests and seeds, and whether the target is met.
    """
    means, spread = bench.yardstick("test")
    own = [bench.retrained(unit, "test") for unit in bench.units]
    rows: list[Facts] = [{"method": "retrained", "settings": {}, "figures": _plain(own)}]
    for name in bench.study.methods:
        settings = bench.chosen(name)
        edited = [bench.edited(unit, "test", name, settings) for unit in bench.units]
        figures = {
            column: _judged(bench, column, edited, own, means, spread)
            for column in SHOWN
            if column in edited[0]
        }
        rows.append({"method": name, "settings": settings, "figures": figures})
        advance()
    return {
        "name": bench.study.name,
        "made": described() | {"damp": store.source(("damp",))[:12]},
        "data": bench.study.data,
        "net": bench.study.net,
        "requests": bench.study.requests,
        "seeds": [bench.study.trained(request) for request in bench.study.requests],
        "test_images": len(bench.data.labels["test"]),
        "images_for_surgery": {"kept": bench.study.kept, "gone": bench.study.gone},
        "spread": {column: round(spread[column], 4) for column in SHOWN if column in spread},
        "rows": rows,
    }


def _plain(rows: Sequence[Figures]) -> Facts:
    means = averaged(list(rows))
    return {column: {"mean": round(means[column], 4)} for column in SHOWN if column in means}


def _judged(
    bench: Bench,
    column: str,
    rows: Sequence[Figures],
    own: Sequence[Figures],
    means: Figures,
    spread: Figures,
) -> Facts:
    value = float(np.mean([row[column] for row in rows]))
    entry: Facts = {"mean": round(value, 4)}
    pairs = [(row, base) for row, base in zip(rows, own, strict=True) if column in base]
    if pairs:
        gaps = [row[column] - base[column] for row, base in pairs]
        entry["difference"] = round(float(np.mean(gaps)), 4)
        entry["half_interval"] = half_interval(gaps)
    if column not in JUDGED:
        return entry
    if "@" in column and bench.study.targets.above is None and not spread.get(column):
        return entry  # one seed has no spread to be held against
    missing = cases.shortfall(
        bench.study.targets, column, value, means.get(column, 0.0), spread.get(column, 0.0)
    )
    return entry | {"met": missing <= 1e-9, "missing": round(missing, 4)}


def half_interval(values: Sequence[float]) -> float | None:
    """Half of the 95 % interval of a mean, by Student's t; None for a single value.

    >>> half_interval([0.0, 2.0, 1.0])
    2.4841
    """
    if len(values) < 2:
        return None
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return round(float(stats.t.ppf(0.975, len(values) - 1) * error), 4)


def page(report: Facts) -> str:
    """The whole as Markdown."""
    lines = [
        "# How deep each method forgets",
        "",
        f"Made by `{report['command']}`; `--only` with a data set or a study makes a part again "
        "and keeps the others. Figures are means over requests and seeds on test images "
        "that neither training nor the choice of a setting has seen; in brackets the mean "
        "difference from the retrained network of the same request and seed and its 95 % interval; "
        "**bold** misses the target.",
        "",
    ]
    for study in report["studies"]:
        lines += _section(study)
    return "\n".join(lines)


def _section(study: Facts) -> list[str]:
    requests = "; ".join(" and ".join(map(str, classes)) for classes in study["requests"])
    seeds = "; ".join(", ".join(map(str, seeds)) for seeds in study["seeds"])
    kept, gone = study["images_for_surgery"]["kept"], study["images_for_surgery"]["gone"]
    origin = study["made"]
    lines = [
        f"## {study['data']}, {study['net']}: forget {requests}",
        "",
        f"Seeds of each request: {seeds}. {study['test_images']:,} test images. Surgery sees up to "
        f"{kept} training images of each class to keep and {gone} of each to forget. Measured on "
        f"{origin['processor']} with torch {origin['torch']}, sources of `damp` {origin['damp']}.",
        "",
        "| method | " + " | ".join(HEADINGS.values()) + " |",
        "|---" * (len(HEADINGS) + 1) + "|",
    ]
    for row in study["rows"]:
        cells = [_cell(column, row["figures"].get(column)) for column in HEADINGS]
        lines.append(f"| {_named(row)} | " + " | ".join(cells) + " |")
    targets = "; ".join(f"{HEADINGS[c]} {v:.3f}" for c, v in study["spread"].items() if "@" in c)
    return [*lines, "", f"Spread of the retrained seeds (2 sd): {targets}.", ""]


def _named(row: Facts) -> str:
    settings = ", ".join(f"{key} {value:g}" for key, value in row["settings"].items())
    return f"{row['method']} ({settings})" if settings else row["method"]


def _cell(column: str, entry: Facts | None) -> str:
    if entry is None:
        return "one seed" if column == "routing" else "not told"
    text = f"{entry['mean']:.3f}"
    if entry.get("met") is False:
        text = f"**{text}**"
    if "difference" in entry:
        half = entry["half_interval"]
        text += f" ({entry['difference']:+.3f}" + (f" ± {half:.3f})" if half is not None else ")")
    return text
