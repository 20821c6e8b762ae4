"""The pass over the data: statistics of every operator, and all that forbids an edit.

The model is traced on the first batch; then every batch runs through it once. Labels and logits
are checked on the way, so that checking before the first cut costs no pass of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from damp.accumulator import BLOCK, Accumulator, RowOrder
from damp.errors import BadBatches, DampError, NonFinite
from damp.grouping import Grouping
from damp.hooks import Watch, version
from damp.measurement import Measurement, Reader, ranges
from damp.operators import Operator, Skipped
from damp.outputs import logits_of
from damp.rows import RowKeeper
from damp.running import Batches, evaluating, exemplar, read_batches
from damp.statistics import Groups, Statistics
from damp.tracing import OperatorUse, trace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Collection:
    """The result of one pass over the data.

    Attributes:
        measurement: Statistics, and who reads them.
        uses: How the model uses its operators, by name, in the order of the calls.
        problems: What forbids an edit.
    """

    measurement: Measurement
    uses: dict[str, OperatorUse]
    problems: tuple[DampError, ...]


def collect(
    model: nn.Module,
    operators: Sequence[Operator],
    batches: Batches,
    grouping: Grouping,
    *,
    ignore: Sequence[int] = (),
    beside: Callable[[Tensor], RowKeeper | None] | None = None,
) -> Collection:
    """Run the model once over the data and add up what its operators see.

    Args:
        model: It is left as it was; it runs in evaluation mode.
        operators: Those to take statistics of.
        batches: Pairs of inputs and labels.
        grouping: Which classes share a second moment, once it is known how many there are.
        ignore: Classes whose samples are passed over.
        beside: Given the first batch, says what else is kept of rows on this pass.
    Raises:
        BadBatches: the data cannot be read, or there is none.
        Unsupported: the model cannot be called with a batch, or gives no logits.
    """
    sums: _Collector | None = None
    keeper: RowKeeper | None = None
    missing: tuple[Skipped, ...] = ()
    with evaluating(model), torch.no_grad():
        for inputs, labels in read_batches(batches, exemplar(model), ignore):
            if sums is None:
                # the number of classes, and who reads what, show only when the model runs
                traced = trace(model, operators, inputs)
                missing = traced.skipped
                first = [traced.uses[name] for name in traced.input_groups]
                groups = grouping(first, traced.classes)
                sums = _Collector(uses=traced.uses, classes=traced.classes, groups=groups)
                keeper = beside(inputs) if beside is not None else None
            sums.add_batch(model, inputs, labels, keeper)
    if sums is None:
        raise BadBatches("There is no batch: give at least one pair (inputs, labels).")
    return sums.freeze(missing)


def collect_one(
    model: nn.Module,
    use: OperatorUse,
    batches: Batches,
    before: Statistics,
    *,
    ignore: Sequence[int] = (),
) -> Collection:
    """Statistics of one operator once more, each forward pass ending once it has been called."""
    alone = replace(use, input_group=use.operator.name)
    sums = _Collector(
        uses={use.operator.name: alone},
        classes=len(before.counts),
        groups={use.operator.name: before.groups},
        stop_early=True,
    )
    with evaluating(model), torch.no_grad():
        for inputs, labels in read_batches(batches, exemplar(model), ignore):
            sums.add_batch(model, inputs, labels)
    return sums.freeze(())


class _StopForward(Exception):  # noqa: N818 - it is a signal, not an error
    """All inputs that are wanted of a forward pass are there."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Stream:
    """Operators that are called equally often, and the labels of their rows that wait."""

    accumulators: dict[str, Accumulator] = field(default_factory=dict)
    labels: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))


@dataclass(slots=True, kw_only=True, eq=False)
class _Collector:
    """Pooled inputs of the current batch, and the sums so far."""

    uses: Mapping[str, OperatorUse]
    classes: int
    groups: Mapping[str, Groups]
    stop_early: bool = False
    rows: int = 0
    pooled: dict[str, list[Tensor]] = field(default_factory=dict)
    # by input group and call: the tensor, its version, and how many readers have yet to read it
    shared: dict[tuple[str, int], list[Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    streams: dict[int, _Stream] = field(default_factory=dict)
    outside: set[int] = field(default_factory=set)
    infinite: Tensor | None = None
    counts: Tensor = field(init=False)
    together: Tensor = field(init=False)
    # readers of an input group beside the first
    followers: Counter[str] = field(init=False)
    calls: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.counts = torch.zeros(self.classes, dtype=torch.int64)
        self.together = torch.zeros(self.classes, self.classes, dtype=torch.float64)
        self.followers = Counter(u.input_group for n, u in self.uses.items() if u.input_group != n)

    def add_batch(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, keeper: RowKeeper | None = None
    ) -> None:
        """One batch: its pooled inputs are added up, unless its labels are beyond the head.

        Args:
            model: It runs once.
            inputs: (B, ...).
            labels: (B,).
            keeper: Keeps more of some rows; the model is still the original.
        """
        self.rows = len(labels)
        self.pooled, self.calls, self.shared = {}, {}, {}
        watch = Watch([use.operator for use in self.uses.values()], self._record)
        chosen = keeper.choose(labels) if keeper is not None and not keeper.full else None
        if keeper is None or chosen is None or not bool(chosen.any()):
            with watch, suppress(_StopForward):
                self._check(logits_of(model(inputs), self.rows))
        else:
            with keeper.watching(chosen), watch:
                logits = logits_of(model(inputs), self.rows)
            self._check(logits)
            rows = chosen.to(inputs.device)
            keeper.add(inputs[rows], labels[chosen], logits[rows])
        valid = (labels >= 0) & (labels < self.classes)  # (B,)
        self.outside.update(labels[~valid].tolist())
        histogram = torch.bincount(labels[valid], minlength=self.classes)  # (C,)
        self.counts += histogram
        # pairs of samples within the batch, by their classes: (C, C)
        self.together += torch.outer(histogram.double(), histogram.double())
        if valid.all():
            self._add(labels)

    def _check(self, logits: Tensor) -> None:
        # stays on the device: to ask for the value here would wait for the GPU at every batch
        broken = ~torch.isfinite(logits).all()  # ()
        self.infinite = broken if self.infinite is None else self.infinite | broken

    def _record(self, operator: Operator, inputs: Tensor, _: Tensor | None) -> None:
        """One call of an operator; the first reader's inputs are kept, the others' compared."""
        name = operator.name
        call = self.calls[name] = self.calls.get(name, 0) + 1
        use = self.uses[name]
        if use.input_group != name:
            self._compare(name, use.input_group, call, inputs)
        elif name not in self.failed:
            pooled = use.layout.pooled(inputs.detach(), operator.part.axis, self.rows)
            if pooled is None:
                shape = tuple(inputs.shape)
                self.failed[name] = f"its input {shape} does not fit {self.rows} samples"
            else:
                self.pooled.setdefault(name, []).append(pooled)  # (B, D)
                if name in self.followers:
                    self.shared[name, call] = [inputs, version(inputs), self.followers[name]]
        if self.stop_early and call == use.calls:
            raise _StopForward

    def _compare(self, name: str, input_group: str, call: int, inputs: Tensor) -> None:
        entry = self.shared.get((input_group, call))
        if entry is None or entry[0] is not inputs or entry[1] != version(inputs):
            reason = f"it does not always read the same inputs as {input_group!r}"
            self.failed.setdefault(name, reason)
            return
        entry[2] -= 1
        if not entry[2]:
            del self.shared[input_group, call]  # the last reader: its memory is free again

    def _add(self, labels: Tensor) -> None:
        for name, use in self.uses.items():
            pooled = self.pooled.get(name, [])
            if use.input_group != name or name in self.failed:
                continue
            if len(pooled) != use.calls:
                self.failed[name] = "how often it is called depends on the images"
                continue
            for rows in pooled:
                self._accumulator(name, rows).add(rows)
        for calls, stream in self.streams.items():
            # a layer that is called twice has two rows per sample, in the order of its calls
            stream.labels = torch.cat([stream.labels, *[labels] * calls])
            while len(stream.labels) >= BLOCK:
                self._add_block(stream, BLOCK)

    def _accumulator(self, name: str, rows: Tensor) -> Accumulator:
        use = self.uses[name]
        stream = self.streams.setdefault(use.calls, _Stream())
        if name not in stream.accumulators:
            device = accumulation_device(rows.device)
            stream.accumulators[name] = Accumulator(
                rows.shape[1], use.operator.groups, self.groups[name], self.classes, device
            )
        return stream.accumulators[name]

    def _add_block(self, stream: _Stream, size: int) -> None:
        """Add a block of rows to all accumulators of a stream."""
        labels, stream.labels = stream.labels[:size], stream.labels[size:]
        # sorted once per grouping, not once per operator: most operators share one
        orders: dict[tuple[Groups, torch.device], RowOrder] = {}
        for name, accumulator in stream.accumulators.items():
            if name in self.failed:
                continue
            key = accumulator.groups, accumulator.sums.device
            if key not in orders:
                numbers = group_numbers(accumulator.groups, self.classes)
                orders[key] = RowOrder.from_labels(labels, numbers, len(accumulator.groups), key[1])
            accumulator.add_block(orders[key], size)

    def freeze(self, missing: Sequence[Skipped]) -> Collection:
        """The result of the pass."""
        statistics: dict[str, Statistics] = {}
        for stream in self.streams.values():
            if len(stream.labels):
                self._add_block(stream, len(stream.labels))
            for name, accumulator in stream.accumulators.items():
                if name not in self.failed:
                    statistics[name] = accumulator.freeze()
        usable = {
            name: use
            for name, use in self.uses.items()
            if name not in self.failed and use.input_group in statistics
        }
        measurement = Measurement(
            counts=self.counts,
            together=self.together,
            statistics={name: statistics[name] for name in usable if name in statistics},
            readers=tuple(_reader(use) for use in usable.values()),
            skipped=(*missing, *self._skipped(usable)),
            weights="",
        )
        return Collection(
            measurement=measurement, uses=usable, problems=tuple(self._problems(measurement))
        )

    def _skipped(self, usable: Mapping[str, OperatorUse]) -> Iterator[Skipped]:
        for name, use in self.uses.items():
            if name not in usable:
                reason = self.failed.get(name) or self.failed.get(use.input_group)
                reason = (
                    reason or "it was called in no batch whose labels the model has outputs for"
                )
                yield Skipped(name=name, kind=use.operator.kind, reason=reason)

    def _problems(self, measurement: Measurement) -> Iterator[DampError]:
        if self.outside:
            listed = ", ".join(map(str, sorted(self.outside)[:5]))
            yield BadBatches(
                f"Labels {listed} are outside the model's {self.classes} outputs: "
                "number the classes from 0, or give the model of this data."
            )
        broken = [name for name, sums in measurement.statistics.items() if not sums.finite()]
        if broken or (self.infinite is not None and bool(self.infinite)):
            where = f"at the inputs of {', '.join(broken)}" if broken else "in the logits"
            yield NonFinite(f"NaN or infinity {where}: check the inputs and the weights.")


def _reader(use: OperatorUse) -> Reader:
    return Reader(
        name=use.operator.name,
        kind=use.operator.kind,
        input_group=use.input_group,
        bias_applied=ranges(use.bias_applied.tolist()),
        outputs=use.operator.outputs,
    )


def group_numbers(groups: Groups, classes: int) -> Tensor:
    """The number of each class's group, (C,)."""
    numbers = torch.zeros(classes, dtype=torch.int64)
    for number, group in enumerate(groups):
        numbers[list(group)] = number
    return numbers


def accumulation_device(device: torch.device) -> torch.device:
    """Where sums are kept: the device itself, unless it has no float64."""
    return torch.device("cpu") if device.type == "mps" else device
