"""Commands about models and the data they come from."""

from __future__ import annotations

from typing import Any

import click

from flows.cli_options import as_json, data, data_root


@click.command()
@data
@data_root
@click.option("--name", required=True, help="Name of the model in the registry.")
@click.option("--recipe", help="How to train; default: the recipe of the data set.")
@click.option("--architecture", help="Instead of the recipe's: torchvision:resnet18, ...")
@click.option("--seed", default=0, show_default=True, help="Initialisation and shuffling.")
@as_json
def train(as_json: bool, **asked: Any) -> int:
    """Train a base model and register it as NAME@champion.

    \b
    Examples:
      damp train --data mnist --data-root ../shared/data --name mnist
      damp train --data imagefolder:photos --recipe default --name photos
    """
    from flows import commands

    return commands.train(as_json=as_json, **asked)


COMMANDS = (train,)
