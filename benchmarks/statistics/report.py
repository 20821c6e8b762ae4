"""The simulations as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.statistics.families import Family
from benchmarks.statistics.leaks import Seen
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
    seen: Sequence[Seen],
    draws: int,
) -> str:
    """`benchmarks/results/statistics.md`."""
    return "\n".join(_lines(rates, limits, declared, seen, draws)) + "\n"


def _lines(
    rates: Sequence[Rates],
    limits: Sequence[Limit],
    declared: Sequence[Family],
    seen: Sequence[Seen],
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
    if not seen:
        return
    yield ""
    yield "# Planted leaks"
    yield ""
    yield (
        "Refused: how often the model with the leak did not come out within, so that it cannot "
        "pass; failed: how often it came out outside. Honest: how often the same model without the "
        "leak came out within. Value and null are means over the worlds; five references each."
    )
    yield ""
    yield from _table(
        ["leak", "reader", "rule", "value", "null", "refused", "failed", "honest", "worlds"],
        (
            [
                each.leak,
                f"`{each.reader}`",
                each.rule,
                f"{each.value:.2f}",
                f"{each.null:.2f}",
                f"{each.refused:.2f}",
                f"{each.failed:.2f}",
                f"{each.honest:.2f}",
                str(each.worlds),
            ]
            for each in seen
        ),
    )


def _cell(rate: Rates) -> str:
    return f"{rate.size:.3f} / {rate.honest:.2f}"


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'|'.join('---' for _ in header)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
