"""`damp inspect`: the first look at data and a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from flows.cli import console
from flows.cli.options import DONE, architecture, as_json, data, data_root, preprocessing

if TYPE_CHECKING:
    from rich.table import Table

    from flows.operations.inspection_facts import Inspection, Support

SHOWN = 40
"""Classes in the table; `--json` has them all."""


@click.command("inspect")
@data
@data_root
@click.option("--model", help="NAME@ALIAS or NAME/VERSION, or a .safetensors file.")
@architecture
@preprocessing
@click.option("--recipe", help="How it was trained, for what a request would take.")
@as_json
def inspect(as_json: bool, **options: Any) -> int:
    """Say what data and model are, and what a request about them would take.

    Classes, images, sizes; how the model sees an image, by what it does best with; its accuracy by
    class; what the surgery can cut; time and disk of a request, and which policies have enough
    images.

    \b
    Examples:
      damp inspect --data imagefolder:photos
      damp inspect --data imagefolder:photos --model m.safetensors --architecture torchvision:resnet18
    """  # noqa: E501 - a command line is one line
    from flows.operations import inspection
    from flows.state.settings import prepared

    home = prepared()
    with console.bars():
        result = inspection.inspect(home, **options)
    console.answer(result.to_json(), _lines(result), as_json=as_json)
    return DONE


def _lines(result: Inspection) -> Iterator[Table | str]:
    rows = result.classes
    train, test = sum(row.train for row in rows), sum(row.test for row in rows)
    yield f"{result.data}: {len(rows)} classes, {train} training and {test} held-out images."
    if result.sizes is not None:
        yield from _size_lines(result)
    yield from (f"Left out, {reason}: {count}." for reason, count in result.left_out.items())
    yield _table(result)
    if result.reach is not None:
        yield from _model_lines(result)
    if result.disk:
        yield (
            f"Decoded images take {_bytes(result.disk)} under the state folder, where "
            f"{_bytes(result.free)} are free."
            + (
                " That is too little: images would be decoded anew in every pass, which gives the "
                "same result and takes longer."
                if result.disk > result.free
                else ""
            )
        )
    newest = in_force(support.policy for support in result.supports)
    for support in result.supports:
        if support.policy in newest:
            yield _policy_line(support, len(rows))
    from flows.intake import foreseen

    yield from foreseen.of_model(result.plans)
    yield from foreseen.of_steps(result.seconds)


def in_force(names: Iterable[str]) -> set[str]:
    """Shipped policies without those that a later version has superseded.

    >>> sorted(in_force(["demo-v1", "demo-v3", "l2-v2"]))
    ['demo-v3', 'l2-v2']
    """
    newest: dict[str, str] = {}
    for name in sorted(names, key=lambda each: int(each.rpartition("-v")[2])):
        newest[name.rpartition("-v")[0]] = name
    return set(newest.values())


def _size_lines(result: Inspection) -> Iterator[str]:
    sizes = result.sizes
    if sizes is None:
        return
    least, middle, greatest = (f"{w}x{h}" for w, h in (sizes.least, sizes.middle, sizes.greatest))
    modes = ", ".join(f"{count} {mode}" for mode, count in sizes.modes.items())
    yield f"Of {sizes.files} files: {least} to {greatest}, middle {middle}; {modes}."
    if sizes.turned:
        yield (
            f"In {sizes.turned} of them a camera noted that they have to be turned. torchvision "
            "and timm pass that over; if the model was shown them upright, its preprocessing has "
            "`orientation: exif`."
        )
    if sizes.broken:
        yield f"{sizes.broken} of them cannot be opened: a request would name each and stop."


def _model_lines(result: Inspection) -> Iterator[str]:
    applied = result.preprocessing.in_words() if result.preprocessing else "images as they are"
    how = "guessed" if result.guessed else "given"
    yield f"Preprocessing ({how}): {applied}."
    if len(result.tried) > 1:
        every = "; ".join(
            f"{accuracy:.0%} with {words}" for words, accuracy in result.tried.items()
        )
        yield f"Tried: {every}."
    if result.accuracy is not None:
        yield f"Accuracy, mean over the classes: {result.accuracy:.1%}."
    reach = result.reach
    if reach is not None:
        share = reach.cut / reach.parameters
        yield (
            f"The surgery can cut {reach.operators} layers with {share:.1%} of "
            f"{reach.parameters:,} parameters; {len(reach.left)} layers stay."
        )


def _table(result: Inspection) -> Table:
    from rich.table import Table

    drawn = Table()
    for name in ("class", "train", "held out", "recognised"):
        drawn.add_column(name, justify="right")
    for row in result.classes[:SHOWN]:
        accuracy = "-" if row.accuracy is None else f"{row.accuracy:.0%}"
        drawn.add_row(str(row.index), str(row.train), str(row.test), accuracy)
    if len(result.classes) > SHOWN:
        drawn.add_row("...", "", "", "")
    return drawn


def _policy_line(support: Support, classes: int) -> str:
    takes = f"; a request takes {_minutes(support.minutes)}" if support.minutes else ""
    if support.out_of_reach:
        return f"{support.policy}: no pass can be reached. {' '.join(support.out_of_reach)}"
    if not support.too_small:
        return f"{support.policy}: enough images of every class{takes}."
    if len(support.too_small) == classes:
        return f"{support.policy}: no class has enough images."
    few = ", ".join(map(str, support.too_small[:10]))
    more = f" and {len(support.too_small) - 10} more" if len(support.too_small) > 10 else ""
    return f"{support.policy}: too few images of classes {few}{more}{takes}."


def _minutes(count: float) -> str:
    """A time for people.

    >>> _minutes(0.3), _minutes(12.4)
    ('less than a minute', 'about 12 min')
    """
    return "less than a minute" if count < 1 else f"about {count:.0f} min"


def _bytes(count: int) -> str:
    """A size for people.

    >>> _bytes(1500), _bytes(2_500_000_000)
    ('0.0 GB', '2.5 GB')
    """
    return f"{count / 1e9:.1f} GB"
