"""From verdicts to figures: benchmarks/results/validity.json and .md."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from audits import AUDITS
from benchmarks import machine
from benchmarks.validity import judging
from benchmarks.validity.bench import Event, untrained
from benchmarks.validity.cheats import CHEATS, SHALLOW
from benchmarks.validity.judging import BASELINE, CHEAT, EDIT, HONEST, Case, Judged
from compliance.documents.policy import Policy, Rule, load_policy

Facts = dict[str, Any]
PASSED, FAILED, INCONCLUSIVE = "PASSED", "FAILED", "INCONCLUSIVE"
POLICIES = {"mnist": "default-v1", "cifar": "default-v1"}
"""By setting; the sets of 8x8 digits have some ninety images of a class: `demo-v1`."""
SCALES = (0.5, 0.75, 1.0, 1.5)
"""Of the margins on the operating curve; 1 is the policy as it ships."""
SIDE = ("accuracy", "utility")
"""Audits of outputs and damage, whose limits stay as they are."""
FAR = 3.0
"""Standard errors at which an audit tells a candidate from the retrained models, in the matrix."""
POWER = 0.8


def write(plan: Sequence[tuple[Event, int]], *, quick: bool) -> None:
    """Judge what was measured and write both files."""
    events = list(dict.fromkeys(event for event, _ in plan))
    seeds = sorted({seed for _, seed in plan})
    cases = list(judging.cases(events, seeds))
    found = [_judged(case, 1.0) for case in cases]
    first = [one for one in found if one.case.seed == seeds[0]]
    figures = {
        "command": "make bench-validity" + (" ARGS=--quick" if quick else ""),
        "machine": machine.described(),
        "policies": {case.setting: _policy_of(case) for case in cases},
        "planned_events": len(events),
        "partly_measured": partly(events, first),
        **rates(first),
        "flips": flips(found),
        "verdicts": verdicts(first),
        "levels": levels(first),
        "matrix": matrix([one.case for one in first]),
        "operating_curve": [curve_point(cases, seeds[0], scale) for scale in SCALES],
        "reasons": reasons(first),
        "cost": cost([one.case for one in first]),
    }
    machine.save("validity-quick" if quick else "validity", figures)
    name = "validity-quick.md" if quick else "validity.md"
    (machine.RESULTS / name).write_text(page(figures))


def _policy_of(case: Case) -> str:
    return POLICIES.get(case.setting, "demo-v1")


def _judged(case: Case, scale: float) -> Judged:
    policy = scaled(load_policy(_policy_of(case)), scale)
    return judging.judged(case, policy, load_policy("l2-v1"))


def scaled(policy: Policy, scale: float) -> Policy:
    """The policy with the margins that compare with retrained models made wider or narrower."""
    return policy.model_copy(update={"rules": tuple(_scaled(r, scale) for r in policy.rules)})


def _scaled(rule: Rule, scale: float) -> Rule:
    audit = rule.measurement.split(".")[0]
    if rule.relative or rule.at_most is not None or audit in SIDE:
        return rule
    kinds = ("below", "above", "spreads_below", "spreads_above")
    sides = {name: getattr(rule, name) for name in kinds}
    return rule.model_copy(update={n: v if v is None else v * scale for n, v in sides.items()})


def partly(events: Sequence[Event], found: Sequence[Judged]) -> list[str]:
    """Events that lack a candidate which takes no training: a run was cut short there."""
    seen: dict[str, set[str]] = defaultdict(set)
    for one in found:
        seen[one.case.event].add(one.case.candidate)
    return [e.name for e in events if e.name in seen and not untrained(e) <= seen[e.name]]


def rates(found: Sequence[Judged]) -> Facts:
    """What went wrong, counted."""
    cheats, honest = _of(found, CHEAT), _of(found, HONEST)
    able = [one for one in honest if (one.power or 0.0) >= POWER]
    wrong = [one for one in cheats if one.result == PASSED]
    return {
        "events": len({one.case.event for one in found}),
        "cheats": len(cheats),
        "kinds_of_cheats": len({one.case.candidate for one in cheats}),
        "false_pass": len(wrong),
        "false_pass_named": sorted(f"{one.case.candidate} in {one.case.event}" for one in wrong),
        "honest": len(honest),
        "false_fail": _count(honest, FAILED),
        "inconclusive": _count(honest, INCONCLUSIVE),
        "honest_with_power": len(able),
        "false_fail_with_power": _count(able, FAILED),
        "inconclusive_with_power": _count(able, INCONCLUSIVE),
    }


def _of(found: Iterable[Judged], kind: str) -> list[Judged]:
    return [one for one in found if one.case.kind == kind]


def _count(found: Iterable[Judged], result: str) -> int:
    return sum(one.result == result for one in found)


def flips(found: Sequence[Judged]) -> Facts:
    """Pairs of one candidate of one event under two audit seeds, and verdicts that differ."""
    pairs: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in found:
        pairs[one.case.event, one.case.candidate].append(one.result)
    both = [results for results in pairs.values() if len(results) > 1]
    return {
        "pairs": len(both),
        "flips": sum(len(set(results)) > 1 for results in both),
        "between_passed_and_failed": sum({PASSED, FAILED} <= set(results) for results in both),
    }


def verdicts(found: Sequence[Judged]) -> Facts:
    """Verdicts of every candidate, over the events."""
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for one in found:
        told[one.case.candidate][one.result] += 1
    kinds = {one.case.candidate: one.case.kind for one in found}
    order = {HONEST: 0, EDIT: 1, BASELINE: 2, CHEAT: 3}
    names = sorted(told, key=lambda name: (order[kinds[name]], name))
    return {name: {"kind": kinds[name], **dict(sorted(told[name].items()))} for name in names}


def levels(found: Sequence[Judged]) -> Facts:
    """How a verdict without retrained models (L2) relates to the one with them (L3)."""
    both = [one for one in found if one.apart is not None]
    table = Counter(f"L2 {one.apart}, L3 {one.result}" for one in both)
    failed = [one for one in both if one.result == FAILED]
    shallow = [one for one in both if one.case.candidate in SHALLOW]
    return {
        "compared": len(both),
        "events": len({one.case.event for one in both}),
        "disagree": sum(one.apart != one.result for one in both),
        "l2_passed_l3_failed": sum(one.apart == PASSED for one in failed),
        "l2_failed_l3_passed": sum(one.apart == FAILED and one.result == PASSED for one in both),
        "l3_failed": len(failed),
        "shallow_cheats": len(shallow),
        "shallow_cheats_l2_passed": sum(one.apart == PASSED for one in shallow),
        "table": dict(sorted(table.items())),
    }


def matrix(cases: Sequence[Case]) -> Facts:
    """Share of events in which an audit alone tells a candidate from the retrained models.

    It does where one of its figures lies further from the retrained mean than `FAR` standard
    errors that hold one more model's spread, towards the original or beyond. Honest candidates
    are the row to compare with: what is told there is told of nobody.
    """
    cells: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for case in cases:
        name = "retrained (honest)" if case.kind == HONEST else case.candidate
        for finding in case.findings:
            figures = [m for m in finding.measurements if len(m.null) > 1]
            if figures:
                cells[name, finding.audit].append(any(map(_far, figures)))
    rows = ["retrained (honest)", *CHEATS]
    return {
        row: {
            audit: round(sum(cells[row, audit]) / len(cells[row, audit]), 2)
            for audit in AUDITS
            if cells[row, audit]
        }
        for row in rows
        if any(key[0] == row for key in list(cells))
    }


def _far(figure: Any) -> bool:
    """A prediction interval: spread of the retrained models, and the error of this comparison."""
    if figure.difference is None:
        return False
    count, mean = len(figure.null), sum(figure.null) / len(figure.null)
    spread = sum((value - mean) ** 2 for value in figure.null) / (count - 1)
    error = (spread + (figure.standard_error or 0.0) ** 2) ** 0.5
    return bool(abs(figure.difference) > FAR * max(error, 1e-9) and abs(figure.difference) > 1e-3)


def curve_point(cases: Sequence[Case], seed: int, scale: float) -> Facts:
    """False passes and false fails with all margins times `scale`."""
    found = [_judged(case, scale) for case in cases if case.seed == seed]
    cheats, honest = _of(found, CHEAT), _of(found, HONEST)
    return {
        "scale": scale,
        "false_pass": _count(cheats, PASSED),
        "cheats_failed": _count(cheats, FAILED),
        "cheats": len(cheats),
        "false_fail": _count(honest, FAILED),
        "honest_passed": _count(honest, PASSED),
        "honest": len(honest),
    }


def reasons(found: Sequence[Judged]) -> Facts:
    """Why honest candidates did not pass, the most frequent first."""
    told: Counter[str] = Counter()
    for one in _of(found, HONEST):
        if one.result != PASSED:
            rows = [r.name for r in one.rows if r.required and r.outcome != "within"]
            controls = [r.split(" came out")[0] for r in one.reasons if r.startswith("Control")]
            told.update([*rows, *controls])
    return dict(told.most_common(12))


def cost(cases: Sequence[Case]) -> Facts:
    """Median CPU seconds of each audit of a candidate, its yardstick present; forward passes."""
    told: dict[str, list[float]] = defaultdict(list)
    passes: dict[str, list[float]] = defaultdict(list)
    for case in cases:
        for name, seconds in case.seconds.items():
            told[name].append(seconds)
        for name, count in case.passes.items():
            passes[name].append(count)
    return {
        "median_cpu_seconds": {name: round(median(found), 3) for name, found in told.items()},
        "most_forward_passes": {name: round(max(found), 2) for name, found in passes.items()},
    }


def _partly(figures: Facts) -> str:
    few = len(figures["partly_measured"])
    return f", {few} of them with some of the candidates only" if few else ""


def page(figures: Facts) -> str:
    """The figures as a page."""
    parts: list[Callable[[Facts], list[str]]] = [
        _targets,
        _candidates,
        _levels,
        _matrix,
        _curve,
        _why,
        _cost,
    ]
    lines = [
        "# How often are the verdicts wrong?",
        "",
        f"Made by `{figures['command']}`; {figures['events']} of {figures['planned_events']} "
        f"planned events were measured{_partly(figures)}, {figures['kinds_of_cheats']} kinds of "
        "cheats. Policies: "
        + ", ".join(f"{name} by `{policy}`" for name, policy in figures["policies"].items())
        + ". An event is one original model and the classes to forget, with five retrained "
        "references. Cheats that must be trained are made in the first eight events only. The "
        "control of a random edit is made to the size of `mended`'s edit and shared by the "
        "candidates of an event. A run may be cut short and gone on with: the counts are of what "
        "was measured, and none in n leaves a rate of up to 3/n.",
    ]
    for part in parts:
        lines += ["", *part(figures)]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    told = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *told]


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.1%})" if whole else "none measured"


def _met(good: bool, known: int) -> str:
    return ("met" if good else "**missed**") if known else "not measured"


def _targets(f: Facts) -> list[str]:
    able, flip, level = f["honest_with_power"], f["flips"], f["levels"]
    few = able or 1
    rows = [
        ("events", f["events"], "at least 40", _met(f["events"] >= 40, 1)),
        (
            "cheats PASSED",
            _share(f["false_pass"], f["cheats"]),
            "0",
            _met(f["false_pass"] == 0, f["cheats"]),
        ),
        (
            "honest FAILED, all",
            _share(f["false_fail"], f["honest"]),
            "",
            "",
        ),
        ("honest INCONCLUSIVE, all", _share(f["inconclusive"], f["honest"]), "", ""),
        (
            "honest FAILED, power 80% or more",
            _share(f["false_fail_with_power"], able),
            "at most 5%",
            _met(f["false_fail_with_power"] / few <= 0.05, able),
        ),
        (
            "honest INCONCLUSIVE, power 80% or more",
            _share(f["inconclusive_with_power"], able),
            "at most 10%",
            _met(f["inconclusive_with_power"] / few <= 0.10, able),
        ),
        (
            "another audit seed: verdict differs",
            _share(flip["flips"], flip["pairs"]),
            "at most 5%",
            _met(flip["flips"] <= 0.05 * flip["pairs"], flip["pairs"]),
        ),
        (
            "L2 PASSED where L3 FAILED",
            _share(level["l2_passed_l3_failed"], level["l3_failed"]),
            "at most 5%",
            _met(level["l2_passed_l3_failed"] <= 0.05 * level["l3_failed"], level["l3_failed"]),
        ),
        (
            "shallow cheats PASSED at L2",
            _share(level["shallow_cheats_l2_passed"], level["shallow_cheats"]),
            "0",
            _met(level["shallow_cheats_l2_passed"] == 0, level["shallow_cheats"]),
        ),
    ]
    named = [f"- {name}" for name in f["false_pass_named"]]
    told = ["Cheats that passed:", "", *named] if named else ["No cheat passed."]
    return ["## Targets", "", *_table(("figure", "measured", "target", ""), rows), "", *told]


def _candidates(f: Facts) -> list[str]:
    results = (PASSED, INCONCLUSIVE, FAILED)
    rows = [
        (f"`{name}`", told["kind"], *(told.get(result, 0) for result in results))
        for name, told in f["verdicts"].items()
    ]
    return ["## Verdicts", "", *_table(("candidate", "kind", *results), rows)]


def _levels(f: Facts) -> list[str]:
    rows = list(f["levels"]["table"].items())
    return [
        "## Without retrained models",
        "",
        f"{f['levels']['compared']} candidates of {f['levels']['events']} events were judged a "
        "second time without references, by classes that nobody was trained on (`l2-v1`); "
        f"{f['levels']['disagree']} verdicts differ.",
        "",
        *_table(("verdicts", "candidates"), rows),
    ]


def _matrix(f: Facts) -> list[str]:
    names = [name for name in AUDITS if any(name in row for row in f["matrix"].values())]
    rows = [
        (f"`{row}`", *(told.get(name, "") for name in names)) for row, told in f["matrix"].items()
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
