"""Commands about models and the data they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from flows.cli import console
from flows.cli.options import (
    DONE,
    architecture,
    as_json,
    data,
    data_root,
    model,
    preprocessing,
    preset,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from flows.data.dataset import Dataset
    from flows.data.image_folder import Files
    from flows.operations.cost import Forecast
    from flows.operations.request_costs import Measured

COLUMNS = 6
"""Layers in the table of `damp cost`; `--json` has them all."""
DESTINATIONS = 3
"""Classes that the table names as the destination of a class."""


@click.command()
@data
@data_root
@click.option("--name", required=True, help="Name of the model in the registry.")
@click.option("--recipe", help="How to train; default: the recipe of the data set.")
@click.option("--architecture", help="Instead of the recipe's: torchvision:resnet18, ...")
@preprocessing
@click.option("--seed", default=0, show_default=True, help="Initialisation and shuffling.")
@as_json
def train(as_json: bool, **options: Any) -> int:
    """Train a base model and register it as NAME@champion.

    \b
    Examples:
      damp train --data mnist --data-root ../shared/data --name mnist
      damp train --data imagefolder:photos --recipe default --name photos
    """
    from flows.operations import train_base
    from flows.state.settings import prepared

    home = prepared()
    with console.bars():
        trained = train_base.base_model(home, **options)
    champion, dataset = f"{trained.name}@champion", options["data"]
    lines = [
        f"Registered {trained.name} version {trained.version}, test accuracy "
        f"{trained.test_accuracy:.4f}.",
        f"Weights: {trained.weights}",
        console.next_step(
            f"damp request --model {champion} --data {dataset} --forget 3 "
            "--regulation gdpr > request.yaml"
        ),
    ]
    console.answer(trained.to_json(), lines, as_json=as_json)
    return DONE


@click.command()
@click.argument("version", metavar="NAME/VERSION")
@click.option("--name", required=True, help="Under which damp registers it.")
@click.option(
    "--architecture", required=True, help="How its network is built: torchvision:resnet18, ..."
)
@data
@data_root
@as_json
def adopt(version: str, as_json: bool, **options: Any) -> int:
    """Take in a version that another pipeline has registered in MLflow, if it holds safetensors.

    Of one that mlflow.pytorch has logged, which is a pickle, the command that exports it is shown.

    \b
    Examples:
      damp adopt shop/7 --name shop-audited --architecture torchvision:resnet18 \\
          --data imagefolder:photos
    """
    from flows.operations import adopt as taking_in
    from flows.state.settings import prepared

    adopted = taking_in.adopt(prepared(), version, **options)
    lines = [
        f"Registered {adopted.name} version {adopted.version}, test accuracy "
        f"{adopted.test_accuracy:.4f}.",
        console.next_step(
            f"damp request --model {adopted.name}@champion --data {options['data']} --forget 3 "
            "--regulation gdpr > request.yaml"
        ),
    ]
    console.answer(adopted.to_json(), lines, as_json=as_json)
    return DONE


@click.command()
@click.argument("data")
@data_root
@as_json
def classes(data: str, data_root: Path | None, as_json: bool) -> int:
    """Print the classes of a data set: index, folder, images.

    The index is what a request holds, and the place of the class among the model's outputs.

    \b
    Examples:
      damp classes imagefolder:photos
      damp classes mnist --data-root ../shared/data --json
    """
    from flows.data import class_names, image_folder, loaders

    spec = class_names.spec(data, data_root)
    files = image_folder.of_spec(spec)  # counted without reading a pixel
    shown = loaders.load(spec) if files is None else files
    rows = _file_rows(files) if files is not None else _class_rows(loaders.load(spec))
    left_out = (f"Left out, {each.reason}: {each.count}" for each in shown.left_out)
    lines: list[Table | str] = [_class_table(rows), *left_out]
    console.answer(rows, lines, as_json=as_json)
    return DONE


def _file_rows(files: Files) -> list[dict[str, Any]]:
    counted = Counter((image.part, image.label) for image in files.images)
    return [
        {
            "index": index,
            "folder": folder,
            "train": counted["train", index],
            "test": counted["test", index],
        }
        for index, folder in enumerate(files.classes)
    ]


def _class_rows(dataset: Dataset) -> list[dict[str, Any]]:
    names = dataset.class_names
    return [
        {
            "index": index,
            "folder": names[index] if names else None,
            "train": int((dataset.train_labels == index).sum()),
            "test": int((dataset.test_labels == index).sum()),
        }
        for index in range(dataset.classes)
    ]


def _class_table(rows: list[dict[str, Any]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    drawn = Table()
    for name in ("index", "folder", "train", "test"):
        drawn.add_column(name, justify="left" if name == "folder" else "right")
    for row in rows:
        folder = Text(repr(row["folder"])[1:-1] if row["folder"] else "-")
        drawn.add_row(str(row["index"]), folder, str(row["train"]), str(row["test"]))
    return drawn


@click.command()
@model
@architecture
@data
@data_root
@click.option(
    "--forget", multiple=True, help="Class index, or its folder's name; repeatable. Default: all."
)
@preset()
@click.option("--gain", default=1.0, show_default=True, help="Above 1 forgets more, keeps less.")
@as_json
def cost(forget: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Predict what forgetting each class would take, without changing anything.

    One pass over the training data measures the model; the statistics are kept, and the next
    request on the same model needs no pass. Below, by what was measured in this state folder: what
    10, 100 and 1,000 requests cost in full trainings, by retraining for each, by cuts that are
    compared with retrained models (L3), and by cuts under a qualification.

    \b
    Examples:
      damp cost --model digits@champion --data digits
      damp cost --model net.safetensors --architecture damp:cnn --data digits --forget 3 --json
    """
    from flows.data import class_names
    from flows.intake import foreseen
    from flows.intake.forecasts import seconds_of_last
    from flows.operations import cost as forecasts
    from flows.operations import request_costs
    from flows.state.settings import prepared

    home = prepared()
    with console.bars():
        indices = class_names.indices(forget, options["data"], options["data_root"])
        forecast = forecasts.cost(home, forget=indices, **options)
    measured = request_costs.measured(home)
    answer = forecast.to_json() | {"requests": measured.to_json()}
    expected = [*foreseen.of_model(forecast.plans), *foreseen.of_steps(seconds_of_last(home))]
    lines = [*_lines(forecast), *expected, *_requests(measured)]
    console.answer(answer, lines, as_json=as_json)
    return DONE


def _lines(forecast: Forecast) -> Iterator[Table | str]:
    yield _strengths(forecast)
    yield (
        "Strength: how much of the class's direction would be taken out of what a layer reads "
        "(1 is all). Disturbance: share of the other classes' variance that goes with it, at the "
        "layer where it is largest."
    )


def _requests(measured: Measured) -> Iterator[Table | str]:
    """Three ways to answer requests side by side, where all of their parts were measured."""
    from compliance.qualification.costing import Setting
    from flows.operations import request_costs

    prices, setting = measured.prices, Setting()
    if prices is None:
        yield (
            "What requests cost by retraining, at L3 and under a qualification can be compared "
            f"once this was measured here: {', '.join(measured.lacking)}."
        )
        return
    rows = [
        {
            "requests": each.requests,
            "retrain each": f"{each.retrain:.0f}",
            "cut, L3": f"{each.level_3:.0f}",
            "cut, qualified": f"{each.qualified:.0f}",
        }
        for each in request_costs.compared(prices, setting)
    ]
    table = console.table(rows)
    table.title = "full trainings, those of a study included"
    yield table
    first = request_costs.compared(prices, setting)[0]
    yield (
        f"With {setting.references} retrained models a class, {setting.studied} classes studied, "
        f"{setting.spot_checks:.0%} of the events checked later: a study pays from "
        f"{first.beats_level_3} requests on against L3, "
        f"{_from(first.beats_retraining)} against retraining. One training takes "
        f"{measured.training} s, a cut {measured.cut} s, its audit {measured.alone} s without "
        f"retrained models and {measured.audit} s with them (means of this state folder)."
    )


def _from(count: int | None) -> str:
    return "never" if count is None else f"from {count} on"


def _strengths(forecast: Forecast) -> Table:
    """One line per class: strength at some layers, first to last, and where it would go."""
    from rich.table import Table

    names = [operator.name for operator in forecast.classes[0].operators]
    places = _spread(len(names))
    drawn = Table(title=f"strength per layer ({forecast.preset}, gain {forecast.gain:g})")
    drawn.add_column("class", justify="right")
    drawn.add_column("samples", justify="right")
    for place in places:
        drawn.add_column(names[place] or "(the model)", justify="right", overflow="fold")
    drawn.add_column("disturbance of others", justify="right")
    drawn.add_column("would go to")
    for cost in forecast.classes:
        drawn.add_row(
            str(cost.forget),
            str(cost.samples),
            *(f"{cost.operators[place].strength:.2f}" for place in places),
            f"{max(operator.disturbance for operator in cost.operators):.1%}",
            ", ".join(f"{label} ({share:.0%})" for label, share in cost.destination[:DESTINATIONS]),
        )
    return drawn


def _spread(count: int) -> list[int]:
    """Places of at most `COLUMNS` layers, the first and the last among them.

    >>> _spread(4), _spread(11)
    ([0, 1, 2, 3], [0, 2, 4, 6, 8, 10])
    """
    if count <= COLUMNS:
        return list(range(count))
    return [round(place * (count - 1) / (COLUMNS - 1)) for place in range(COLUMNS)]
