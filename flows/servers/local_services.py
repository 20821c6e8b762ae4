"""`damp up` and `damp down`: Prefect and MLflow as servers of their own, with their pages.

They go on when the terminal is closed. A record of each lies under the state folder: by it a
second `damp up` recognises them and `damp down` ends them, whatever happened in between.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from flows.servers import auth, guarded, processes
from flows.servers.private_prefect import refuse_unwritable, secret_settings
from flows.state.errors import ServerError
from flows.state.files import write_atomically
from flows.state.paths import Home
from flows.state.settings import settings

START_SECONDS = 300.0
USUAL = {"prefect": 4200, "mlflow": 5000}
"""Ports to take where they are free and no other is asked for."""
HEALTH = {"prefect": "/api/health", "mlflow": "/health"}
"""Paths that answer 200 once a server serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(processes.Identity):
    """A server as it was started: its process, and where it is reached.

    Attributes:
        name: `prefect` or `mlflow`.
        url: Its pages.
        health: Answers 200 once it serves.
        log: Its output.
    """

    name: str
    url: str
    health: str
    log: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"healthy": processes.answers(self.health)}


def up(home: Home, ports: Mapping[str, int | None]) -> list[Service]:
    """Start what does not run yet, and return when both answer. The same call again does nothing.

    Args:
        home: The state folder.
        ports: Of `prefect` and `mlflow`, where a certain one is wanted.

    Raises:
        ServerError: A port is taken, or a server did not come up; what was started is ended again.
    """
    home.locks.mkdir(parents=True, exist_ok=True)
    with FileLock(home.locks / "services.lock"), FileLock(home.locks / "mlflow.lock"):
        begun: list[str] = []
        try:
            services = []
            for name in USUAL:
                service = running(home, name)
                if service is None:
                    _stop(home, name)  # what a killed one has left
                    begun.append(name)
                    service = _start(home, name, _port(name, ports.get(name)))
                elif ports.get(name) not in (None, service.port):
                    raise ServerError(
                        f"{name} already runs on port {service.port}. Run `damp down` first to "
                        "move it."
                    )
                services.append(service)
            for service in services:
                _wait(home, service)
        except BaseException:
            for name in begun:
                _stop(home, name)
            raise
    return services


def down(home: Home) -> list[Service]:
    """End both, and what they have started; returns those that ran."""
    if not _folder(home).is_dir():
        return []
    with FileLock(home.locks / "services.lock"):
        return [ended for name in USUAL if (ended := _stop(home, name)) is not None]


def running(home: Home, name: str) -> Service | None:
    """The server of that name, if its process lives."""
    service = processes.read_record(_record(home, name), Service)
    return service if service and processes.find(service) else None


def prefect_api(home: Home) -> str | None:
    """The API of the Prefect server that `damp up` started, if it runs and answers."""
    service = running(home, "prefect")
    return f"{service.url}/api" if service and processes.answers(service.health) else None


def log_path(home: Home, name: str) -> Path:
    """Where a server's output goes."""
    return home.root / "logs" / f"{name}.log"


def _folder(home: Home) -> Path:
    return home.root / "services"


def _record(home: Home, name: str) -> Path:
    return _folder(home) / f"{name}.json"


def _port(name: str, wanted: int | None) -> int:
    if wanted is not None and not processes.is_free(wanted):
        raise ServerError(
            f"Port {wanted} is taken, so {name} cannot listen there. End what uses it, or leave "
            f"out --{name}-port: then a free one is taken."
        )
    usual = USUAL[name]
    return wanted or (usual if processes.is_free(usual) else processes.free_port())


def _start(home: Home, name: str, port: int) -> Service:
    log = log_path(home, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    instructions = {"prefect": _prefect, "mlflow": _mlflow}[name](home, port)
    with log.open("ab") as output:
        process = guarded.start(instructions, output, home.root)
    url = f"http://127.0.0.1:{port}"
    service = Service(
        name=name,
        url=url,
        health=f"{url}{HEALTH[name]}",
        log=str(log),
        pid=process.pid,
        started=processes.Identity.of(process.pid).started,
    )
    write_atomically(_record(home, name), json.dumps(asdict(service), indent=2).encode())
    return service


def _prefect(home: Home, port: int) -> guarded.Instructions:
    (home.root / "prefect").mkdir(parents=True, exist_ok=True)
    refuse_unwritable()
    database = settings().prefect_database_url
    external = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database} if database else {}
    url = f"http://127.0.0.1:{port}/api"
    own = {
        "PREFECT_API_URL": "",
        "PREFECT_SERVER_UI_API_URL": url,
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home.root / "prefect" / "ui"),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    }
    variables = secret_settings() | own | external
    return guarded.prefect(port, auth=auth.auth_string(home.root), variables=variables)


def _mlflow(home: Home, port: int) -> guarded.Instructions:
    database = settings().mlflow_database_url or home.mlflow_uri
    artifacts = (home.root / "mlartifacts").absolute().as_uri()
    password = auth.auth_string(home.root)
    return guarded.mlflow(port, auth=password, database=database, artifacts=artifacts)


def _wait(home: Home, service: Service) -> None:
    def is_alive() -> bool:
        return running(home, service.name) is not None

    if not processes.comes_up(service.health, START_SECONDS, is_alive):
        raise ServerError(
            f"{service.name} did not come up on {service.url}. The last line of its log "
            f"{service.log}: {processes.last_line(Path(service.log))}."
        )


def _stop(home: Home, name: str) -> Service | None:
    service = running(home, name)
    if leader := processes.read_record(_record(home, name), Service):
        processes.end_session(leader)
    _record(home, name).unlink(missing_ok=True)
    return service
