"""Commands that carry events out: from a request to its report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from flows.cli.options import DONE, FILE, as_json, data, data_root, often


@click.command()
@click.option("--forget", type=click.IntRange(0, 9), default=3, show_default=True, help="Digit.")
@as_json
def demo(forget: int, as_json: bool) -> int:
    """Train a digit classifier, make it forget a digit, audit it, report.

    A second call finds the finished event and shows it again.

    \b
    Examples:
      damp demo
      damp demo --forget 8 --json
    """
    from flows.cli import commands

    return commands.demo(forget, as_json=as_json)


@click.command()
@click.option("--forget", multiple=True, required=True, type=int, help="Class index; repeatable.")
@click.option("--model", required=True, help="NAME@ALIAS or NAME/VERSION, or a .safetensors file.")
@click.option("--architecture", help="For a file: damp:cnn, torchvision:resnet18, ...")
@data
@data_root
@click.option("--recipe", help="How references are trained; default: the data set's recipe.")
@click.option("--policy", default="default-v1", show_default=True, help="Policy name or file.")
@click.option("--regulation", default="gdpr", show_default=True, help="gdpr, ccpa, contract, ...")
@click.option(
    "--preset",
    default="mended",
    show_default=True,
    help="mended, mixture, rewritten, paper or retrain.",
)
def request(**asked: Any) -> int:
    """Print a request with a new id, to look through and submit.

    \b
    Examples:
      damp request --forget 3 --model mnist@champion --data mnist > request.yaml
    """
    from flows.intake import requests

    sys.stdout.write(requests.template(**asked))
    return DONE


@click.command()
@click.argument("file", type=FILE)
@as_json
def submit(file: Path, as_json: bool) -> int:
    """Check a request and write it into the ledger.

    `damp run` or the schedule carries it out. The same request again gives the same answer and
    has no second effect.

    \b
    Examples:
      damp submit request.yaml
    """
    from flows.cli import commands

    return commands.submit(file, as_json=as_json)


@click.command()
@click.option("--event", help="Id of one event; default: all that are pending.")
@as_json
def run(event: str | None, as_json: bool) -> int:
    """Carry out pending requests, the nearest deadline first.

    An event that was interrupted goes on after its last finished step.

    \b
    Examples:
      damp run
      damp run --event 5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11
    """
    from flows.cli import commands

    return commands.run(event, as_json=as_json)


@click.command()
@as_json
def status(as_json: bool) -> int:
    """Show every event: state, verdict, what it does now, its report.

    \b
    Examples:
      damp status
      damp status --json
    """
    from flows.cli import commands

    return commands.status(as_json=as_json)


@click.command()
@often
def serve(every: str, reaudits: str, scan: str) -> int:
    """Stay and carry out pending requests on Prefect's schedule.

    Re-audits that are due and the scan of the registry have schedules of their own. What was
    missed while nobody served is made up first.

    \b
    Examples:
      damp serve --every 60s
    """
    from flows.cli import commands

    return commands.serve(every, reaudits, scan)


COMMANDS = (demo, request, submit, run, status, serve)
