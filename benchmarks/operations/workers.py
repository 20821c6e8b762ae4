"""What more workers gain, and whether they find the same."""

from __future__ import annotations

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.operations.office import Facts, Office

TRAININGS = 6
"""Of the comparison of one worker with two."""


SPREAD = """
import json, sys, time
from pathlib import Path
from flows.state.paths import Home
from flows.state.settings import prepare_environment, settings
home = Home(settings().home)
prepare_environment(home.root)
from flows.orchestration import engine
from flows.servers import cluster
from flows.steps import references
from flows.data.dataset import DataSpec
from damp.version import __version__
training = references.Training(
    spec=DataSpec(name="digits"), data_version="bench", classes=10, architecture="damp:cnn",
    recipe="digits", forget=(3,), retired=(),
)
def jobs(first, count):
    return [training.reference(home, first + n) for n in range(count)]
workers, count = int(sys.argv[1]), int(sys.argv[2])
from prefect import flow, task
step = task(name="train", persist_result=False)(references.train_one)
with engine.connected(home) as server:
    server.wait()
    @flow(task_runner=cluster.runner(workers), validate_parameters=False)
    def spread():
        [f.result() for f in [step.submit(j) for j in jobs(0, workers)]]  # imports, start-up
        began = time.perf_counter()
        [f.result() for f in [step.submit(j) for j in jobs(100, count)]]
        return time.perf_counter() - began
    print(json.dumps(spread()))
"""


def spread(folder: Path) -> Facts:
    """References on one worker and on two, start-up apart."""
    figures: Facts = {"trainings": TRAININGS, "target": 1.6}
    for kind in ("dask", "ray"):
        seconds = {}
        for workers in (1, 2):
            extra = {"DAMP_RUNNER": kind, "DAMP_WORKERS": str(workers)}
            office = Office(folder / f"{kind}-{workers}", **extra)
            result = office.damp(str(workers), str(TRAININGS), code=SPREAD)
            seconds[workers] = json.loads(result.splitlines()[-1])
        figures[kind] = {
            "one_worker_seconds": round(seconds[1], 1),
            "two_workers_seconds": round(seconds[2], 1),
            "speed_up": round(seconds[1] / seconds[2], 2),
        }
    return figures


WORKERS = 4


def statistics_pass(folder: Path) -> Facts:
    """The statistics of four shards, by four processes, against one process and one pass."""
    office = Office(folder)
    office.damp("train", "--data", "digits", "--name", "digits")
    (base,) = office.home.models.glob("*.safetensors")
    jobs = [(str(base), part) for part in range(WORKERS)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=WORKERS, mp_context=context) as pool:
        spread = list(pool.map(_measured, jobs))
    alone = [_measured(job) for job in jobs]
    edits = {
        "four_processes": _edit(str(base), spread),
        "one_process": _edit(str(base), alone),
        "one_pass": _edit(str(base), None),
    }
    first, second, whole = edits.values()
    return {
        "workers": WORKERS,
        "processes": len({pid for _, _, pid in spread}),
        "weights": sum(value.numel() for value in first.values()),
        "same_bits_as_the_shards_in_one_process": _differ(first, second) == 0.0,
        "largest_difference_to_one_pass": _differ(first, whole),
        "target": "bit for bit where the reduction order is fixed",
    }


def _network(base: str) -> tuple[Any, list[tuple[Any, Any]]]:
    from flows.data import loaders
    from flows.data.dataset import DataSpec
    from flows.models import statistics_cache
    from flows.models import weights as models

    dataset = loaders.load(DataSpec(name="digits", root=None))
    shape = dataset.input_shape
    network, _ = models.load_weights(
        Path(base), architecture="damp:cnn", classes=10, input_shape=shape
    )
    return network, statistics_cache.batches(dataset)


def _measured(job: tuple[str, int]) -> tuple[Any, Any, int]:
    """The statistics of every fourth batch, as they would travel: tensors and text."""
    import torch

    import damp

    torch.set_num_threads(1)
    network, batches = _network(job[0])
    measured = damp.measure(network, batches[job[1] :: WORKERS])
    tensors, text = measured.to_tensors()
    return {name: value.numpy() for name, value in tensors.items()}, text, os.getpid()


def _edit(base: str, shards: list[tuple[Any, Any, int]] | None) -> dict[str, Any]:
    import torch

    import damp

    network, batches = _network(base)
    total = None
    for arrays, text, _ in shards or []:
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        measurement = damp.Measurement.from_tensors(tensors, text)
        total = measurement if total is None else total.plus(measurement)
    edited = damp.forget(network, batches, forget=[3], measured=total)
    weights: dict[str, Any] = edited.unretired.state_dict()
    return weights


def _differ(one: dict[str, Any], other: dict[str, Any]) -> float:
    gaps = [(value.double() - other[name].double()).abs().max() for name, value in one.items()]
    return float(max(gaps))
