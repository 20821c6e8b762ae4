"""Commands for those who run damp: its servers, the schedules of a team, and alerts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from flows.cli import console
from flows.cli.options import DONE, as_json, intervals

if TYPE_CHECKING:
    from flows.servers.local_services import Service

PORT = click.IntRange(1, 65535)


@click.command()
@click.option("--prefect-port", type=PORT, help="Default: 4200, or a free one.")
@click.option("--mlflow-port", type=PORT, help="Default: 5000, or a free one.")
@as_json
def up(prefect_port: int | None, mlflow_port: int | None, as_json: bool) -> int:
    """Start Prefect and MLflow as servers with pages of their own.

    They go on when the terminal is closed; other commands then use them. The same call again does
    nothing. Logs are in `logs/` of the state folder.

    \b
    Examples:
      damp up
      damp up --prefect-port 4201 --json
    """
    from flows.servers import local_services
    from flows.state.settings import prepared

    ports = {"prefect": prefect_port, "mlflow": mlflow_port}
    services = local_services.up(prepared(), ports)
    following = console.next_step("damp serve --every 15m, or damp run. End both with damp down.")
    lines = [*_lines("serves", services), following]
    console.answer([service.to_json() for service in services], lines, as_json=as_json)
    return DONE


@click.command()
@as_json
def down(as_json: bool) -> int:
    """End the servers that `damp up` has started.

    \b
    Examples:
      damp down
    """
    from flows.servers import local_services
    from flows.state.paths import Home
    from flows.state.settings import settings

    services = local_services.down(Home(settings().home))
    lines = [*_lines("ended", services)] or ["No server runs: nothing was done."]
    console.answer([service.name for service in services], lines, as_json=as_json)
    return DONE


def _lines(state: str, services: Sequence[Service]) -> Iterator[str]:
    for service in services:
        log = console.short(service.log)
        yield f"{service.name:<8} {state}  {service.url}  (log: {log})"


@click.command()
@click.option("--pool", default="damp", show_default=True, help="Work pool; created if missing.")
@intervals
@as_json
def deploy(pool: str, as_json: bool, **often: str) -> int:
    """Hand the schedules to a work pool of the Prefect server: for teams, in place of `serve`.

    One run of each at a time; one that comes due meanwhile waits.

    \b
    Examples:
      damp deploy --pool damp --every 15m
    """
    from flows.orchestration import engine
    from flows.state.settings import prepared

    place = prepared()
    engine.connect_to_shared(place)
    from flows.orchestration import schedule  # Prefect reads its address when it is imported

    names = schedule.deploy(place, pool, **often)
    lines = [
        f"Work pool '{pool}' has {', '.join(names)}.",
        console.next_step(f"damp worker --pool {pool}, on this machine or others."),
    ]
    console.answer({"pool": pool, "deployments": names}, lines, as_json=as_json)
    return DONE


@click.command()
@click.option("--pool", default="damp", show_default=True, help="Work pool to take runs from.")
def worker(pool: str) -> int:
    """Stay and carry out what a work pool hands out. As many as you like, on any machine.

    \b
    Examples:
      damp worker --pool damp
    """
    from flows.orchestration import engine
    from flows.state.settings import prepared

    place = prepared()
    os.environ["DAMP_HOME"] = str(place.root)
    os.environ["PREFECT_LOGGING_LEVEL"] = "INFO"  # a worker has no bars: its log is what it says
    url = engine.connect_to_shared(place)
    console.raw(f"Worker of pool '{pool}' at {url}; Ctrl-C ends it.\n")
    sys.stdout.flush()
    engine.work(pool)
    return DONE


@click.command()
@click.argument("url")
@as_json
def alert(url: str, as_json: bool) -> int:
    """Let the Prefect server call URL whenever a run of damp fails or crashes.

    \b
    Examples:
      damp alert http://127.0.0.1:9000/damp
    """
    from flows.orchestration import engine
    from flows.state.settings import prepared

    engine.connect_to_shared(prepared())
    from flows.orchestration import automations  # Prefect reads its address when it is imported

    name = automations.call_on_failure(url)
    line = f"Automation '{name}' calls {url} when a run of damp fails."
    console.answer({"automation": name, "url": url}, [line], as_json=as_json)
    return DONE
