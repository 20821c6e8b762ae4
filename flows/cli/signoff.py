"""Commands that add a signature: to the statement of an event, or to a statement's file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli import console
from flows.cli.options import DONE, FILE, as_json, event, home, trust

if TYPE_CHECKING:
    from flows.intake.signoff import Countersigned


@click.command()
@event
@click.option("--role", default="reviewer", show_default=True, help="Whose sign-off.")
@click.option("--signed", type=FILE, help="A copy of the statement that `damp sign` has signed.")
@as_json
def approve(event: str, role: str, signed: Path | None, as_json: bool) -> int:
    """Sign off a PASSED statement, or take over a signature made elsewhere.

    \b
    Examples:
      damp approve 5f0c7c2e
      damp approve 5f0c7c2e --signed statement-signed-by-the-reviewer.dsse.json
    """
    from flows.cli import requests
    from flows.intake import signoff

    place = home()
    signature = signoff.approve(place, event, role=role, signed=signed)
    row = requests.current_row(place, signature.event)
    lines = [_words("Signed off", signature), *requests.following(row)]
    console.answer(row.to_json() | signature.to_json(), lines, as_json=as_json)
    return DONE


@click.command()
@click.argument("statement", type=FILE)
@click.option("--role", default="reviewer", show_default=True, help="What the key signs as.")
@trust
@click.option("--output", "-o", type=FILE, help="Where to write it. [default: the same file]")
@as_json
def sign(statement: Path, as_json: bool, **options: Any) -> int:
    """Add a signature to a statement that holds: the same bytes, a second role.

    \b
    Examples:
      damp sign statement.dsse.json --role reviewer --trust trust.json -o signed.dsse.json
    """
    from flows.intake import signoff

    signature = signoff.sign(home(), statement, **options)
    lines = [_words("Signed", signature), f"Written to {signature.file}"]
    console.answer(signature.to_json(), lines, as_json=as_json)
    return DONE


def _words(what: str, signature: Countersigned) -> str:
    return (
        f"{what} as {signature.role} with key {signature.keyid[:16]}:\n"
        f"  verdict {signature.verdict}, statement {signature.digest[:16]}, model "
        f"{signature.subject[:16]}\n  {signature.claim}"
    )
