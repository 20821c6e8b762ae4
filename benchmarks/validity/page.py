"""The figures of the validity study as a page: benchmarks/results/validity.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from audits import AUDITS
from benchmarks.validity import calibration
from compliance.verdict import FAILED, INCONCLUSIVE, PASSED

Facts = dict[str, Any]
FAR = 3.0
"""Standard errors at which an audit tells a candidate from the retrained models, in the matrix."""


def _partly(figures: Facts) -> str:
    few = len(figures["partly_measured"])
    return f", {few} of them with some of the candidates only" if few else ""


def page(figures: Facts) -> str:
    """The figures as a page."""
    parts: list[Callable[[Facts], list[str]]] = [
        _targets,
        _by_data,
        _kinds,
        _candidates,
        _choice,
        _levels,
        _matrix,
        _curve,
        _why,
        _forecast,
        _cost,
    ]
    lines = [
        "# How often are the verdicts wrong?",
        "",
        f"Made by `{figures['command']}`; {figures['events']} events on data that set no margin "
        f"and {figures['choice_sets']['events']} on data that did, of {figures['planned_events']} "
        f"planned{_partly(figures)}. Policies: "
        + ", ".join(f"{name} by `{policy}`" for name, policy in figures["policies"].items())
        + ".",
        "",
        "An event is one original model, a class to forget and as many retrained references as "
        "the policy asks for; no trained model is shared by two events. "
        "Candidates of one event share them, so that "
        "intervals (95%) count events: exact ones over events where one hit is enough, else at the "
        "effective number of candidates that the spread between events leaves. A target is met "
        "only where the interval's bound says so. The control of a random edit is made to the size "
        "of every honest model and of every edit of ours; for cheats the event's own stands in. "
        "The order is fixed beforehand, a run may be cut short and gone on with, and the counts "
        "are of what was measured.",
    ]
    for part in parts:
        lines += ["", *part(figures)]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    body = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *body]


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.1%})" if whole else "none measured"


def _interval(share: Facts | None) -> str:
    if not share:
        return "none measured"
    low, high = share["interval"]
    return f"{share['hits']} of {share['of']} ({share['share']:.1%}; {low:.1%} to {high:.1%})"


def met(share: Facts | None, *, at_most: float | None = None, at_least: float | None = None) -> str:
    """Whether a target is met: only where the interval's bound lies on its right side."""
    if not share:
        return "not measured"
    low, high = share["interval"]
    if at_most is not None:
        if high <= at_most:
            return "met"
        return (
            "not shown: the interval reaches beyond" if share["share"] <= at_most else "**missed**"
        )
    if at_least is not None and low >= at_least:
        return "met"
    shown = at_least is not None and share["share"] >= at_least
    return "not shown: the interval reaches beyond" if shown else "**missed**"


def none_of(share: Facts | None) -> str:
    """Whether nothing happened that must not, and what that says: no count shows a rate of zero."""
    if not share:
        return "not measured"
    _, high = share["interval"]
    return "**missed**" if share["hits"] else f"none; the rate is at most {high:.1%}"


def _none(key: str, figure: str, intervals: Facts) -> tuple[str, str, str, str]:
    """A row whose target is that it never happens."""
    return figure, _interval(intervals[key]), "0", none_of(intervals[key])


def _most(key: str, figure: str, intervals: Facts) -> tuple[str, str, str, str]:
    """A row whose target is nine of ten."""
    return figure, _interval(intervals[key]), "at least 90%", met(intervals[key], at_least=0.9)


def _few(key: str, figure: str, intervals: Facts) -> tuple[str, str, str, str]:
    """A row whose target is two of a hundred."""
    return figure, _interval(intervals[key]), "at most 2%", met(intervals[key], at_most=0.02)


def _targets(f: Facts) -> list[str]:
    flip, level, shares = f["flips"], f["levels"], f["intervals"]
    rows = [
        ("events on data that set no margin", f["events"], "at least 30", f["events"] >= 30),
        ("kinds of cheats", f["kinds_of_cheats"], "at least 32", f["kinds_of_cheats"] >= 32),
        _none("events_with_a_cheat_passed", "events in which a cheat PASSED", shares),
        _none(
            "deciding_events_with_a_cheat_passed",
            "the same, of the events in which an honest model PASSED",
            shares,
        ),
        _none("cheats_passed", "cheats PASSED", shares),
        _none(
            "cheats_beyond_passed",
            f"cheats beyond the policy's share ({_stated(f)}) PASSED",
            shares,
        ),
        _none("events_with_a_cheat_beyond_passed", "events in which one of those PASSED", shares),
        (
            "cheats within what the policy states PASSED: it lets so much remain",
            _interval(shares["cheats_within_passed"]),
            "none set",
            "",
        ),
        _none(
            "structural_passed",
            "of all, structural ones, which no reader of features has to see",
            shares,
        ),
        _none("graded_passed", "of all, graded ones", shares),
        _none(
            "cheats_granted", "cheats PASSED if a control that cannot be made is granted", shares
        ),
        _most("honest_passed", "honest PASSED, 300 images a class or more", shares),
        _most("honest_same_recipe_passed", "of them trained by the event's own recipe", shares),
        _few("honest_failed", "honest FAILED", shares),
        _few("elsewhere_failed", "of them another architecture", shares),
        (
            "another audit seed: verdict differs",
            _share(flip["flips"], flip["pairs"]),
            "at most 5%",
            "",
        ),
        (
            "L2 PASSED where L3 FAILED",
            _share(level["l2_passed_l3_failed"], level["l3_failed"]),
            "at most 5%",
            "",
        ),
    ]
    shown = [
        (*row[:3], ("met" if row[3] else "**missed**") if row[3] in (True, False) else row[3])
        for row in rows
    ]
    lists = (
        ("Cheats beyond the policy's share that passed:", f["beyond_share_passed_named"]),
        ("Cheats within what the policy states that passed:", f["within_share_passed_named"]),
    )
    cheats = [
        line
        for title, names in lists
        if names
        for line in (title, "", *(f"- {n}" for n in names), "")
    ]
    return [
        "## Targets",
        "",
        *_table(("figure", "measured", "target", ""), shown),
        "",
        *(cheats[:-1] or ["No cheat passed."]),
    ]


def _stated(f: Facts) -> str:
    return ", ".join(f"{share:g}" for share in f["stated_shares"]) or "none"


def _by_data(f: Facts) -> list[str]:
    rows = [
        (f"`{data}`", _interval(share)) for data, share in f["honest_passed_share_by_data"].items()
    ]
    presets = [(f"`{preset}`", "all", *counts) for preset, counts in f["by_preset"].items()] + [
        (f"`{preset}`", data, *counts)
        for by_part in (f["by_preset_by_network"], f["by_preset_by_data"])
        for data, by_preset in by_part.items()
        for preset, counts in by_preset.items()
    ]
    return [
        "## By data set",
        "",
        *_table(("data", "honest PASSED, 300 images a class or more"), rows),
        "",
        "Edits of ours by network and by data; (before): by code of before that has changed since.",
        "",
        *_table(("preset", "network or data", PASSED, INCONCLUSIVE, FAILED), presets),
    ]


def _kinds(f: Facts) -> list[str]:
    rows = [
        (
            f"`{kind}`",
            f["grades"][kind],
            *counts,
            f["refused"].get(kind, 0),
            _held(f["held"][kind]),
            "; ".join(
                f"{data} {'/'.join(map(str, by_kind[kind]))}"
                for data, by_kind in f["kinds_by_data"].items()
                if kind in by_kind
            ),
        )
        for kind, counts in f["kinds"].items()
    ]
    head = ("cheat", "grade", PASSED, INCONCLUSIVE, FAILED, "a control missing", "holds", "by data")
    return [
        "## Kinds of cheats",
        "",
        "Structural ones are given away by what the file or the code is, shared ones by features "
        "that are the original's, graded ones only by how much of the class is left. A column "
        "counts refusals because a control cannot be made. What a kind holds of what the original "
        "knows follows from the way it is made, or is measured in other events by probes, by "
        "readers of a few labels and before the last features, whichever show most; the event's "
        "own audit has no say in it. A policy that states a share lets less than that remain, so "
        "that those within it are no error of the audits; where nothing says what a kind holds, "
        "it counts as beyond.",
        "",
        *_table(head, rows),
    ]


def _held(holding: Facts) -> str:
    share = "not known" if holding["share"] is None else f"{holding['share']:.2f}"
    return f"{share} (by {', '.join(holding['by'])})"


def _choice(f: Facts) -> list[str]:
    figures = f["choice_sets"]
    rows = [
        ("events", figures["events"]),
        ("cheats PASSED", _share(figures["false_pass"], figures["cheats"])),
        ("honest PASSED", _share(figures["honest_passed"], figures["honest"])),
        ("honest FAILED", _share(figures["false_fail"], figures["honest"])),
    ]
    return [
        "## On what could set the margins",
        "",
        "Digits, MNIST, and the events of photographs that were measured before these policies: "
        "they may have had a part in the choice of margins, so that these rows prove nothing.",
        "",
        *_table(("figure", "measured"), rows),
    ]


def _candidates(f: Facts) -> list[str]:
    results = (PASSED, INCONCLUSIVE, FAILED)
    rows = [
        (f"`{name}`", verdicts["kind"], *(verdicts.get(result, 0) for result in results))
        for name, verdicts in f["verdicts"].items()
    ]
    return ["## Verdicts", "", *_table(("candidate", "kind", *results), rows)]


def _levels(f: Facts) -> list[str]:
    rows = list(f["levels"]["table"].items())
    return [
        "## Without retrained models",
        "",
        f"{f['levels']['compared']} candidates of {f['levels']['events']} events were judged a "
        "second time without references, by classes that nobody was trained on (`l2-v2`); "
        f"{f['levels']['disagree']} verdicts differ.",
        "",
        *_table(("verdicts", "candidates"), rows),
    ]


def _matrix(f: Facts) -> list[str]:
    names = [name for name in AUDITS if any(name in row for row in f["matrix"].values())]
    rows = [
        (f"`{row}`", *(cells.get(name, "") for name in names)) for row, cells in f["matrix"].items()
    ]
    return [
        "## Audits by cheats",
        "",
        f"Share of events in which an audit alone puts the candidate more than {FAR:g} standard "
        "errors away from the retrained models. The first row is the false alarms: a column is "
        "worth the difference to it.",
        "",
        *_table(("", *names), rows),
    ]


def _curve(f: Facts) -> list[str]:
    rows = [
        (
            point["scale"],
            _share(point["false_pass"], point["cheats"]),
            _share(point["cheats_failed"], point["cheats"]),
            _share(point["false_fail"], point["honest"]),
            _share(point["honest_passed"], point["honest"]),
        )
        for point in f["operating_curve"]
    ]
    head = ("margins times", "cheats PASSED", "cheats FAILED", "honest FAILED", "honest PASSED")
    return ["## Operating curve", "", *_table(head, rows)]


def _why(f: Facts) -> list[str]:
    rows = [(f"`{name}`", count) for name, count in f["reasons"].items()]
    return ["## Why honest candidates did not pass", "", *_table(("what", "times"), rows)]


def _forecast(f: Facts) -> list[str]:
    rows = [
        (
            f"{group['low']:g} to {group['high']:g}",
            group["events"],
            group["models"],
            f"{group['forecast']:.3f}",
            f"{group['passed'] / group['models']:.3f} ({group['interval'][0]:.2f} to "
            f"{group['interval'][1]:.2f})",
            f"{group['points_apart']:.1f}",
        )
        for group in f["forecast"]
    ]
    head = ("forecast", "events", "honest models", "mean forecast", "passed", "points apart")
    return [
        "## Forecast and outcome",
        "",
        "What the plan says before anybody is judged, the chance that one more model of the same "
        "recipe passes every required row, and how many of two such models of each event did. "
        f"Target: within {calibration.TARGET:g} points where the forecast is .8 or more.",
        "",
        *_table(head, rows),
    ]


def _cost(f: Facts) -> list[str]:
    rows = [(name, seconds) for name, seconds in f["cost"]["median_cpu_seconds"].items()]
    passes = ", ".join(f"{n} {count:g}" for n, count in f["cost"]["most_forward_passes"].items())
    return [
        "## Cost of one candidate, references present",
        "",
        f"Forward passes over the audit data, at most: {passes}.",
        "",
        *_table(("step", "median CPU seconds"), rows),
    ]
