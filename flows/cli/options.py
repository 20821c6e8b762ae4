"""What the commands share: options, types of arguments, exit codes, the state folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click

from compliance.formats.timestamps import parse_utc
from damp.catalogue import DEFAULT_PRESET, PRESETS
from flows.state.paths import Home

DONE, INVALID, NOT_PASSED, INTERRUPTED = 0, 1, 2, 130

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)

as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
attempt = click.option(
    "--attempt", "number", type=click.IntRange(1), help="[default: the last one]"
)
allow_code = click.option(
    "--allow-code",
    "allow",
    metavar="MODULE",
    multiple=True,
    help="Module of the other side that may run, apart from all keys; repeatable.",
)
architecture = click.option(
    "--architecture", help="For a file: damp:cnn, torchvision:resnet18, ..."
)
data = click.option(
    "--data",
    required=True,
    help="Data set: digits, imagefolder:PATH, webdataset:PATH, hf:PATH, package.module:name.",
)
data_root = click.option("--data-root", type=FOLDER, help="Where the data set's files lie.")
event = click.argument("event")
model = click.option(
    "--model", required=True, help="NAME@ALIAS or NAME/VERSION, or a .safetensors file."
)
preprocessing = click.option(
    "--preprocessing",
    help="What it sees of an image: torchvision:WEIGHTS, timm:FILE, hf:FILE, or a YAML file.",
)
trust = click.option(
    "--trust", type=FILE, help="Trusted keys. [default: trust.json of the state folder]"
)

Decorator = Callable[[Callable[..., int]], Callable[..., int]]


def preset(*more: str) -> Decorator:
    """The option that names a preset of damp's table, or one of `more` ways."""
    *first, last = (*sorted(PRESETS, key=lambda name: name != DEFAULT_PRESET), *more)
    help_text = f"{', '.join(first)} or {last}."
    return click.option("--preset", default=DEFAULT_PRESET, show_default=True, help=help_text)


def intervals(command: Callable[..., int]) -> Callable[..., int]:
    """The options of what runs on a schedule."""
    for name, default, what in (
        ("--scan", "6h", "How often the registry is scanned."),
        ("--checks", "1d", "How often drawn events under a qualification are spot-checked."),
        ("--reaudits", "1d", "How often re-audits that are due are looked for."),
        ("--every", "60s", "How often pending requests are carried out: 60s, 15m, 6h, 1d."),
    ):
        command = click.option(name, default=default, show_default=True, help=what)(command)
    return command


def time_of(text: str | None, option: str) -> datetime | None:
    """The time that was given to an option, None where none was.

    Raises:
        BadParameter: It is no time with a zone.
    """
    if text is None:
        return None
    try:
        return parse_utc(text)
    except ValueError as error:
        raise click.BadParameter(
            "write a time with its zone, like 2026-02-10T09:00+01:00.", param_hint=option
        ) from error


def home() -> Home:
    """The state folder, without the settings' imports: light commands need no more."""
    return Home(Path(os.environ.get("DAMP_HOME", ".damp")).expanduser().absolute())
