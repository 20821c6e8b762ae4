"""How near to retrained models does a fresh top come, by the share of the recipe that it is given?

    python -m benchmarks.method.tops

On events of choice with skips alone. Renewed models, the original and `natural` beside models that
never saw the class, on held-out rows: linear CKA of the last features, seen from the mean of the
rows to keep, of the forgotten class and on average of the classes to keep; how well one linear
reader tells the class from all others (d'); accuracy on rows to keep. The classes to keep say what
is no matter of forgetting: a top that is trained for longer than the model was is less like a
retrained model on *them* too. Writes benchmarks/results/tops.json and .md.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmarks.method.by_event import command_of, run
from benchmarks.method.frontier import event_of_choice
from benchmarks.race.metrics import linear_cka
from benchmarks.race.page import table
from benchmarks.validity import bench, nets
from damp.natural_share import discriminability
from damp.operators import find
from damp.patch_cut import cut_patches
from damp.waist import features
from flows.models import renewal, statistics_cache

EVENTS = ("cifar10-residual-2-seed0", "cifar100-residual-1-seed0", "tiny-residual-1-seed0")
REFERENCES = 4
SHARES = (3 / 8, 1 / 2, 5 / 8, 3 / 4, 1.0)
SEEDS = (0, 7)
"""Added to the event's own seed of fresh tops."""
CUT = 0.3
"""Strength of a patch cut of the block below the fresh part."""
BELOW = ("block1.conv1", "block1.conv2")
BATCH = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a model stands, or the mean of several.

    Attributes:
        event: Which.
        model: In words.
        cost: Operations as a share of a full retraining; 0 where nothing was trained.
        forgotten, kept: CKA to retrained models, of the forgotten class and of each class to keep.
        apart: d'.
        accuracy: On rows to keep.
    """

    event: str
    model: str
    cost: float = 0.0
    forgotten: float
    kept: float
    apart: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """What a model makes of held-out rows: last features (n, D), float64, and its answers (n,)."""

    features: Tensor
    answers: Tensor


class Choice:
    """One event with its retrained models, on held-out rows."""

    def __init__(self, name: str) -> None:
        self.bench = bench.Bench(event_of_choice(name), 0)
        self.name, self.event = name, self.bench.event
        (self.label,) = self.event.scope
        self.labels = self.bench.dataset.test_labels
        trainings = nets.references(self.event.setting, self.event.scope)[:REFERENCES]
        self.retrained = [self._held(training.model()) for training in trainings]

    def standings(self) -> Iterator[Standing]:
        """Retrained models, the original, `natural`, and tops."""
        yield self._among_retrained()
        yield self._of("original", self.bench.original)
        yield self._of("natural", bench.edited(self.bench, {"preset": "natural"}).model)
        for share in SHARES:
            tops = [self._top(self.bench.original, share, seed) for seed in SEEDS]
            yield self._mean(f"{share:.3g} of the recipe", tops)
        below = self._cut()
        tops = [self._top(below, renewal.SHARE_WITH_SKIPS_UNSETTLED, seed) for seed in SEEDS]
        share = renewal.SHARE_WITH_SKIPS_UNSETTLED
        yield self._mean(f"{share:.3g} of the recipe, patches below cut by {CUT}", tops)

    def _top(self, network: nn.Module, share: float, seed: int) -> renewal.Renewed:
        """The event's own renewed model, for another share of the recipe."""
        begins = renewal.start_of

        def start_of(network: nn.Module, inputs: Tensor, *, settled: bool = True) -> renewal.Start:
            return replace(begins(network, inputs, settled=settled), share=share)

        with (
            patch.object(renewal, "start_of", start_of),
            patch.object(self.bench, "original", network),
        ):
            return bench.renewed(self.bench, more=seed)

    def _cut(self) -> nn.Module:
        """The original, its first block's patches cut."""
        network = copy.deepcopy(self.bench.original)
        batches = statistics_cache.batches(self.bench.dataset)
        for name in BELOW:
            cut_patches(network, name, batches, forget=[self.label], strength=CUT)
        return network

    def _of(self, words: str, model: nn.Module) -> Standing:
        held = self._held(model)
        near = [self._near(held, other) for other in self.retrained]
        return self._standing(words, [held], near)

    def _mean(self, words: str, tops: Sequence[renewal.Renewed]) -> Standing:
        held = [self._held(top.network) for top in tops]
        near = [self._near(one, other) for one in held for other in self.retrained]
        return replace(self._standing(words, held, near), cost=fmean(t.record.share for t in tops))

    def _among_retrained(self) -> Standing:
        near = [self._near(one, other) for one, other in combinations(self.retrained, 2)]
        return self._standing("retrained, among themselves", self.retrained, near)

    def _standing(
        self, words: str, held: Sequence[Held], near: Sequence[tuple[float, float]]
    ) -> Standing:
        rest = self.labels != self.label
        return Standing(
            event=self.name,
            model=words,
            forgotten=fmean(each[0] for each in near),
            kept=fmean(each[1] for each in near),
            apart=fmean(
                float(discriminability(h.features, self.labels, [self.label])) for h in held
            ),
            accuracy=fmean(float((h.answers == self.labels)[rest].double().mean()) for h in held),
        )

    def _near(self, one: Held, other: Held) -> tuple[float, float]:
        """CKA of the forgotten class, and the mean over the classes to keep."""
        centred = [h.features - h.features[self.labels != self.label].mean(0) for h in (one, other)]
        by_class = {
            c: linear_cka(*(rows[self.labels == c].numpy() for rows in centred))
            for c in self.labels.unique().tolist()
        }
        forgotten = by_class.pop(self.label)
        return forgotten, fmean(by_class.values())

    @torch.inference_mode()
    def _held(self, model: nn.Module) -> Held:
        model.eval()
        batches = self.bench.dataset.test_inputs.split(BATCH)
        head = find(model)[0][-1].name
        return Held(
            features=torch.cat([features(model, head, rows) for rows in batches]).double(),
            answers=torch.cat([model(rows).argmax(1) for rows in batches]),
        )


def standings(name: str) -> Iterator[Standing]:
    """All of one event."""
    return Choice(name).standings()


def page(rows: Sequence[Standing]) -> str:
    """The whole as Markdown."""
    head = ("event", "model", "cost", "CKA, forgotten", "CKA, kept", "d'", "accuracy")
    lines = [
        (
            row.event, row.model, f"{row.cost:.2f}" if row.cost else "",
            f"{row.forgotten:.3f}", f"{row.kept:.3f}", f"{row.apart:.2f}", f"{row.accuracy:.3f}",
        )
        for row in rows
    ]  # fmt: skip
    return (
        "# Fresh tops by the share of the recipe\n\n"
        f"Made by `{command_of('tops')}` on events of choice, held-out rows, "
        f"{REFERENCES} retrained models each; of renewed models the mean of {len(SEEDS)} seeds. "
        "CKA: of the last features to "
        "retrained models', of the forgotten class and on average of the classes to keep. Cost: "
        "operations, of a full retraining.\n\n" + table(head, lines)
    )


def main() -> None:
    """The command line."""
    run("tops", __doc__, Standing, standings, events=EVENTS, page=page, digits=4)


if __name__ == "__main__":
    main()
