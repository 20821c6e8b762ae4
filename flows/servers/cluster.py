"""The same work on many inputs, on a Dask or Ray cluster through Prefect's task runners.

What is handed out is idempotent and leaves its result under a name made of its inputs: a worker
that dies is replaced, its part is done again, and nothing is there twice. Workers see the state
folder under the same path and have damp installed (docs/operations.md, teams).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flows.state import progress
from flows.state.errors import SettingsError
from flows.state.settings import settings

Job = TypeVar("Job")
Result = TypeVar("Result")

RETRIES = 3
"""Times that a part is tried again when its worker has died."""


def is_on() -> bool:
    """Whether a cluster is to be used."""
    return settings().runner != "local"


def map(function: Callable[[Job], Result], jobs: Sequence[Job], what: str) -> list[Result]:
    """`function` of each job, in order, each on whichever worker is free.

    Args:
        function: A function of a module, so that workers find it by its name.
        jobs: Its inputs: plain values or dataclasses of them, which can be pickled.
        what: For people: "references".

    Raises:
        SettingsError: The runner's extra is not installed.
        And what `function` raises.
    """
    if not jobs:
        return []
    from prefect import flow, task

    step = task(name=function.__name__, retries=RETRIES, persist_result=False)(function)

    @flow(name=f"fan-out-{what}", task_runner=runner(len(jobs)), validate_parameters=False)
    def spread() -> list[Result]:
        futures = [step.submit(job) for job in jobs]
        results = []
        for number, future in enumerate(futures, 1):
            results.append(future.result())
            progress.current().advance(f"{what} on {settings().runner}", number, len(jobs))
        return results

    results: list[Result] = spread()
    return results


def runner(jobs: int) -> Any:
    """Prefect's task runner for the cluster of the settings, or for one on this machine."""
    kind, address = settings().runner, settings().runner_address
    workers = min(settings().workers or os.cpu_count() or 1, max(jobs, 1))
    try:
        if kind == "dask":
            from prefect_dask import DaskTaskRunner

            local = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
            if address is not None:
                return DaskTaskRunner(address=address)
            return DaskTaskRunner(cluster_class="distributed.LocalCluster", cluster_kwargs=local)
        from prefect_ray import RayTaskRunner

        own = {"num_cpus": workers, "include_dashboard": False, "log_to_driver": False}
        return RayTaskRunner(address=address, init_kwargs={} if address else own)
    except ImportError as error:
        raise SettingsError(
            f"`runner = {kind!r}` needs damp-unlearning[{kind}]: install it, on the "
            "workers too, or set the runner to 'local'."
        ) from error
