"""`damp doctor`: what would keep an event from running here, each with its remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from flows.cli import console
from flows.cli.options import as_json

if TYPE_CHECKING:
    from rich.text import Text

    from flows.operations.doctor import HealthCheck

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@as_json
def doctor(as_json: bool) -> int:
    """Look for what is wrong: versions, ports, disk, keys, clocks, servers, permissions.

    Exit code 1 where something would keep an event from running.

    \b
    Examples:
      damp doctor
    """
    from flows.operations.doctor import BAD, examine
    from flows.state.settings import prepared

    checks = examine(prepared())
    console.answer([check.to_json() for check in checks], _lines(checks), as_json=as_json)
    return int(any(check.level == BAD for check in checks))


def _lines(checks: Sequence[HealthCheck]) -> Iterator[Text | str]:
    from rich.text import Text

    for check in checks:
        level = (f"{check.level:<8}", COLOURS[check.level])
        yield Text.assemble(level, f" {check.what:<13} {check.finding}")
        if check.remedy:
            yield f"{'':22} → {check.remedy}"
