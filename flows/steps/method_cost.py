"""What a method costs beside training the whole model anew: operations counted, seconds measured.

Operations are the same on every machine: multiply-adds of forward and backward passes. The linear
algebra of the surgery is not among them; seconds have all of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.records.training_times import SECONDS
from flows.state.facts import Artifact, Fact, Json, References
from flows.state.paths import Home

if TYPE_CHECKING:
    from audits.references import Recipe
    from flows.data.dataset import Dataset
    from flows.models.renewal import Build


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCost(Fact):
    """What one attempt took to make its model.

    Attributes:
        operations: Multiply-adds; None where they were not counted.
        retraining: Those of training the whole model anew on the rows to keep.
        seconds: Measured here.
        retraining_seconds: Mean of the references' trainings; None where none was measured.
    """

    operations: int | None
    retraining: int
    seconds: float | None
    retraining_seconds: float | None

    @property
    def share(self) -> float | None:
        """Of the operations of a full retraining."""
        return None if self.operations is None else self.operations / self.retraining


def retraining(build: Build, dataset: Dataset, forget: Sequence[int], recipe: Recipe) -> int:
    """Multiply-adds of training a whole network on the rows to keep by its recipe."""
    from flows.models import renewal

    inputs, labels = renewal.rows_to_keep(dataset, forget)
    return renewal.retraining_operations(build, inputs, labels, recipe)


def surgery(build: Build, dataset: Dataset, preset: str) -> int:
    """Multiply-adds of a preset's passes over the rows that it sees, at most."""
    import torch

    from damp import multiply_adds
    from damp.catalogue import PRESETS
    from flows.models import statistics_cache

    with torch.random.fork_rng(devices=[]):
        network = build()
    rows = sum(map(len, statistics_cache.batches(dataset).rows))
    return PRESETS[preset].passes * rows * multiply_adds.forward(network, dataset.train_inputs[:1])


def other(build: Build, dataset: Dataset, record: Json) -> int:
    """Multiply-adds of the rows that another method ran through the network.

    Args:
        record: With `forward` and `backward`.
    """
    import torch

    from damp import multiply_adds

    with torch.random.fork_rng(devices=[]):
        network = build().requires_grad_(True)
    rows, labels = dataset.train_inputs[:2], dataset.train_labels[:2]
    forward = multiply_adds.forward(network, rows)
    step = multiply_adds.training_step(network, rows, labels)
    backward: int = record["backward"] * (step - forward)
    return (record["forward"] * forward + backward) // len(labels)


def training_seconds(home: Home, models: Sequence[Artifact]) -> float | None:
    """Mean seconds of the trainings of models that this state folder has trained."""
    notes = [(home.root / model.path).with_suffix(".json") for model in models]
    timed = [json.loads(note.read_bytes()).get(SECONDS) for note in notes if note.exists()]
    measured = [float(seconds) for seconds in timed if seconds is not None]
    return round(sum(measured) / len(measured), 3) if measured else None


def of_references(home: Home, references: References) -> float | None:
    """What one full training took here."""
    every = references.models if references.candidate is None else (references.candidate,)
    return training_seconds(home, every)
