"""Commands that audit what was made elsewhere, and train the yardstick ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flows.cli.options import FILE, as_json, data_root


@click.command()
@click.argument("file", type=FILE)
@as_json
def audit(file: Path, as_json: bool) -> int:
    """Audit a claim that a model has forgotten a class, by whatever method.

    The claim names both models, the data and a policy; the retrained models are trained by its
    recipe, or handed in. The same claim about the same bytes again shows the first answer.

    \b
    Examples:
      damp audit claim.yaml
      damp audit claim.yaml --json
    """
    from flows.cli import auditing

    return auditing.audit(file, as_json=as_json)


@click.command()
@click.argument("file", type=FILE, required=False)
@click.option("--data", help="Instead of a file: the data set.")
@data_root
@click.option("--recipe", help="How to train; default: the recipe of the data set.")
@click.option("--forget", multiple=True, type=int, help="Class index to leave out; repeatable.")
@click.option("--count", default=5, show_default=True, type=click.IntRange(1, 50))
@as_json
def references(file: Path | None, as_json: bool, **asked: Any) -> int:
    """List the retrained models that are kept; train those of a request or claim ahead of time.

    \b
    Examples:
      damp references
      damp references request.yaml
      damp references --data digits --forget 3 --count 5
    """
    from flows.cli import auditing

    return auditing.references(file, as_json=as_json, **asked)


COMMANDS = (audit, references)
