"""What the commands share: options, types of arguments, exit codes, the state folder."""

from __future__ import annotations

import os
from pathlib import Path

import click

DONE, INVALID, NOT_PASSED, INTERRUPTED = 0, 1, 2, 130

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)

as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
data = click.option(
    "--data", required=True, help="Data set: digits, mnist, imagefolder:PATH, package.module:name."
)
data_root = click.option("--data-root", type=FOLDER, help="Where the data set's files lie.")


def home() -> Path:
    """The state folder, without the settings' imports: light commands need no more."""
    return Path(os.environ.get("DAMP_HOME", ".damp")).expanduser().absolute()
