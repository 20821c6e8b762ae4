"""The same work on many inputs, on a Dask or Ray cluster through Prefect's task runners.

What is handed out is idempotent and leaves its result under a name made of its inputs: a worker
that dies is replaced, its part is done again, and nothing is there twice. Workers see the state
folder under the same path and have damp installed (docs/operations.md, teams).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from flows.state import progress
from flows.state.errors import SettingsError
from flows.state.settings import settings

Facts = dict[str, Any]

RETRIES = 3
"""Times that a part is tried again when its worker has died."""


def is_on() -> bool:
    """Whether a cluster is to be used."""
    return settings().runner != "local"


def everywhere(function: Callable[[Facts], Facts], jobs: Sequence[Facts], what: str) -> list[Facts]:
    """`function` of each job, in order, each on whichever worker is free.

    Args:
        function: A function of a module, so that workers find it by its name.
        jobs: Its inputs, JSON.
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
    def spread() -> list[Facts]:
        futures = [step.submit(job) for job in jobs]
        found = []
        for number, future in enumerate(futures, 1):
            found.append(future.result())
            progress.current().advance(f"{what} on {settings().runner}", number, len(jobs))
        return found

    done: list[Facts] = spread()
    return done


def runner(jobs: int) -> Any:
    """Prefect's task runner for the cluster of the settings, or for one on this machine."""
    told = settings()
    address = told.runner_address
    workers = min(told.workers or os.cpu_count() or 1, max(jobs, 1))
    try:
        if told.runner == "dask":
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
            f"`runner = {told.runner!r}` needs damp-unlearning[{told.runner}]: install it, on the "
            "workers too, or set the runner to 'local'."
        ) from error
