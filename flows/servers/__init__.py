"""Processes and addresses: the servers that damp starts or is given, and clusters of workers.

Alone on one machine, damp starts a private Prefect server and needs nothing else. A team names
servers and a cluster in its settings; the same code then talks to those.

    auth.py             the password of the servers that damp starts, one for each state folder
    guard.py            who may ask them, and from which page: host, origin, password
    guarded.py          runs Prefect or MLflow behind the guard; secrets come through a pipe
    metrics_server.py   `/metrics` beside `damp serve`, behind the guard
    endpoints.py        servers of the settings: checked for version, never a cloud by accident
    local_services.py   `damp up` and `damp down`: Prefect and MLflow with their pages
    private_prefect.py  a Prefect server for one command, which cannot outlive it
    isolated.py         a function of ours in a process without keys, for code of somebody else
    die_with_parent.py  runs a module as a process that the kernel ends with its parent
    processes.py        recognising a process later, ending it with all its children, free ports
    cluster.py          `map` a function over jobs on Dask or Ray, through Prefect's task runners

`__all__` lists the modules that other rooms import.
"""

__all__ = [
    "auth",
    "cluster",
    "die_with_parent",
    "endpoints",
    "isolated",
    "local_services",
    "metrics_server",
    "private_prefect",
    "processes",
]
