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
    """One operator as the pass saw it.

    Attributes:
        name: Of the operator.
        kind: Class of its layer.
        leader: Name of the operator under which the statistics of its inputs are kept.
        heard: Outputs to which the model adds the operator's own bias, as ranges (start, stop).
        outputs: Number of outputs O.
    """

    name: str
    kind: str
    leader: str
    heard: tuple[tuple[int, int], ...]
    outputs: int

    @property
    def all_heard(self) -> bool:
        """Whether every output gets the operator's own bias."""
        return self.heard == ((0, self.outputs),)

    @property
    def unheard(self) -> tuple[tuple[int, int], ...]:
        """Outputs that do not, as ranges."""
        return ranges((~self.heard_outputs()).tolist())

    def heard_outputs(self) -> Tensor:
        """Flags of the outputs that do, (O,), bool."""
        flags = torch.zeros(self.outputs, dtype=torch.bool)
        for start, stop in self.heard:
            flags[start:stop] = True
        return flags


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurement:
    """What one pass over the data found.

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
        return self.statistics[reader.leader]

    def purity(self, classes: Sequence[int]) -> float:
        """How far batches are of one class each, seen over some classes: 1 where they all are."""
        chosen = self.together[list(classes)][:, list(classes)]
        return float(chosen.trace() / chosen.sum()) if chosen.sum() else 0.0

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
        alike = {
            name: (found.groups, type(found.moments)) for name, found in self.statistics.items()
        }
        if alike != {n: (f.groups, type(f.moments)) for n, f in other.statistics.items()}:
            raise BadMeasurement(
                "The two measurements keep classes apart differently: give both the same `memory`."
            )
        return replace(
            self,
            counts=self.counts + other.counts,
            together=self.together + other.together,
            statistics={
                name: found.plus(other.statistics[name]) for name, found in self.statistics.items()
            },
        )

    def to(self, device: torch.device | str) -> Measurement:
        """The same on another device."""
        return replace(
            self, statistics={n: _moved(found, device) for n, found in self.statistics.items()}
        )

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors and text, as `safetensors.torch.save_file` takes them."""
        tensors = {"counts": self.counts, "together": self.together}
        told = []
        for place, (name, found) in enumerate(self.statistics.items()):
            own = {"pivot": found.pivot, "counts": found.counts, "sums": found.sums}
            own |= found.moments.tensors()
            tensors |= {f"{place}.{key}": value.contiguous() for key, value in own.items()}
            told.append({"name": name, "groups": found.groups, "blocks": found.blocks})
        text = {
            "format": FORMAT,
            "weights": self.weights,
            "statistics": told,
            "readers": [[r.name, r.kind, r.leader, r.heard, r.outputs] for r in self.readers],
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
            told = json.loads(metadata["damp"])
            if told["format"] != FORMAT:
                raise BadMeasurement(
                    f"The measurement is of format {told['format']!r}, this version of damp reads "
                    f"{FORMAT!r}: measure again."
                )
            return cls(
                counts=tensors["counts"],
                together=tensors["together"],
                statistics={
                    entry["name"]: _loaded(entry, place, tensors)
                    for place, entry in enumerate(told["statistics"])
                },
                readers=tuple(_reader(*entry) for entry in told["readers"]),
                skipped=tuple(
                    Skipped(name=name, kind=kind, reason=reason)
                    for name, kind, reason in told["skipped"]
                ),
                weights=told["weights"],
            )
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            if isinstance(error, BadMeasurement):
                raise
            raise BadMeasurement(
                f"The tensors are no measurement of damp's or are damaged ({error}): measure again."
            ) from error


def _reader(name: str, kind: str, leader: str, heard: Any, outputs: int) -> Reader:
    ranges = tuple((int(start), int(stop)) for start, stop in heard)
    return Reader(name=name, kind=kind, leader=leader, heard=ranges, outputs=outputs)


def _loaded(entry: Mapping[str, Any], place: int, tensors: Mapping[str, Tensor]) -> Statistics:
    own = {key: tensors[f"{place}.{key}"] for key in ("pivot", "counts", "sums")}
    groups: Groups = tuple(tuple(group) for group in entry["groups"])
    blocks = int(entry["blocks"])
    features, width = len(own["pivot"]), len(own["pivot"]) // blocks
    if f"{place}.gram" in tensors:
        upper = _shaped(tensors[f"{place}.gram"], len(groups), blocks, width * (width + 1) // 2)
        moments: Moments = Gram.of(upper, width)
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
        raise ValueError(f"a tensor of shape {tuple(value.shape)} stands where {shape} belongs")
    return value


def _moved(found: Statistics, device: torch.device | str) -> Statistics:
    moments = found.moments
    moved: Moments = (
        Gram(sums=moments.sums.to(device))
        if isinstance(moments, Gram)
        else Sketch(sums=moments.sums.to(device), squares=moments.squares.to(device))  # type: ignore[attr-defined]
    )
    return replace(found, pivot=found.pivot.to(device), sums=found.sums.to(device), moments=moved)


def ranges(chosen: Iterable[bool]) -> tuple[tuple[int, int], ...]:
    """Where a row of flags is true, as ranges.

    >>> ranges([True, True, False, True])
    ((0, 2), (3, 4))
    """
    found: list[tuple[int, int]] = []
    for place, flag in enumerate(chosen):
        if flag and found and found[-1][1] == place:
            found[-1] = found[-1][0], place + 1
        elif flag:
            found.append((place, place + 1))
    return tuple(found)


def digest(model: nn.Module) -> str:
    """sha256 over a model's tensors with their names, types and shapes."""
    total = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return total.hexdigest()
