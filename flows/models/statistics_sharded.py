"""The statistics pass in parts, each on whichever worker of a cluster is free.

The number of parts and the order in which they are added are fixed, so that the sums do not depend
on how many workers there are. Against one pass they differ by the rounding of float64.
"""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.data.dataset import Dataset, DataSpec
from flows.models import statistics_cache
from flows.servers import cluster
from flows.state.paths import Home

if TYPE_CHECKING:
    from damp import Measurement

Facts = dict[str, Any]

PARTS = 4
"""Of the batches, each fourth one; fewer where there are fewer batches."""


def everywhere(home: Home, key: str, data: Facts, model: Facts) -> Measurement | None:
    """The statistics of a model, added up from those of all parts.

    Args:
        home: The state folder, which all workers see under the same path.
        key: Digest of what the statistics are made of; the parts are named by it.
        data: What the event knows of its data: `spec`, `classes`.
        model: What it knows of its model: `file`, `architecture`, `retired`.
    Returns:
        None where the parts do not fit together, as when a unit is silent in one of them and the
        model is read differently: then one pass must do.
    """
    from damp import Measurement
    from damp.errors import BadMeasurement

    told = {"home": str(home.root), "key": key, "data": data, "model": model}
    parts = min(PARTS, len(statistics_cache.batches(_dataset(told))))
    jobs = [told | {"part": part, "parts": parts} for part in range(parts)]
    done = cluster.map(measure_part, jobs, "statistics")
    files = [home.root / each["path"] for each in done]
    try:
        return reduce(Measurement.plus, map(statistics_cache.read, files))
    except BadMeasurement:
        return None
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def measure_part(job: Facts) -> Facts:
    """One part's statistics, as a file under `path`; found where a worker has left them before."""
    import damp
    from flows.models import weights
    from flows.state.settings import settings

    home, data, model = Home(Path(job["home"])), job["data"], job["model"]
    path = home.statistics / f"{job['key']}-part-{job['part']}-of-{job['parts']}.safetensors"
    if not path.exists():
        dataset = _dataset(job)
        network, _ = weights.load_weights(
            home.root / model["file"]["path"],
            architecture=model["architecture"],
            classes=data["classes"],
            input_shape=dataset.input_shape,
        )
        mine = statistics_cache.batches(dataset)[job["part"] :: job["parts"]]
        found = damp.measure(network, mine, device=settings().device).to("cpu")
        statistics_cache.keep(path, found, model["file"]["sha256"])
    return {"path": home.relative(path)}


def _dataset(job: Facts) -> Dataset:
    from flows.data import loaders

    whole = loaders.load(DataSpec(**job["data"]["spec"]))
    return whole.without(job["model"]["retired"])
