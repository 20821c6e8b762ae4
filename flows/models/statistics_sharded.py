"""The statistics pass in parts, each on whichever worker of a cluster is free.

The number of parts and the order in which they are added are fixed, so that the sums do not depend
on how many workers there are. Against one pass they differ by the rounding of float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from flows.data.dataset import Dataset, DataSpec
from flows.models import statistics_cache
from flows.servers import cluster
from flows.state.files import Artifact
from flows.state.paths import Home

if TYPE_CHECKING:
    from damp import Measurement

PARTS = 4
"""Of the batches, each fourth one; fewer where there are fewer batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model and the data that it is measured on.

    Attributes:
        home: The state folder, which all workers see under the same path.
        spec: Where the rows are read from.
        classes: Outputs of the model.
        weights: Its file.
        architecture: How the network is built.
        retired: Classes that have left its label space.
    """

    home: Home
    spec: DataSpec
    classes: int
    weights: Artifact
    architecture: str
    retired: tuple[int, ...]

    def dataset(self) -> Dataset:
        """Its data, without the classes that it has retired."""
        from flows.data import loaders

        return loaders.load(self.spec).without(self.retired)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Every `of`-th batch from `number` on; `key` names the statistics as a whole."""

    subject: Subject
    key: str
    number: int
    of: int


def measured(subject: Subject, key: str) -> Measurement | None:
    """The statistics of a model, added up from those of all parts.

    Args:
        subject: The model and its data.
        key: Digest of what the statistics are made of; the parts are named by it.
    Returns:
        None where the parts do not fit together, as when a unit is silent in one of them and the
        model is read differently: then one pass must do.
    """
    from damp import Measurement
    from damp.errors import BadMeasurement

    parts = min(PARTS, len(statistics_cache.batches(subject.dataset())))
    jobs = [Part(subject=subject, key=key, number=number, of=parts) for number in range(parts)]
    files = [subject.home.root / path for path in cluster.map(measure_part, jobs, "statistics")]
    try:
        return reduce(Measurement.plus, map(statistics_cache.read, files))
    except BadMeasurement:
        return None
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def measure_part(part: Part) -> str:
    """Write one part's statistics, unless a worker has before; the file below the state folder."""
    import damp
    from flows.models import weights
    from flows.state.settings import settings

    subject = part.subject
    name = f"{part.key}-part-{part.number}-of-{part.of}.safetensors"
    path = subject.home.statistics / name
    if not path.exists():
        dataset = subject.dataset()
        network, _ = weights.load_weights(
            subject.home.root / subject.weights.path,
            architecture=subject.architecture,
            classes=subject.classes,
            input_shape=dataset.input_shape,
        )
        rows = statistics_cache.batches(dataset).part(part.number, part.of)
        batches = statistics_cache.read_ahead(rows)
        statistics = damp.measure(network, batches, device=settings().device).to("cpu")
        statistics_cache.keep(path, statistics, subject.weights.sha256)
    return subject.home.relative(path)
