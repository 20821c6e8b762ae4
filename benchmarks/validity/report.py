"""From verdicts to figures: benchmarks/results/validity.json, and the page beside it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from statistics import median
from typing import Any

from audits import AUDITS
from benchmarks import machine
from benchmarks.validity import calibration, judging, nets, page, tally
from benchmarks.validity.bench import Event, untrained
from benchmarks.validity.cheats import CHEATS, SHALLOW
from benchmarks.validity.judging import BASELINE, CHEAT, EDIT, HONEST, Case, Judged
from benchmarks.validity.tally import count, of_kind
from compliance.documents.policy import Policy, Rule, load_policy
from compliance.verdict import FAILED, PASSED

Facts = dict[str, Any]
SCALES = (0.6, 0.8, 1.0, 1.5)
"""Of the margins on the operating curve; 1 is the policy as it ships."""
SIDE = ("accuracy", "utility")
"""Audits of outputs and damage, whose limits stay as they are."""


def write(plan: Sequence[tuple[Event, int]], *, quick: bool) -> None:
    """Judge what was measured and write both files."""
    events = list(dict.fromkeys(event for event, _ in plan))
    seeds = sorted({seed for _, seed in plan})
    everything = list(judging.cases(events, seeds))
    if not everything:
        raise SystemExit("Nothing was measured yet with these audits: run it without --report.")
    judged_cases = [_judged(case, 1.0) for case in everything]
    first = [one for one in judged_cases if one.case.seed == seeds[0]]
    measured = [one for one in first if not one.case.choice]
    chosen = [one for one in first if one.case.choice]
    cases = [one.case for one in measured] or [one.case for one in first]
    figures = {
        "command": "make bench-validity" + (" ARGS=--quick" if quick else ""),
        "machine": machine.described(),
        "policies": {case.setting: _policy_of(case) for case in everything},
        "planned_events": len(events),
        "partly_measured": partly(events, first),
        **tally.rates(measured),
        **tally.tables(measured),
        "choice_sets": tally.rates(chosen) | tally.tables(chosen),
        "flips": flips(judged_cases),
        "verdicts": verdicts(measured),
        "levels": levels(first),
        "matrix": matrix(cases),
        "operating_curve": [
            curve_point(_all_judged(cases, scale) if scale != 1 else measured or first, scale)
            for scale in SCALES
        ],
        "reasons": reasons(measured),
        "forecast": calibration.to_json(calibration.groups(measured)),
        "cost": cost(cases),
    }
    machine.save("validity-quick" if quick else "validity", figures)
    name = "validity-quick.md" if quick else "validity.md"
    (machine.RESULTS / name).write_text(page.page(figures))


def _policy_of(case: Case) -> str:
    return nets.POLICY if case.images >= nets.MANY else nets.SMALL_POLICY


def _judged(case: Case, scale: float) -> Judged:
    return judging.judged(case, _policy(_policy_of(case), scale), _policy("l2-v2", 1.0))


@cache
def _policy(name: str, scale: float) -> Policy:
    return scaled(load_policy(name), scale)


def scaled(policy: Policy, scale: float) -> Policy:
    """The policy with the margins that compare with retrained models made wider or narrower.

    A share cannot reach what the original knows: at most .95 of it.
    """
    return policy.model_copy(update={"rules": tuple(_scaled(r, scale) for r in policy.rules)})


def _scaled(rule: Rule, scale: float) -> Rule:
    audit = rule.measurement.split(".")[0]
    if rule.at_most is not None or audit in SIDE:
        return rule
    if rule.remainder is not None:
        return rule.model_copy(update={"remainder": min(rule.remainder * scale, 0.95)})
    kinds = ("below", "above", "spreads_below", "spreads_above")
    sides = {name: getattr(rule, name) for name in kinds}
    return rule.model_copy(update={n: v if v is None else v * scale for n, v in sides.items()})


def partly(events: Sequence[Event], judged_cases: Sequence[Judged]) -> list[str]:
    """Events that lack a candidate which takes no training: a run was cut short there."""
    candidates: dict[str, set[str]] = defaultdict(set)
    for one in judged_cases:
        candidates[one.case.event].add(one.case.candidate)
    return [
        e.name for e in events if e.name in candidates and not untrained(e) <= candidates[e.name]
    ]


def flips(judged_cases: Sequence[Judged]) -> Facts:
    """Pairs of one candidate of one event under two audit seeds, and verdicts that differ."""
    pairs: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in judged_cases:
        pairs[one.case.event, one.case.candidate].append(one.result)
    both = [results for results in pairs.values() if len(results) > 1]
    return {
        "pairs": len(both),
        "flips": sum(len(set(results)) > 1 for results in both),
        "between_passed_and_failed": sum({PASSED, FAILED} <= set(results) for results in both),
    }


def verdicts(judged_cases: Sequence[Judged]) -> Facts:
    """Verdicts of every candidate, over the events."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in judged_cases:
        counts[one.case.candidate][one.result] += 1
    kinds = {one.case.candidate: one.case.kind for one in judged_cases}
    order = {HONEST: 0, EDIT: 1, BASELINE: 2, CHEAT: 3}
    names = sorted(counts, key=lambda name: (order[kinds[name]], name))
    return {name: {"kind": kinds[name], **dict(sorted(counts[name].items()))} for name in names}


def levels(judged_cases: Sequence[Judged]) -> Facts:
    """How a verdict without retrained models (L2) relates to the one with them (L3)."""
    both = [one for one in judged_cases if one.apart is not None]
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

    It does where one of its figures lies further from the retrained mean than `page.FAR` standard
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
    return bool(
        abs(figure.difference) > page.FAR * max(error, 1e-9) and abs(figure.difference) > 1e-3
    )


def _all_judged(cases: Sequence[Case], scale: float) -> list[Judged]:
    return [_judged(case, scale) for case in cases]


def curve_point(judged_cases: Sequence[Judged], scale: float) -> Facts:
    """False passes and false fails of what was judged with all margins times `scale`."""
    cheats, honest = of_kind(judged_cases, CHEAT), of_kind(judged_cases, HONEST)
    return {
        "scale": scale,
        "false_pass": count(cheats, PASSED),
        "cheats_failed": count(cheats, FAILED),
        "cheats": len(cheats),
        "false_fail": count(honest, FAILED),
        "honest_passed": count(honest, PASSED),
        "honest": len(honest),
    }


def reasons(judged_cases: Sequence[Judged]) -> Facts:
    """Why honest candidates did not pass, the most frequent first."""
    frequencies: Counter[str] = Counter()
    for one in of_kind(judged_cases, HONEST):
        if one.result != PASSED:
            rows = [r.name for r in one.rows if r.required and r.outcome != "within"]
            controls = [r.split(" came out")[0] for r in one.reasons if r.startswith("Control")]
            frequencies.update([*rows, *controls])
    return dict(frequencies.most_common(12))


def cost(cases: Sequence[Case]) -> Facts:
    """Median CPU seconds of each audit of a candidate, its yardstick present; forward passes."""
    cpu_seconds: dict[str, list[float]] = defaultdict(list)
    passes: dict[str, list[float]] = defaultdict(list)
    for case in cases:
        for name, seconds in case.seconds.items():
            cpu_seconds[name].append(seconds)
        for name, passed in case.passes.items():
            passes[name].append(passed)
    return {
        "median_cpu_seconds": {
            name: round(median(spent), 3) for name, spent in sorted(cpu_seconds.items())
        },
        "most_forward_passes": {
            name: round(max(counts), 2) for name, counts in sorted(passes.items())
        },
    }
