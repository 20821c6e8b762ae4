"""The simulations as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from audits.statistics import clopper_pearson
from benchmarks.statistics import leaks
from benchmarks.statistics.families import Family
from benchmarks.statistics.leaks import LeakOutcome
from benchmarks.statistics.rules import KINDS, REFERENCES, SAMPLING, Limit, Rates

WORDS = {
    "number": "three trainings' spreads above the mean, as a number",
    "share": "half of what the original knows (four spreads)",
    "overshoot": "all of what the original knows, beyond the mean",
    "spreads": "five spreads of the null",
    "number or spreads": "a number or five spreads, whichever is wider, both alike",
    "pairs": "three spreads below the mean, of a figure of pairs",
    "pairs, spreads": "five spreads of the null, of a figure of pairs",
}


def markdown(
    rates: Sequence[Rates],
    limits: Sequence[Limit],
    declared: Sequence[Family],
    outcomes: Sequence[LeakOutcome],
    draws: int,
) -> str:
    """`benchmarks/results/statistics.md`."""
    return "\n".join(_lines(rates, limits, declared, outcomes, draws)) + "\n"


def _lines(
    rates: Sequence[Rates],
    limits: Sequence[Limit],
    declared: Sequence[Family],
    outcomes: Sequence[LeakOutcome],
    draws: int,
) -> Iterator[str]:
    yield "# Size and power of the rules"
    yield ""
    yield "`make bench-statistics`. `docs/audits.md` has the formulas and their sources."
    yield ""
    yield (
        "Size: how often a candidate exactly at the margin comes out within, at alpha .05. Honest: "
        f"how often one more training does. {draws} candidates each, so that a size of .05 has a "
        f"standard error of {(0.05 * 0.95 / draws) ** 0.5:.4f}. K references; v/s^2 is the "
        "sampling variance of a figure over that of trainings."
    )
    for kind in KINDS:
        yield ""
        yield f"## {kind[0].upper()}{kind[1:]}: {WORDS[kind]}"
        yield ""
        own = {(r.references, r.sampling): r for r in rates if r.kind == kind}
        header = [f"v/s^2 {v:g}: size / honest" for v in SAMPLING]
        yield from _table(
            ["K", *header],
            (
                [str(k), *(_cell(own[k, v]) for v in SAMPLING if (k, v) in own)]
                for k in REFERENCES
                if (k, SAMPLING[0]) in own
            ),
        )
    yield ""
    yield "## A limit on a share of images (`at_most: 0.05`)"
    yield ""
    yield from _table(
        ["images", "size", "no error comes out within"],
        ([str(each.images), f"{each.size:.3f}", _yes(each.clean)] for each in limits),
    )
    yield ""
    yield "## Several attempts, by the levels that they declare"
    yield ""
    yield (
        "All attempts are held against the same references on the same images, by half of what the "
        "original knows. Size: how often any of them came out within, all exactly at the margin. "
        "Honest: how often one more training did, at the level of the second attempt (of the only "
        "one). The last lines are what it would be if no attempt paid for another."
    )
    yield ""
    yield from _table(
        ["levels", "K", "v/s^2", "size", "honest"],
        (
            [
                ", ".join(f"{level:.3g}" for level in each.levels),
                str(each.references),
                f"{each.sampling:g}",
                f"{each.size:.3f}",
                f"{each.honest:.2f}",
            ]
            for each in declared
        ),
    )
    if outcomes:
        yield from _leaks(outcomes)


def _leaks(outcomes: Sequence[LeakOutcome]) -> Iterator[str]:
    yield ""
    yield "# Planted leaks"
    yield ""
    yield (
        f"What {leaks.POLICY} makes of models with a leak whose answers show nothing of it, by the "
        f"shipped audits and the shipped judge, with {leaks.REFERENCES} retrained models: worlds "
        "of their own, each judged with the leak and without it. Failed: a row came out outside. "
        "Held up: failed, or a required row undecided, so that it cannot pass. False alarms: "
        "failed without the leak. Honest: without it within in every required row. In brackets "
        "exact 95% intervals. Only rows that such a world has are judged: of scores those of "
        "membership, of made-up features none of answers and weights."
    )
    yield ""
    yield from _table(
        ["leak", "draws", "failed", "held up", "false alarms", "honest"],
        (
            [
                each.leak,
                str(each.draws),
                *(
                    _share(count, each.draws)
                    for count in (each.failed, each.held_up, each.false_alarms, each.honest)
                ),
            ]
            for each in outcomes
        ),
    )
    for each in outcomes:
        yield ""
        yield f"## {each.leak[0].upper()}{each.leak[1:]}"
        yield ""
        if each.held_up < each.draws:
            yield _passed(each)
            yield ""
        yield (
            "Outside: of the draws in which it could decide. Power: chance that it would have told "
            "the original. What stands in brackets decides nothing in this policy: readers that it "
            "shows, or rules that another could have."
        )
        yield ""
        yield from _table(
            ["reader", "value", "null", "outside", "outside without the leak", "power"],
            (
                [
                    f"`{own.figure}`" if own.decides else f"(`{own.figure}`)",
                    f"{own.value:.2f}",
                    f"{own.null:.2f}",
                    f"{own.outside} of {own.judged}",
                    str(own.clean),
                    "" if own.power is None else f"{own.power:.2f}",
                ]
                for own in each.readers
            ),
        )


def _passed(leak: LeakOutcome) -> str:
    """What the policy lets through, and who would have seen it."""
    shown = [own for own in leak.readers if own.outside and not own.decides]
    seeing = ", ".join(f"`{own.figure}` in {own.outside} of {own.judged}" for own in shown)
    others = (
        f"It was seen by readers that do not decide: {seeing}."
        if shown
        else ("No reader that does not decide saw it in any draw.")
    )
    return f"**Passed in {leak.draws - leak.held_up} of {leak.draws}.** {others}"


def _share(count: int, of: int) -> str:
    low, high = clopper_pearson(count, of)
    return f"{count / of:.2f} ({low:.2f} to {high:.2f})"


def _cell(rate: Rates) -> str:
    return f"{rate.size:.3f} / {rate.honest:.2f}"


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'|'.join('---' for _ in header)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
