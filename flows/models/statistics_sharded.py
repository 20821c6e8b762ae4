"""The statistics pass in parts, each on whichever worker of a cluster is free.

The number of parts and the order in which they are added are fixed, so that the sums do not depend
on how many workers there are. Against one pass they differ by the rounding of float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from flows.models import statistics_cache
from flows.servers import cluster
from flows.state.facts import Data, DataSpec, Fact, Json, Model
from flows.state.files import Artifact
from flows.state.paths import Home

if TYPE_CHECKING:
    from damp import Measurement

PARTS = 4
"""Of the batches, each fourth one; fewer where there are fewer batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Fact):
    """One part of the pass.

    Attributes:
        home: The state folder, which all workers see under the same path.
        key: Digest of what the statistics are made of; the parts are named by it.
        spec: The data.
        classes: Outputs of the model.
        file: Its weights.
        architecture: How it is built.
        retired: Classes that it has retired.
        number: From 0.
        of: How many parts there are.
    """

    home: str
    key: str
    spec: DataSpec
    classes: int
    file: Artifact
    architecture: str
    retired: tuple[int, ...]
    number: int
    of: int

    @property
    def path(self) -> Path:
        """Where its statistics are kept until all are there."""
        name = f"{self.key}-part-{self.number}-of-{self.of}.safetensors"
        return Home(Path(self.home)).statistics / name


def everywhere(home: Home, key: str, data: Data, model: Model) -> Measurement | None:
    """The statistics of a model, added up from those of all parts.

    Args:
        home: The state folder, which all workers see under the same path.
        key: Digest of what the statistics are made of; the parts are named by it.
        data: Of the event.
        model: The one before.
    Returns:
        None where the parts do not fit together, as when a unit is silent in one of them and the
        model is read differently: then one pass must do.
    """
    from damp import Measurement
    from damp.errors import BadMeasurement
    from flows.data import loaders

    count = min(PARTS, len(statistics_cache.batches(loaders.learned(data, model))))
    parts = [
        Part(
            home=str(home.root),
            key=key,
            spec=data.spec,
            classes=data.classes,
            file=model.file,
            architecture=model.architecture,
            retired=model.retired,
            number=number,
            of=count,
        )
        for number in range(count)
    ]
    cluster.everywhere(measure_on_worker, [part.to_json() for part in parts], "statistics")
    try:
        return reduce(Measurement.plus, (statistics_cache.read(part.path) for part in parts))
    except BadMeasurement:
        return None
    finally:
        for part in parts:
            part.path.unlink(missing_ok=True)


def measure_on_worker(part: Json) -> Json:
    """`measure_part` for a cluster: JSON in, JSON out."""
    measure_part(Part.from_json(part))
    return {}


def measure_part(part: Part) -> None:
    """Leave one part's statistics at its path; nothing is done where a worker has left them."""
    import damp
    from flows.data import loaders
    from flows.models import weights
    from flows.state.settings import settings

    if part.path.exists():
        return
    dataset = loaders.load(part.spec).without(part.retired)
    network, _ = weights.load_weights(
        Path(part.home) / part.file.path,
        architecture=part.architecture,
        classes=part.classes,
        input_shape=dataset.input_shape,
    )
    batches = statistics_cache.batches(dataset)[part.number :: part.of]
    statistics = damp.measure(network, batches, device=settings().device).to("cpu")
    statistics_cache.keep(part.path, statistics, part.file.sha256)
