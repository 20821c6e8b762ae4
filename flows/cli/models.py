"""Commands about models and the data they come from."""

from __future__ import annotations

from typing import Any

import click

from flows.cli.options import as_json, data, data_root


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
    from flows.cli import commands

    return commands.train(as_json=as_json, **asked)


@click.command()
@click.option("--model", required=True, help="NAME@ALIAS or NAME/VERSION, or a .safetensors file.")
@click.option("--architecture", help="For a file: damp:cnn, torchvision:resnet18, ...")
@data
@data_root
@click.option("--forget", multiple=True, type=int, help="Class index; repeatable. Default: all.")
@click.option(
    "--preset",
    default="mended",
    show_default=True,
    help="mended, mixture, rewritten or paper.",
)
@click.option("--gain", default=1.0, show_default=True, help="Above 1 forgets more, keeps less.")
@as_json
def cost(as_json: bool, **asked: Any) -> int:
    """Predict what forgetting each class would take, without changing anything.

    One pass over the training data measures the model; the statistics are kept, and the next
    request on the same model needs no pass.

    \b
    Examples:
      damp cost --model digits@champion --data digits
      damp cost --model net.safetensors --architecture damp:cnn --data digits --forget 3 --json
    """
    from flows.cli import commands

    return commands.cost(as_json=as_json, **asked)


COMMANDS = (train, cost)
