"""Capped rows: what chosen sums and layers hold for the first rows of each class, in one pass.

What needs samples, not moments, is worked out on them. Rows are taken in the order in which they
come, so that the same batches give the same rows; only those that are taken run through the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from damp.hooks import Watch
from damp.operators import Operator
from damp.outputs import logits_of
from damp.running import evaluating, exemplar
from damp.sums import Rectifiers, Sum

RETAIN_ROWS = 4000
"""Rows of all classes to keep together, at most; equally many of each."""

RETAIN_LEAST = 20
"""Rows of each class to keep that are taken whatever their number."""

FORGET_ROWS = 1500
"""Rows of each class to forget, at most."""

MEMORY = 1 << 29
"""Bytes that the kept tensors may take: fewer rows are taken where they would take more."""

MOST_MEMORY = 1 << 31
"""Bytes that `RETAIN_LEAST` rows of each class to keep may take; who would take more keeps none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CappedRows:
    """What was kept, on the CPU.

    Attributes:
        places: Calls of rectifiers, one per sum.
        sums: z of each, (n, C, ...).
        inputs: Of layers, by name, (n, ...).
        logits: Of the original, (n, C).
        labels: (n,).
    """

    places: tuple[int, ...]
    sums: tuple[Tensor, ...]
    inputs: dict[str, Tensor]
    logits: Tensor
    labels: Tensor


class Answers:
    """Logits of the original, asked once for each batch of rows: passes see the same ones again.

    Args:
        original: It stays as it is.
    """

    def __init__(self, original: nn.Module) -> None:
        self.original = original
        self._kept: dict[bytes, Tensor] = {}

    def of(self, rows: Tensor) -> Tensor:
        """Logits, (B, C), on the CPU; of these very rows, whatever order they come in."""
        key = _digest(rows)
        if key not in self._kept:
            with evaluating(self.original), torch.no_grad():
                output = self.original(rows.to(exemplar(self.original)))
            self._kept[key] = logits_of(output, len(rows)).cpu()
        return self._kept[key]

    def keep(self, rows: Tensor, logits: Tensor) -> None:
        """What a model that is still the original has answered."""
        self._kept[_digest(rows)] = logits.detach().cpu()


def _digest(rows: Tensor) -> bytes:
    plain = rows.detach().cpu().contiguous().view(torch.uint8)
    return hashlib.sha256(plain.numpy().data).digest()


class RowKeeper:
    """Takes capped rows as batches pass: what chosen sums and layers hold for them.

    Args:
        answers: Of the original, whose logits are kept.
        forget: Classes to forget.
        retired: Classes that left before.
        sums: Whose values to keep.
        operators: Whose inputs to keep.
        classes: The model's number of outputs, C.
    """

    def __init__(
        self,
        answers: Answers,
        forget: Sequence[int],
        retired: Sequence[int],
        *,
        sums: Sequence[Sum],
        operators: Sequence[Operator],
        classes: int,
    ) -> None:
        self.answers = answers
        self.places = tuple(place.place for place in sums)
        self.operators = operators
        self.kept_sums: dict[int, list[Tensor]] = {place: [] for place in self.places}
        self.kept_inputs: dict[str, list[Tensor]] = {op.name: [] for op in operators}
        self.logits: list[Tensor] = []
        self.labels: list[Tensor] = []
        self.kept_classes = max(classes - len(forget) - len(retired), 1)
        self.caps = torch.full((classes,), max(RETAIN_LEAST, RETAIN_ROWS // self.kept_classes))
        self.taken = torch.zeros_like(self.caps)
        self.caps[list(forget)], self.caps[list(retired)] = FORGET_ROWS, 0

    def least_bytes(self, model: nn.Module, row: Tensor) -> int:
        """Bytes that the least rows of every class to keep take, by one row, (1, ...).

        The row stays among those kept: ask a keeper that takes no others.
        """
        with evaluating(model), torch.no_grad(), self.watching(torch.ones(1, dtype=torch.bool)):
            model(row)
        size = _bytes(self.kept_sums, self.kept_inputs)
        return size * RETAIN_LEAST * self.kept_classes

    def choose(self, labels: Tensor) -> Tensor:
        """Which rows of a batch are wanted, (B,), bool; they count as taken."""
        return _choose(labels, self.taken, self.caps)

    @property
    def full(self) -> bool:
        """Whether no more rows are wanted."""
        return bool((self.taken >= self.caps).all())

    @contextmanager
    def watching(self, chosen: Tensor) -> Iterator[None]:
        """While the model runs on a batch: keep what it holds for the chosen rows, (B,), bool."""
        rows = None if bool(chosen.all()) else chosen.nonzero().flatten()
        inputs: dict[str, Tensor] = {}

        def keep(operator: Operator, given: Tensor, _: Tensor | None) -> None:
            inputs[operator.name] = _rows_of(given.detach(), rows)

        with Rectifiers(self.places) as calls, Watch(self.operators, keep):
            yield
        for place in self.places:
            self.kept_sums[place].append(_rows_of(calls.calls[place].values, rows))
        for name, given in inputs.items():
            self.kept_inputs[name].append(given)

    def add(self, inputs: Tensor, labels: Tensor, logits: Tensor | None) -> None:
        """The rows that were just kept, with the original's logits; None: it is asked for them."""
        if logits is not None:
            self.answers.keep(inputs, logits)
        self.logits.append(self.answers.of(inputs))
        self.labels.append(labels)
        if len(self.labels) == 1:
            self.caps = _affordable(self.caps, self.kept_sums, self.kept_inputs, len(labels))

    def rows(self) -> CappedRows:
        """All that was kept; the keeper holds nothing of it any more."""
        return CappedRows(
            places=self.places,
            sums=tuple(_joined(self.kept_sums[place]) for place in self.places),
            inputs={name: _joined(parts) for name, parts in self.kept_inputs.items()},
            logits=torch.cat(self.logits),
            labels=torch.cat(self.labels),
        )


def _joined(parts: list[Tensor]) -> Tensor:
    """All rows; the list is emptied, so that no more than one is in memory twice."""
    joined = torch.cat(parts)
    parts.clear()
    return joined


def _rows_of(values: Tensor, rows: Tensor | None) -> Tensor:
    """A copy on the CPU of some rows, or of all."""
    return values.cpu().clone() if rows is None else values[rows.to(values.device)].cpu()


def capped_rows(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    keeper: RowKeeper,
    *,
    edited: bool,
) -> CappedRows:
    """What one pass over capped rows alone keeps; the arguments are those of `keep_rows`."""
    keep_rows(model, batches, keeper, edited=edited)
    return keeper.rows()


def keep_rows(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    keeper: RowKeeper,
    *,
    edited: bool,
) -> None:
    """One pass over capped rows alone, in evaluation mode.

    Args:
        model: As it is now: what its sums and layers hold is kept.
        batches: As `damp.running.read_batches` gives them: fit for the model, without rows of
            retired classes.
        keeper: What to keep.
        edited: Whether the model is another than the original by now.
    """
    with evaluating(model), torch.no_grad():
        for inputs, own in batches:
            chosen = keeper.choose(own)
            if not bool(chosen.any()):
                continue
            wanted = inputs[chosen.to(inputs.device)]
            with keeper.watching(torch.ones(len(wanted), dtype=torch.bool)):
                output = model(wanted)
            keeper.add(wanted, own[chosen], None if edited else logits_of(output, len(wanted)))
            if keeper.full:
                break


def _choose(labels: Tensor, taken: Tensor, caps: Tensor) -> Tensor:
    """Rows that are still wanted, (B,), bool; `taken` counts them."""
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for row, label in enumerate(labels.tolist()):
        if 0 <= label < len(caps) and taken[label] < caps[label]:
            taken[label] += 1
            chosen[row] = True
    return chosen


def _affordable(
    caps: Tensor,
    sums: dict[int, list[Tensor]],
    inputs: dict[str, list[Tensor]],
    rows: int,
) -> Tensor:
    """Caps under which all that is kept fits in `MEMORY`, in proportion."""
    size = _bytes(sums, inputs) / rows
    share = min(1.0, MEMORY / (size * float(caps.sum())))
    return torch.minimum(caps, (caps * share).ceil().long().clamp_min(RETAIN_LEAST))


def _bytes(sums: dict[int, list[Tensor]], inputs: dict[str, list[Tensor]]) -> int:
    parts = [part for parts in (*sums.values(), *inputs.values()) for part in parts]
    return sum(part.numel() * part.element_size() for part in parts)
