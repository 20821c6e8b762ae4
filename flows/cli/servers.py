"""Commands for those who run damp: servers, schedules, the registry's gate, and what is wrong."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli.options import FILE, as_json, often

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
    from flows.cli import operations

    ports = {"prefect": prefect_port, "mlflow": mlflow_port}
    return operations.up(ports, as_json=as_json)


@click.command()
@as_json
def down(as_json: bool) -> int:
    """End the servers that `damp up` has started.

    \b
    Examples:
      damp down
    """
    from flows.cli import operations

    return operations.down(as_json=as_json)


@click.command()
@as_json
def doctor(as_json: bool) -> int:
    """Look for what is wrong: versions, ports, disk, keys, clocks, servers, permissions.

    Exit code 1 where something would keep an event from running.

    \b
    Examples:
      damp doctor
    """
    from flows.operations import doctor

    return doctor.show(as_json=as_json)


@click.command()
@click.argument("model")
@click.option("--svg", type=FILE, help="Write a drawing to this file.")
@as_json
def lineage(model: str, svg: Path | None, as_json: bool) -> int:
    """Draw which version of MODEL came from which: events, verdicts, data versions.

    \b
    Examples:
      damp lineage digits
      damp lineage digits --svg lineage.svg
    """
    from flows.cli import operations

    return operations.lineage(model, svg, as_json=as_json)


@click.command()
@click.argument("version")
@as_json
def promote(version: str, as_json: bool) -> int:
    """Let NAME@champion point to NAME/VERSION, past every check.

    Fetches the bytes from the registry, computes their digests, verifies statement, signatures,
    roles and ledger, and only then moves the alias.

    \b
    Examples:
      damp promote digits/2
    """
    from flows.cli import operations

    return operations.promote(version, as_json=as_json)


@click.command("audit-registry")
@as_json
def audit_registry(as_json: bool) -> int:
    """Name every version and alias that has no valid statement behind it.

    Exit code 1 where there is one.

    \b
    Examples:
      damp audit-registry
      damp audit-registry --json
    """
    from flows.cli import operations

    return operations.audit_registry(as_json=as_json)


@click.command()
@click.option("--pool", default="damp", show_default=True, help="Work pool; made if missing.")
@often
@as_json
def deploy(as_json: bool, **asked: str) -> int:
    """Hand the schedules to a work pool of the Prefect server: for teams, in place of `serve`.

    One run of each at a time; one that comes due meanwhile waits.

    \b
    Examples:
      damp deploy --pool damp --every 15m
    """
    from flows.cli import operations

    return operations.deploy(as_json=as_json, **asked)


@click.command()
@click.option("--pool", default="damp", show_default=True, help="Work pool to take runs from.")
def worker(pool: str) -> int:
    """Stay and carry out what a work pool hands out. As many as you like, on any machine.

    \b
    Examples:
      damp worker --pool damp
    """
    from flows.cli import operations

    return operations.worker(pool)


@click.command()
@click.argument("url")
@as_json
def alert(url: str, as_json: bool) -> int:
    """Let the Prefect server call URL whenever a run of damp fails or crashes.

    \b
    Examples:
      damp alert http://127.0.0.1:9000/damp
    """
    from flows.cli import operations

    return operations.alert(url, as_json=as_json)


COMMANDS = (lineage, promote, audit_registry, up, down, deploy, worker, alert, doctor)
