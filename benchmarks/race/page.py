"""`race.md`: one table per track, settings and passes, depth, published figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Json = dict[str, Any]


def written(content: Json) -> str:
    """The page."""
    parts = [
        "# The race\n",
        f"Made by `{content['command']}`; [what it says](../../docs/race.md).\n",
        "Distance: mean over the policy's deciding rows of the difference to retrained models,\n"
        "in their standard deviations. Kept: retain accuracy against the original, in points.\n"
        "Cost: share of the row passes of one full retraining, of the chosen setting.\n",
    ]
    for track in content["tracks"]:
        parts += [_heading(track), _race(track), _grids(track), _depth(track), _published(track)]
    if content["not_run"]:
        parts.append(f"Tracks that were not run yet: {', '.join(content['not_run'])}.\n")
    return "\n".join(parts)


def _heading(track: Json) -> str:
    rows, recipe = track["rows"], track["recipe"]
    lines = [
        f"## {track['title']}\n",
        f"`{track['name']}`: {rows['classes']} classes, {rows['train']} rows to train on, "
        f"{rows['choice']} to choose settings on, {rows['test']} held out; network "
        f"`{track['network']}`, {recipe['epochs']} epochs, learning rate "
        f"{recipe['learning_rate']:g}; {track['references']} retrained models, "
        f"which lie {track['retrained_distance']:.2f} from each other; policy "
        f"`{track['policy']}`.\n",
    ]
    for event in track["events"]:
        verdicts = ", ".join(f"{n} {name}" for name, n in event["verdicts_on_retrained"].items())
        lines.append(
            f"- classes {event['forget']}, original {event['original']}: retain "
            f"{event['retain_original']:.3f} (retrained {event['retain_retrained']:.3f}), forget "
            f"{event['forget_original']:.3f}; verdicts on the retrained models: {verdicts}"
        )
    if track["not_run"]:
        lines.append(f"- not run yet: {', '.join(track['not_run'])}")
    return "\n".join(lines) + "\n"


def _race(track: Json) -> str:
    head = ("rank", "method", "distance", "kept, points", "forget", "cost", "verdicts", "outside")
    lines = []
    for method in _ordered(track["methods"]):
        if not method["events"]:
            lines.append(("", method["title"], "", "", "", "", _short(method["problem"]), ""))
            continue
        verdicts = ", ".join(f"{n} {name}" for name, n in method["verdicts"].items())
        outside = {name for event in method["by_event"] for name in event.get("outside", [])}
        lines.append(
            (
                str(method.get("rank", "")),
                method["title"],
                f"{method['distance']:.2f}",
                f"{0.0 - 100 * method['lost']:+.2f}",
                f"{method['forget']:.3f}",
                f"{method['cost']['share']:.3f}",
                verdicts,
                str(len(outside)) if outside else "",
            )
        )
    return table(head, lines)


def _grids(track: Json) -> str:
    head = (
        "method",
        "source",
        "reads",
        "batch norms",
        "grid (chosen in bold)",
        "passes of the grid: forward, backward",
    )
    lines = []
    for method in track["methods"]:
        grid = "; ".join(
            _setting(note, chosen=note["settings"] == method["chosen"]) for note in method["grid"]
        )
        passes = method["grid_passes"]
        lines.append(
            (
                method["title"], method["source"], method["reads"], method["norms"],
                grid if method["kind"] == "others" else "no choice",
                f"{passes['forward']:.1f}, {passes['backward']:.1f}",
            )
        )  # fmt: skip
    return "### Settings\n\n" + table(head, lines)


def _setting(note: Json, *, chosen: bool) -> str:
    """One setting with what it lost and left on the rows to choose on."""
    values = " ".join(f"{name} {value:g}" for name, value in note["settings"].items()) or "as it is"
    values = f"**{values}**" if chosen else values
    if "problem" in note:
        return f"{values} ({_short(note['problem'])})"
    return f"{values} ({0.0 - 100 * note['lost']:+.1f}, {note['forget']:.2f})"


def _depth(track: Json) -> str:
    measured = [method for method in _ordered(track["methods"]) if method["events"]]
    depths = track["depths"]  # a list keeps the order of the network
    lines = [
        (method["title"], *(_number(method["depth"].get(depth)) for depth in depths))
        for method in measured
    ]
    return (
        "### What is left of the class in depth\n\n"
        "Separability (d') beyond retrained models as a share of the original's: 0 retrained,\n"
        "1 the original, empty where the original lies within two spreads of them.\n\n"
        + table(("method", *depths), lines)
    )


PUBLISHED = {
    "aus": "AUS", "tow": "ToW", "zrf": "ZRF", "kr_forget": "KR forget", "kr_retain": "KR retain",
    "nc": "NC forget", "idi": "IDI", "rus": "RUS", "layer_distance": "layer distance",
}  # fmt: skip


def _published(track: Json) -> str:
    lines = [
        (method["title"], *(_number(method["published"].get(name)) for name in PUBLISHED))
        for method in _ordered(track["methods"])
        if method["events"]
    ]
    return (
        "### Figures that papers print\n\n"
        "For information; formulas in `benchmarks/race/metrics.py`.\n\n"
        + table(("method", *PUBLISHED.values()), lines)
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _short(problem: str) -> str:
    return (problem or "").split(". ")[0].split(": ")[0][:80]


def _ordered(methods: Iterable[Json]) -> list[Json]:
    """By rank; then those that lost more, by distance; then those without figures."""
    return sorted(
        methods, key=lambda m: (not m["events"], m.get("rank", 1000), m.get("distance", 0.0))
    )


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
