"""What each depth and each share of the recipe buys: tops that start afresh, heads that are cut,
writers of residual nets, and of plain ones.

Events of choice alone: settings are looked for here, and confirmed by the validity study. Trained
models are the study's own. Findings are kept, so that a run goes on where another ended, and they
stand until the cache is removed. Writes benchmarks/results/frontier.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any
from unittest.mock import patch

import torch

import damp.natural
from audits.finding import Figure
from benchmarks.machine import RESULTS, described
from benchmarks.race.page import table
from benchmarks.validity import bench, data, judging, nets
from benchmarks.validity.cheats import Candidate
from compliance.documents import ladder
from compliance.verdict import judge
from damp import gated_writing
from damp.operators import find
from damp.waist import waists
from flows.models import renewal

PLAIN = ("cifar10-0-seed0", "tiny-0-seed0", "digits-3-seed0", "digits-8-seed1")
RESIDUAL = ("cifar10-residual-f32-4-seed0", "tiny-residual-f32-8-seed0")
CELLS = ("cifar10-f32-6-seed0", "cifar100-f32-3-seed1", "tiny-f32-7-seed3")
"""Plain nets whose linear layer reads a map in cells."""
AROUND = ("cifar10-residual-2-seed0", "cifar100-residual-1-seed0", "tiny-residual-1-seed0")
"""Residual nets on which it was chosen how far samples move around a mean."""
EVENTS = (*PLAIN, *RESIDUAL, *CELLS, *AROUND)
SHOWN = {
    "retain": "accuracy.retain",
    "CKA": "similarity.cka@penultimate",
    "d' logits": "linear_probe.dprime@logits",
    "d' last": "linear_probe.dprime@penultimate",
    "d' earlier": "linear_probe.dprime@earlier",
    "left, probes": "remainder.probes",
    "left, few labels": "remainder.few_labels",
}
"""Figures of the table, as differences to the retrained models' mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A fresh top from one waist on, or `natural` with its head cut by a fixed share.

    Attributes:
        waist: Which of the waists but the first, counted from below; None for `natural`.
        share: Of the recipe's epochs; of the residual where the head is cut.
        twice: Whether the layer before the head and the head start afresh once more.
        seed: Added to that of the event.
    """

    waist: int | None = None
    share: float
    twice: bool = True
    seed: int = 0

    @property
    def name(self) -> str:
        if self.waist is None:
            return f"H:{self.share:g}"
        return f"renew_{self.waist}_{self.share:.2f}_{-2 if self.twice else 0}_{self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """`natural` by other writers of the last sums.

    Attributes:
        ridge, held, others, scattered: As `damp.gated_writing` names them.
        gates: Whether writers look behind gates; else one term for each class.
    """

    ridge: float = gated_writing.RIDGE
    held: float = gated_writing.HELD
    others: float = gated_writing.OTHERS
    scattered: float = gated_writing.SCATTERED
    gates: bool = True

    @property
    def name(self) -> str:
        if not self.gates:
            return "W:one_term"
        return f"W:{self.ridge:g}_{self.held:g}_{self.others:.2f}_{self.scattered:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving:
    """`natural` on plain nets, with and without what it does beside moving the last linear layer.

    Attributes:
        earlier: Whether the sum that this layer reads is written.
        both: Whether the move stops by s and d', not by s alone.
    """

    earlier: bool = True
    both: bool = True

    @property
    def name(self) -> str:
        return f"M:{'earlier_' if self.earlier else ''}{'both' if self.both else 's'}"


MOVINGS = (Moving(earlier=False, both=False), Moving(both=False), Moving())
WRITINGS = (
    Writing(gates=False),
    Writing(),
    Writing(others=0.5),
    Writing(others=1.0),
    Writing(ridge=0.02),
    Writing(ridge=1.0),
    Writing(held=1.0),
)
SCATTERINGS = tuple(Writing(scattered=share) for share in (0.0, 0.25, 0.5, 1.0))
TOPS = (
    *(Variant(waist=0, share=share) for share in (0.334, 0.5, 0.67, 1.0)),
    *(Variant(waist=1, share=share) for share in (0.334, 0.5, 1.0)),
    Variant(waist=1, share=0.67, twice=False),
    *(Variant(waist=1, share=0.5, seed=seed) for seed in (7, 8)),
)
HEADS = tuple(Variant(share=share) for share in (0.0, 0.4, 0.75))
VARIANTS: Mapping[str, tuple[Variant | Writing | Moving, ...]] = {
    **{name: HEADS if name.startswith("digits") else TOPS + HEADS for name in PLAIN},
    **dict.fromkeys(RESIDUAL, WRITINGS),
    **dict.fromkeys(CELLS, MOVINGS),
    **dict.fromkeys(AROUND, SCATTERINGS),
}


def event_of_choice(name: str) -> bench.Event:
    """An event of the study on which settings may be looked for."""
    (event,) = (each for each in bench.events(nets.SETTINGS) if each.name == name)
    if not event.choice:
        raise SystemExit(f"{name} confirms: settings may not be looked for on it.")
    return event


class Frontier:
    """One event of choice with its controls.

    Args:
        name: Of the event.
    """

    def __init__(self, name: str) -> None:
        self.event = event_of_choice(name)
        self.bench = bench.Bench(self.event, 0)
        self.folder = data.cache() / "frontier" / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.policy = self.event.setting.policy
        self.levels = ladder.levels(self.policy, self.policy.attempts)

    def kept(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What lies in the cache by this name, or is made now."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            bench.keep(path, make())
        content: dict[str, Any] = json.loads(path.read_text())
        return content

    def measured(self, variant: Variant | Writing | Moving) -> dict[str, Any]:
        """Findings on a variant, and what it cost."""
        candidate, cost = self._make(variant)
        content = bench.measured(self.bench, variant.name, candidate, own_control=True)
        return content | {"extra": cost}

    def _make(self, variant: Variant | Writing | Moving) -> tuple[Candidate, dict[str, float]]:
        if isinstance(variant, Writing):
            return self._written(variant), {}
        if isinstance(variant, Moving):
            return self._moved(variant), {}
        if variant.waist is None:
            with patch.object(damp.natural, "head_cut", lambda _: variant.share):
                return bench.edited(self.bench, {"preset": "natural"}), {}
        inputs, _ = renewal.rows_to_keep(self.bench.dataset, self.bench.forget)
        operators = len(find(self.bench.original)[0])
        places = [
            waist
            for waist in waists(self.bench.original, inputs[: renewal.COUNTED])
            if len(waist.operators) < operators
        ]
        start = renewal.Start(
            waist=places[variant.waist],
            last=places[-2] if variant.twice else None,
            share=variant.share,
            skips=False,
        )
        with patch.object(renewal, "start_of", lambda *_, **__: start):
            done = bench.renewed(self.bench, more=variant.seed)
        candidate = Candidate(model=done.network, retired=self.bench.forget)
        return candidate, {"share": round(done.record.share, 3)}

    def _written(self, variant: Writing) -> Candidate:
        with ExitStack() as stack:
            settings = {
                "RIDGE": variant.ridge,
                "HELD": variant.held,
                "OTHERS": variant.others,
                "SCATTERED": variant.scattered,
            }
            if not variant.gates:
                settings["MOST_OPERATIONS"] = 0
            for name, value in settings.items():
                stack.enter_context(patch.object(gated_writing, name, value))
            return bench.edited(self.bench, {"preset": "natural"})

    def _moved(self, variant: Moving) -> Candidate:
        with ExitStack() as stack:
            if not variant.earlier:
                stack.enter_context(patch.object(damp.natural, "_read_by", lambda *_: None))
            if not variant.both:
                nothing = lambda rows, labels, forget: torch.zeros(len(forget)).double()  # noqa: E731
                stack.enter_context(patch.object(damp.natural, "discriminability", nothing))
            return bench.edited(self.bench, {"preset": "natural"})

    def row(self, variant: Variant | Writing | Moving, content: dict[str, Any]) -> dict[str, Any]:
        """Verdict at the level of the attempt, and the figures that are shown."""
        shared = self.kept("_controls", self._controls)
        case = judging.case_of(self.event, 0, self.folder / f"{variant.name}.json", shared)
        trained = isinstance(variant, Variant) and variant.waist is not None
        level = self.levels[int(trained)]
        verdict = judge(
            case.findings, case.controls, self.policy.at_level(level), impossible=case.impossible
        )
        figures = {m.name: m for finding in case.findings for m in finding.measurements}
        return {
            "event": self.event.name,
            "variant": variant.name,
            "verdict": verdict.result,
            "open": [
                row.name
                for row in verdict.rows
                if row.required and row.outcome in ("outside", "undecided")
            ],
            "share": content["extra"].get("share"),
            **{title: _difference(figures.get(name)) for title, name in SHOWN.items()},
        }

    def _controls(self) -> dict[str, Any]:
        default = bench.candidates(self.bench)[bench.DEFAULT_PRESET]().model
        return bench.controls_of(self.bench, default)


def _difference(figure: Figure | None) -> list[float] | None:
    """To the mean of the retrained models, and their standard deviation."""
    if figure is None or figure.value is None or len(figure.null) < 2:
        return None
    return [round(figure.value - fmean(figure.null), 3), round(stdev(figure.null), 3)]


def rows(names: list[str], *, only_kept: bool) -> Iterator[dict[str, Any]]:
    """A row for each variant of each event."""
    for name in names:
        frontier = Frontier(name)
        for variant in VARIANTS[name]:
            path = frontier.folder / f"{variant.name}.json"
            if only_kept and not path.exists():
                continue
            content = frontier.kept(variant.name, partial(frontier.measured, variant))
            yield frontier.row(variant, content)
            print(name, variant.name, flush=True)


def rows_of_others(path: Path, events: Collection[str]) -> list[dict[str, Any]]:
    """Rows of a results file on other events than these: they stay as they are."""
    if not path.exists():
        return []
    return [row for row in json.loads(path.read_text())["rows"] if row["event"] not in events]


def page(content: dict[str, Any]) -> str:
    """The whole as Markdown."""
    head = ("event", "variant", "verdict", "open", "cost", *SHOWN)
    lines = [
        (
            row["event"], f"`{row['variant']}`", row["verdict"], ", ".join(row["open"]),
            "closed form" if row["share"] is None else f"{row['share']:.2f}",
            *("" if row[t] is None else f"{row[t][0]:+.3f} ({row[t][1]:.3f})" for t in SHOWN),
        )
        for row in content["rows"]
    ]  # fmt: skip
    return (
        "# The frontier of depth and recipe\n\n"
        f"Made by `{content['command']}` on events of choice alone, judged by the policy in force "
        "at the level of the attempt. `renew_K_SHARE_T_SEED`: the K-th waist above the first "
        "operator starts afresh, for a share of the recipe (T = -2: the last layers once more); "
        "`H:SHARE`: `natural` whose head loses a fixed share of the residual; "
        "`W:RIDGE_HELD_OTHERS_SCATTERED`: `natural` on residual nets by these settings of its "
        "writers behind gates, `W:one_term` by one term for each class; `M:WHAT`: `natural` on "
        "plain nets, whose linear layer moves until s is natural, or s and d' are (`both`), the "
        "sum that it reads written first (`earlier`). Cost: operations, of "
        "a full retraining. Figures are differences to ten retrained models' mean (seven on "
        "digits), their standard deviation in brackets.\n\n" + table(head, lines)
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.method.frontier", description=__doc__
    )
    parser.add_argument("--event", action="append", choices=EVENTS, help="repeatable")
    parser.add_argument("--cache", type=Path, help="folder of trained models and findings")
    parser.add_argument("--report", action="store_true", help="write what is there")
    given = parser.parse_args()
    if given.cache:
        os.environ[data.CACHE] = str(given.cache)
    path = RESULTS / "frontier.json"
    now = list(rows(given.event or list(EVENTS), only_kept=given.report))
    content = {
        "command": "python -m benchmarks.method.frontier",
        "machine": described(),
        "rows": sorted(
            [*rows_of_others(path, {row["event"] for row in now}), *now],
            key=lambda row: EVENTS.index(row["event"]),
        ),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    (RESULTS / "frontier.md").write_text(page(content))
    print(f"Results: {RESULTS / 'frontier.md'}")


if __name__ == "__main__":
    main()
