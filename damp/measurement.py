"""The result of one pass over the data, for any request that may follow.

It holds the statistics of every set of operator inputs, class by class, and remembers which
operators read them. It can be saved (as tensors and text, for safetensors), loaded, and added to
the measurement of other samples: the halves of a data set may be measured on two machines.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from damp.errors import BadMeasurement
from damp.operators import Skipped
from damp.statistics import Gram, Groups, Moments, Sketch, Statistics

FORMAT = "damp-measurement-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One operator as the pass over the data records it.

    Attributes:
        name: Of the operator.
        kind: Class of its layer.
        input_group: Name of the operator under which the statistics of its inputs are kept.
        bias_applied: Outputs to which the model adds the operator's own bias, as ranges
            (start, stop).
        outputs: Number of outputs O.
    """

    name: str
    kind: str
    input_group: str
    bias_applied: tuple[tuple[int, int], ...]
    outputs: int

    @property
    def bias_fully_applied(self) -> bool:
        """Whether every output gets the operator's own bias."""
        return self.bias_applied == ((0, self.outputs),)

    @property
    def bias_not_applied(self) -> tuple[tuple[int, int], ...]:
        """Outputs that do not, as ranges."""
        return ranges((~self.bias_mask()).tolist())  # complement of `bias_applied`

    def bias_mask(self) -> Tensor:
        """Flags of the outputs that do, (O,), bool."""
        flags = torch.zeros(self.outputs, dtype=torch.bool)
        for start, stop in self.bias_applied:
            flags[start:stop] = True
        return flags


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurement:
    """The result of one pass over the data.

    Attributes:
        counts: Samples per class, (C,), int64, on the CPU.
        together: Entry (c, k): over all batches, samples of class c times samples of class k,
            (C, C), float64, on the CPU. It tells whether batches are sorted by class.
        statistics: Per set of inputs, by the name of the first operator that reads it.
        readers: Operators in the order of their first calls.
        skipped: Operators without usable statistics, and why.
        weights: sha256 of the model's tensors; "" where it was not asked for.
    """

    counts: Tensor
    together: Tensor
    statistics: dict[str, Statistics]
    readers: tuple[Reader, ...]
    skipped: tuple[Skipped, ...]
    weights: str

    @property
    def classes(self) -> int:
        """Number of outputs, C."""
        return len(self.counts)

    @property
    def samples(self) -> int:
        """Samples in all."""
        return int(self.counts.sum())

    def of(self, reader: Reader) -> Statistics:
        """The statistics of an operator's inputs."""
        return self.statistics[reader.input_group]

    def purity(self, classes: Sequence[int]) -> float:
        """How far batches are of one class each, over some classes: 1 where they all are."""
        # pairs of samples of one batch: the share of those that are of one class
        pairs = self.together[list(classes)][:, list(classes)]  # (k, k)
        return float(pairs.trace() / pairs.sum()) if pairs.sum() else 0.0

    def plus(self, other: Measurement) -> Measurement:
        """The measurement of the samples of both.

        Raises:
            BadMeasurement: they are of different models, or were taken differently.
        """
        if self.weights != other.weights or self.readers != other.readers:
            raise BadMeasurement(
                "The two measurements are of different models: measure one model on both parts of "
                "the data."
            )
        if self._layout() != other._layout():
            raise BadMeasurement(
                "The two measurements keep classes apart differently: give both the same `memory`."
            )
        return replace(
            self,
            counts=self.counts + other.counts,
            together=self.together + other.together,
            statistics={n: s.plus(other.statistics[n]) for n, s in self.statistics.items()},
        )

    def _layout(self) -> dict[str, tuple[Groups, type[Moments]]]:
        """Which sums there are: those of two measurements add up only where these agree."""
        return {name: (s.groups, type(s.moments)) for name, s in self.statistics.items()}

    def to(self, device: torch.device | str) -> Measurement:
        """The same on another device."""
        moved = {name: _on_device(sums, device) for name, sums in self.statistics.items()}
        return replace(self, statistics=moved)

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors and text, as `safetensors.torch.save_file` takes them."""
        tensors = {"counts": self.counts, "together": self.together}
        entries = []
        for place, (name, sums) in enumerate(self.statistics.items()):
            own = {"pivot": sums.pivot, "counts": sums.counts, "sums": sums.sums}
            own |= sums.moments.tensors()
            # safetensors refuses views that share memory
            tensors |= {f"{place}.{key}": value.contiguous() for key, value in own.items()}
            entries.append({"name": name, "groups": sums.groups, "blocks": sums.blocks})
        text = {
            "format": FORMAT,
            "weights": self.weights,
            "statistics": entries,
            "readers": [
                [r.name, r.kind, r.input_group, r.bias_applied, r.outputs] for r in self.readers
            ],
            "skipped": [[s.name, s.kind, s.reason] for s in self.skipped],
        }
        return tensors, {"damp": json.dumps(text, sort_keys=True)}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
    ) -> Measurement:
        """The way back from `to_tensors`.

        Raises:
            BadMeasurement: this is no measurement, or of another format.
        """
        try:
            text = json.loads(metadata["damp"])
            if text["format"] != FORMAT:
                raise BadMeasurement(
                    f"The measurement is of format {text['format']!r}, this version of damp reads "
                    f"{FORMAT!r}: measure again."
                )
            return cls(
                counts=tensors["counts"],
                together=tensors["together"],
                statistics={
                    entry["name"]: _loaded(entry, place, tensors)
                    for place, entry in enumerate(text["statistics"])
                },
                readers=tuple(_reader(*entry) for entry in text["readers"]),
                skipped=tuple(
                    Skipped(name=name, kind=kind, reason=reason)
                    for name, kind, reason in text["skipped"]
                ),
                weights=text["weights"],
            )
        # whatever a damaged file makes of these look-ups is one refusal with one remedy
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            if isinstance(error, BadMeasurement):
                raise
            raise BadMeasurement(
                f"The tensors are no measurement of damp's or are damaged ({error}): measure again."
            ) from error


def _reader(name: str, kind: str, input_group: str, bias_applied: Any, outputs: int) -> Reader:
    ranges = tuple((int(start), int(stop)) for start, stop in bias_applied)
    return Reader(
        name=name, kind=kind, input_group=input_group, bias_applied=ranges, outputs=outputs
    )


def _loaded(entry: Mapping[str, Any], place: int, tensors: Mapping[str, Tensor]) -> Statistics:
    own = {key: tensors[f"{place}.{key}"] for key in ("pivot", "counts", "sums")}
    groups: Groups = tuple(tuple(group) for group in entry["groups"])
    blocks = int(entry["blocks"])
    # D, and d = D / G features in each block
    features, width = len(own["pivot"]), len(own["pivot"]) // blocks
    if f"{place}.gram" in tensors:
        # (K, G, d (d + 1) / 2): a Gram matrix is symmetric, half of it is kept
        upper = _shaped(tensors[f"{place}.gram"], len(groups), blocks, width * (width + 1) // 2)
        moments: Moments = Gram.from_upper(upper, width)
    else:
        sketch = tensors[f"{place}.sketch"]
        moments = Sketch(
            sums=_shaped(sketch, len(groups), features, sketch.shape[-1]),
            squares=_shaped(tensors[f"{place}.squares"], len(groups), features),
        )
    _shaped(own["counts"], len(tensors["counts"]))
    _shaped(own["sums"], len(tensors["counts"]), features)
    return Statistics(**own, groups=groups, moments=moments, blocks=blocks)


def _shaped(value: Tensor, *shape: int) -> Tensor:
    if tuple(value.shape) != shape:
        raise ValueError(f"a tensor has shape {tuple(value.shape)} instead of {shape}")
    return value


def _on_device(statistics: Statistics, device: torch.device | str) -> Statistics:
    moments = statistics.moments
    there: Moments = (
        Gram(sums=moments.sums.to(device))
        if isinstance(moments, Gram)
        else Sketch(sums=moments.sums.to(device), squares=moments.squares.to(device))  # type: ignore[attr-defined]
    )
    # counts stay on the CPU, where classes are chosen by them
    pivot, sums = statistics.pivot.to(device), statistics.sums.to(device)
    return replace(statistics, pivot=pivot, sums=sums, moments=there)


def ranges(flags: Iterable[bool]) -> tuple[tuple[int, int], ...]:
    """Where a row of flags is true, as ranges.

    >>> ranges([True, True, False, True])
    ((0, 2), (3, 4))
    """
    spans: list[tuple[int, int]] = []
    for place, flag in enumerate(flags):
        if flag and spans and spans[-1][1] == place:
            spans[-1] = spans[-1][0], place + 1  # one further
        elif flag:
            spans.append((place, place + 1))
    return tuple(spans)


def digest(model: nn.Module) -> str:
    """sha256 over a model's tensors with their names, types and shapes."""
    total = hashlib.sha256()
    # names, types and shapes too: equal bytes under other names are another model
    for name, value in sorted(model.state_dict().items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return total.hexdigest()
