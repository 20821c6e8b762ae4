"""The pass over the data: statistics of every operator, and all that forbids the surgery.

The first batch is rehearsed with; then every batch runs through the model once, watched. Labels
and logits are looked at on the way, so that looking before the first cut costs no pass of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from damp.accumulator import BLOCK, Accumulator, Order
from damp.errors import BadBatches, DampError, NonFinite
from damp.grouping import Grouping
from damp.hooks import Watch, version
from damp.measurement import Measurement, Reader, ranges
from damp.operators import Operator, Skipped
from damp.outputs import logits_of
from damp.running import Batches, evaluating, exemplar, reading
from damp.statistics import Groups, Statistics
from damp.tracing import Reading, rehearse


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survey:
    """What one pass over the data found.

    Attributes:
        measurement: Statistics, and who reads them.
        readings: How the model uses its operators, by name, in the order of the calls.
        problems: What forbids the surgery.
    """

    measurement: Measurement
    readings: dict[str, Reading]
    problems: tuple[DampError, ...]


def survey(
    model: nn.Module,
    operators: Sequence[Operator],
    batches: Batches,
    grouping: Grouping,
    *,
    ignore: Sequence[int] = (),
) -> Survey:
    """Run the model once over the data and add up what its operators see.

    Args:
        model: It is left as it was; it runs in evaluation mode.
        operators: Those to take statistics of.
        batches: Pairs of inputs and labels.
        grouping: Which classes share a second moment, once it is known how many there are.
        ignore: Classes whose samples are passed over.
    Raises:
        BadBatches: the data cannot be read, or there is none.
        Unsupported: the model cannot be called with a batch, or gives no logits.
    """
    journal: _Journal | None = None
    missing: tuple[Skipped, ...] = ()
    with evaluating(model), torch.no_grad():
        for inputs, labels in reading(batches, exemplar(model), ignore):
            if journal is None:
                seen = rehearse(model, operators, inputs)
                missing = seen.skipped
                groups = grouping([seen.readings[name] for name in seen.leaders], seen.classes)
                journal = _Journal(readings=seen.readings, classes=seen.classes, groups=groups)
            journal.take(model, inputs, labels)
    if journal is None:
        raise BadBatches("There is no batch: give at least one pair (inputs, labels).")
    return journal.freeze(missing)


def again(
    model: nn.Module,
    use: Reading,
    batches: Batches,
    before: Statistics,
    *,
    ignore: Sequence[int] = (),
) -> Survey:
    """Statistics of one operator anew, each forward pass ending once it has been called."""
    alone = replace(use, leader=use.operator.name)
    journal = _Journal(
        readings={use.operator.name: alone},
        classes=len(before.counts),
        groups={use.operator.name: before.groups},
        only_that=True,
    )
    with evaluating(model), torch.no_grad():
        for inputs, labels in reading(batches, exemplar(model), ignore):
            journal.take(model, inputs, labels)
    return journal.freeze(())


class _Enough(Exception):  # noqa: N818 - it is a signal, not an error
    """All that was to be seen of a forward pass has been seen."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Stream:
    """Operators that are called equally often, and the labels of their rows that wait."""

    accumulators: dict[str, Accumulator] = field(default_factory=dict)
    labels: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))


@dataclass(slots=True, kw_only=True, eq=False)
class _Journal:
    """Notes of the current batch, and the sums so far."""

    readings: Mapping[str, Reading]
    classes: int
    groups: Mapping[str, Groups]
    only_that: bool = False
    rows: int = 0
    notes: dict[str, list[Tensor]] = field(default_factory=dict)
    held: dict[tuple[str, int], list[Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    streams: dict[int, _Stream] = field(default_factory=dict)
    outside: set[int] = field(default_factory=set)
    infinite: Tensor | None = None
    counts: Tensor = field(init=False)
    together: Tensor = field(init=False)
    followers: dict[str, int] = field(init=False)
    calls: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.counts = torch.zeros(self.classes, dtype=torch.int64)
        self.together = torch.zeros(self.classes, self.classes, dtype=torch.float64)
        leaders = [use.leader for name, use in self.readings.items() if use.leader != name]
        self.followers = {leader: leaders.count(leader) for leader in leaders}

    def take(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> None:
        """One batch: its notes are added up, unless its labels are beyond the head."""
        self.rows = len(labels)
        self.notes, self.calls, self.held = {}, {}, {}
        with Watch([use.operator for use in self.readings.values()], self._note), suppress(_Enough):
            self._look_at(logits_of(model(inputs), self.rows))
        known = (labels >= 0) & (labels < self.classes)
        self.outside.update(labels[~known].tolist())
        histogram = torch.bincount(labels[known], minlength=self.classes)
        self.counts += histogram
        self.together += torch.outer(histogram.double(), histogram.double())
        if known.all():
            self._add(labels)

    def _look_at(self, logits: Tensor) -> None:
        broken = ~torch.isfinite(logits).all()
        self.infinite = broken if self.infinite is None else self.infinite | broken

    def _note(self, operator: Operator, inputs: Tensor, _: Tensor | None) -> None:
        """One call of an operator; the leader's inputs are kept, the others' compared."""
        name = operator.name
        call = self.calls[name] = self.calls.get(name, 0) + 1
        use = self.readings[name]
        if use.leader != name:
            self._compare(name, use.leader, call, inputs)
        elif name not in self.failed:
            pooled = use.layout.pooled(inputs.detach(), operator.part.axis, self.rows)
            if pooled is None:
                shape = tuple(inputs.shape)
                self.failed[name] = f"its input {shape} does not fit {self.rows} samples"
            else:
                self.notes.setdefault(name, []).append(pooled)
                if name in self.followers:
                    self.held[name, call] = [inputs, version(inputs), self.followers[name]]
        if self.only_that and call == use.uses:
            raise _Enough

    def _compare(self, name: str, leader: str, call: int, inputs: Tensor) -> None:
        known = self.held.get((leader, call))
        if known is None or known[0] is not inputs or known[1] != version(inputs):
            self.failed.setdefault(name, f"it does not always read the same inputs as {leader!r}")
            return
        known[2] -= 1
        if not known[2]:
            del self.held[leader, call]

    def _add(self, labels: Tensor) -> None:
        for name, use in self.readings.items():
            pooled = self.notes.get(name, [])
            if use.leader != name or name in self.failed:
                continue
            if len(pooled) != use.uses:
                self.failed[name] = "how often it is called depends on the images"
                continue
            for rows in pooled:
                self._accumulator(name, rows).add(rows)
        for uses, stream in self.streams.items():
            stream.labels = torch.cat([stream.labels, *[labels] * uses])
            while len(stream.labels) >= BLOCK:
                self._settle(stream, BLOCK)

    def _accumulator(self, name: str, rows: Tensor) -> Accumulator:
        use = self.readings[name]
        stream = self.streams.setdefault(use.uses, _Stream())
        if name not in stream.accumulators:
            device = home(rows.device)
            stream.accumulators[name] = Accumulator(
                rows.shape[1], use.operator.groups, self.groups[name], self.classes, device
            )
        return stream.accumulators[name]

    def _settle(self, stream: _Stream, size: int) -> None:
        """Add a block of rows to all accumulators of a stream."""
        labels, stream.labels = stream.labels[:size], stream.labels[size:]
        orders: dict[tuple[Groups, torch.device], Order] = {}
        for name, accumulator in stream.accumulators.items():
            if name in self.failed:
                continue
            key = accumulator.groups, accumulator.sums.device
            if key not in orders:
                numbers = group_numbers(accumulator.groups, self.classes)
                orders[key] = Order.of(labels, numbers, len(accumulator.groups), key[1])
            accumulator.settle(orders[key], size)

    def freeze(self, missing: Sequence[Skipped]) -> Survey:
        """The result of the pass."""
        statistics: dict[str, Statistics] = {}
        for stream in self.streams.values():
            if len(stream.labels):
                self._settle(stream, len(stream.labels))
            for name, accumulator in stream.accumulators.items():
                if name not in self.failed:
                    statistics[name] = accumulator.freeze()
        usable = {
            name: use
            for name, use in self.readings.items()
            if name not in self.failed and use.leader in statistics
        }
        measurement = Measurement(
            counts=self.counts,
            together=self.together,
            statistics={name: statistics[name] for name in usable if name in statistics},
            readers=tuple(_reader(use) for use in usable.values()),
            skipped=(*missing, *self._skipped(usable)),
            weights="",
        )
        return Survey(
            measurement=measurement, readings=usable, problems=tuple(self._problems(measurement))
        )

    def _skipped(self, usable: Mapping[str, Reading]) -> Iterator[Skipped]:
        for name, use in self.readings.items():
            if name not in usable:
                reason = self.failed.get(name) or self.failed.get(use.leader)
                reason = reason or "it was called in no batch whose labels are known"
                yield Skipped(name=name, kind=use.operator.kind, reason=reason)

    def _problems(self, measurement: Measurement) -> Iterator[DampError]:
        if self.outside:
            found = ", ".join(map(str, sorted(self.outside)[:5]))
            yield BadBatches(
                f"Labels {found} are outside the model's {self.classes} outputs: "
                "number the classes from 0, or give the model of this data."
            )
        broken = [name for name, found in measurement.statistics.items() if not found.finite()]
        if broken or (self.infinite is not None and bool(self.infinite)):
            where = f"at the inputs of {', '.join(broken)}" if broken else "in the logits"
            yield NonFinite(f"NaN or infinity {where}: check the inputs and the weights.")


def _reader(use: Reading) -> Reader:
    return Reader(
        name=use.operator.name,
        kind=use.operator.kind,
        leader=use.leader,
        heard=ranges(use.heard.tolist()),
        outputs=use.operator.outputs,
    )


def group_numbers(groups: Groups, classes: int) -> Tensor:
    """The number of each class's group, (C,)."""
    numbers = torch.zeros(classes, dtype=torch.int64)
    for number, group in enumerate(groups):
        numbers[list(group)] = number
    return numbers


def home(device: torch.device) -> torch.device:
    """Where sums are kept: the device itself, unless it has no float64."""
    return torch.device("cpu") if device.type == "mps" else device
