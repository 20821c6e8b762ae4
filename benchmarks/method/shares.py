"""How near is the natural share to what retrained models show, depth by depth?

    python -m benchmarks.method.shares

On events of choice alone. For each sum of the network but the first: what retrained models keep of
the original's s and d' of the class, and what ridge regressions on retain rows predict of it: from
the sum before as it is (one step), or along predictions from two or all sums before; on maps in
cells or on pooled features. All on capped training rows, as the preset sees them; of the retrained
models the mean. Writes benchmarks/results/shares.json and .md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, nn

from benchmarks.method.by_event import command_of, run
from benchmarks.method.frontier import event_of_choice
from benchmarks.race.page import table
from benchmarks.validity import bench, nets
from damp.natural_share import RowGeometry, cells_of, discriminability, natural_goals
from damp.operators import find
from damp.rows import FORGET_ROWS, RETAIN_ROWS
from damp.sums import Rectifiers, Sum, cell_means, find_sums
from damp.tracing import trace

EVENTS = (
    *("mnist-3-seed0", "cifar10-0-seed0", "tiny-0-seed0"),
    *("cifar10-residual-2-seed0", "cifar100-residual-1-seed0", "tiny-residual-1-seed0"),
)
REFERENCES = 3
BATCH = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What is natural at one depth, by one estimate or by retrained models.

    Attributes:
        event: Which, and of which sum.
        depth: Number of the sum among those that all passes, from 0.
        estimate: "retrained", or how it was predicted.
        separability, apart: s and d' as shares of the original's.
    """

    event: str
    depth: int
    estimate: str
    separability: float
    apart: float


def shares(name: str) -> Iterator[Share]:
    """All of one event."""
    event = event_of_choice(name)
    at = bench.Bench(event, 0)
    (label,) = event.scope
    inputs, labels = _capped(at.dataset.train_inputs, at.dataset.train_labels, label)
    original = at.original.eval()
    uses = trace(original, find(original)[0], inputs[:64]).uses
    sums = find_sums(original, uses[next(reversed(uses))], inputs[:64], len(uses))
    if isinstance(sums, str):
        raise SystemExit(f"{name}: {sums}.")
    maps = _maps(original, sums, inputs)
    cells = [cells_of(each).double() for each in maps]
    pooled = _pooled(maps)
    original_at = [_measured(each, labels, label) for each in pooled]
    retrained = [
        [_measured(each, labels, label) for each in _pooled(_maps(t.model(), sums, inputs))]
        for t in nets.references(event.setting, event.scope)[:REFERENCES]
    ]
    for depth in range(1, len(sums)):
        s, apart = original_at[depth]
        own = [each[depth] for each in retrained]
        yield Share(
            event=name,
            depth=depth,
            estimate="retrained",
            separability=fmean(each[0] for each in own) / s,
            apart=fmean(each[1] for each in own) / apart,
        )
        for words, first, features in (
            ("cells, one step", depth - 1, cells),
            ("cells, two sums before", max(depth - 2, 0), cells),
            ("cells, all sums before", 0, cells),
            ("pooled, one step", depth - 1, pooled),
        ):
            part = slice(first, depth + 1)
            goal = natural_goals(features[part], pooled[part], labels, [label])[-1]
            yield Share(
                event=name,
                depth=depth,
                estimate=words,
                separability=float(goal.goal) / s,
                apart=float(goal.apart) / apart,
            )


def _capped(inputs: Tensor, labels: Tensor, label: int) -> tuple[Tensor, Tensor]:
    """The first rows of each class, as many as the preset takes."""
    classes = labels.unique().tolist()
    others = RETAIN_ROWS // (len(classes) - 1)
    rows = torch.cat(
        [
            (labels == each).nonzero().flatten()[: FORGET_ROWS if each == label else others]
            for each in classes
        ]
    )
    return inputs[rows], labels[rows]


@torch.no_grad()
def _maps(model: nn.Module, sums: Sequence[Sum], inputs: Tensor) -> list[Tensor]:
    """What is behind the rectifier of each sum, (n, C) or (n, C, H, W)."""
    model.eval()
    kept: list[list[Tensor]] = [[] for _ in sums]
    for batch in inputs.split(BATCH):
        with Rectifiers([each.place for each in sums]) as rectifiers:
            model(batch)
        for own, place in zip(kept, sums, strict=True):
            own.append(place.rectifier(rectifiers.calls[place.place].values))
    return [torch.cat(own) for own in kept]


def _pooled(maps: Sequence[Tensor]) -> list[Tensor]:
    """Each as (n, C), float64."""
    return [cell_means(each, 1).double() for each in maps]


def _measured(rows: Tensor, labels: Tensor, label: int) -> tuple[float, float]:
    """s and d' of the class."""
    separability = RowGeometry.from_rows(rows, labels, [label]).separability
    return float(separability), float(discriminability(rows, labels, [label]))


def page(rows: Sequence[Share]) -> str:
    """The whole as Markdown: estimates beside what retrained models show."""
    names = list(dict.fromkeys(row.estimate for row in rows))
    cells = {(row.event, row.depth, row.estimate): row for row in rows}
    lines = [
        (
            event,
            str(depth),
            *(f"{cells[event, depth, name].separability:.2f}" for name in names),
            *(f"{cells[event, depth, name].apart:.2f}" for name in names),
        )
        for event, depth in dict.fromkeys((row.event, row.depth) for row in rows)
    ]
    head = ("event", "sum", *(f"s: {n}" for n in names), *(f"d': {n}" for n in names))
    return (
        "# The natural share against retrained models\n\n"
        f"Made by `{command_of('shares')}` on events of choice, "
        f"{REFERENCES} retrained models each: "
        "what a network that never saw the class keeps of the original's s and d' at each sum, and "
        "what is predicted of it from retain rows of the original alone. Training rows that the "
        "original has memorised stand apart by more than new ones do, those of retrained models do "
        "not: on new images a network brought to these shares stands below them.\n\n"
        + table(head, lines)
    )


def main() -> None:
    """The command line."""
    run("shares", __doc__, Share, shares, events=EVENTS, page=page, digits=3)


if __name__ == "__main__":
    main()
