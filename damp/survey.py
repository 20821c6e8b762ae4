"""The pass over the data: statistics of every operator, and all that forbids the surgery.

Hooks on the operators note the pooled inputs during plain forward passes; once the logits have
told how many classes there are, the notes are added up. Labels and logits are looked at on the
way, so that looking before the first cut costs no pass of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from damp.errors import BadBatches, DampError, NonFinite, Unsupported
from damp.operators import Operator, Skipped
from damp.running import Batches, evaluating, exemplar, reading
from damp.statistics import Accumulator, Rows, Statistics


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survey:
    """What one pass over the data found.

    Attributes:
        statistics: Per operator that was called, in the order of the first calls.
        skipped: Operators without usable statistics, and why.
        counts: Samples per class, (C,), on the CPU.
        problems: What forbids the surgery.
        monotony: Share of a batch's commonest class among its samples to keep, averaged over them.
    """

    statistics: dict[str, Statistics]
    skipped: tuple[Skipped, ...]
    counts: Tensor
    problems: tuple[DampError, ...]
    monotony: float


def survey(
    model: nn.Module, operators: Sequence[Operator], batches: Batches, forget: Sequence[int]
) -> Survey:
    """Run the model once over the data and add up what its operators see.

    Args:
        model: It is not changed; it runs in evaluation mode.
        operators: Those to take statistics of.
        batches: Pairs of inputs and labels.
        forget: Classes to forget, sorted.
    Raises:
        BadBatches: the data cannot be read, or there is none.
        Unsupported: the model gives no logits (B, C).
    """
    journal = _Journal(operators=operators, forget=forget)
    with evaluating(model), torch.no_grad(), journal.listening():
        for inputs, labels in reading(batches, exemplar(model)):
            journal.open(labels)
            journal.close(model(inputs), labels)
    return journal.freeze()


@dataclass(slots=True, kw_only=True, eq=False)
class _Journal:
    """Notes of the current batch, and the sums so far."""

    operators: Sequence[Operator]
    forget: Sequence[int]
    rows: int = 0
    notes: list[tuple[str, Tensor]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    sums: dict[str, Accumulator] = field(default_factory=dict)
    counts: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    outside: set[int] = field(default_factory=set)
    finite: bool = True
    commonest: int = 0
    kept: int = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hooks on the operators while this is open, none afterwards."""
        handles = [self._listen(operator) for operator in self.operators]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _listen(self, operator: Operator) -> RemovableHandle:
        def note(_: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
            inputs = args[0] if args else kwargs["input"]
            reason = operator.unusable(inputs, self.rows)
            if reason:
                self.failed[operator.name] = reason
            else:
                self.notes.append((operator.name, operator.pool(inputs)))

        return operator.layer.register_forward_pre_hook(note, with_kwargs=True)

    def open(self, labels: Tensor) -> None:
        """A batch begins."""
        self.rows = len(labels)
        self.notes.clear()

    def close(self, output: object, labels: Tensor) -> None:
        """A batch ends: its notes are added up, unless its labels are beyond the head."""
        logits = _logits(output, len(labels))
        classes = logits.shape[1]
        if not len(self.counts):
            self.counts = torch.zeros(classes, dtype=torch.int64)
        self.finite = self.finite and bool(torch.isfinite(logits).all())
        beyond = labels[(labels < 0) | (labels >= classes)]
        self.outside.update(beyond.tolist())
        if not len(beyond):
            self._add(labels, classes)

    def _add(self, labels: Tensor, classes: int) -> None:
        histogram = torch.bincount(labels, minlength=classes)
        self.counts = self.counts + histogram
        histogram[[label for label in self.forget if label < classes]] = 0
        self.commonest += int(histogram.max())
        self.kept += int(histogram.sum())
        rows: dict[torch.device, Rows] = {}
        for name, pooled in self.notes:
            home = _home(pooled.device)
            if home not in rows:
                rows[home] = Rows.of(labels, classes, self.forget, home)
            if name not in self.sums:
                self.sums[name] = Accumulator(classes, pooled.shape[1], home)
            self.sums[name].add(pooled, rows[home])

    def freeze(self) -> Survey:
        """The result of the pass.

        Raises:
            BadBatches: there was no batch.
        """
        if not len(self.counts):
            raise BadBatches("There is no batch: give at least one pair (inputs, labels).")
        usable = {name: s for name, s in self.sums.items() if name not in self.failed}
        statistics = {name: s.freeze(tuple(self.forget)) for name, s in usable.items()}
        return Survey(
            statistics=statistics,
            skipped=tuple(self._skipped()),
            counts=self.counts,
            problems=tuple(self._problems(statistics)),
            monotony=self.commonest / max(self.kept, 1),
        )

    def _skipped(self) -> Iterator[Skipped]:
        for operator in self.operators:
            reason = self.failed.get(operator.name)
            if operator.name not in self.sums and reason is None:
                reason = "it was never called in a forward pass (or only functionally)"
            if reason:
                yield Skipped(name=operator.name, kind=operator.kind, reason=reason)

    def _problems(self, statistics: dict[str, Statistics]) -> Iterator[DampError]:
        if self.outside:
            found = ", ".join(map(str, sorted(self.outside)[:5]))
            yield BadBatches(
                f"Labels {found} are outside the model's {len(self.counts)} outputs: "
                "number the classes from 0, or give the model of this data."
            )
        broken = [name for name, s in statistics.items() if not s.finite()]
        if broken or not self.finite:
            where = f"at the inputs of {', '.join(broken)}" if broken else "in the logits"
            yield NonFinite(f"NaN or infinity {where}: check the inputs and the weights.")


def _logits(output: object, rows: int) -> Tensor:
    """What the model returned, if it is logits."""
    if isinstance(output, Tensor) and output.ndim == 2 and len(output) == rows:
        return output
    found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    raise Unsupported(
        f"The model returns {found} for {rows} samples: wrap it so that it returns "
        "logits of shape (samples, classes)."
    )


def _home(device: torch.device) -> torch.device:
    """Where sums are kept: the device itself, unless it has no float64."""
    return torch.device("cpu") if device.type == "mps" else device
