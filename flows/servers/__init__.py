"""Processes: private and local servers, addresses, clusters of workers.

    cluster.py          The same work on many inputs, on a Dask or Ray cluster through Prefect's tas
    die_with_parent.py  Become another Python module whose life ends with that of the process that s
    endpoints.py        Which servers damp talks to: those it was told to, never a cloud by accident
    local_services.py   `damp up` and `damp down`: Prefect and MLflow as servers of their own, with
    private_prefect.py  A private Prefect server that cannot outlive the command that started it
    processes.py        Processes that damp starts and must find again: who they are, whether they l

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "cluster",
    "die_with_parent",
    "endpoints",
    "local_services",
    "private_prefect",
    "processes",
]
