"""Commands about what still holds the class: copies that are declared, and those damp deletes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from flows.cli import console
from flows.cli.options import DONE, as_json, event, home

if TYPE_CHECKING:
    from rich.text import Text

    from flows.operations.purge import Deletion, PlannedArtefact, Purged
    from flows.records.artefacts import Artefact


@click.command()
@event
@click.option("--artefact", help="What it is, as in: nightly backup.")
@click.option("--location", help="Where it is.")
@click.option("--status", help="DELETED, QUARANTINED, EXPIRES_ON, RETAINED, UNKNOWN.")
@click.option("--until", default="", help="With EXPIRES_ON: the date, as in 2027-01-31.")
@click.option("--note", default="", help="More about it; no person's name.")
@click.option("--complete", is_flag=True, help="Say that there are no copies but those declared.")
@click.option("--role", default="", help="With --complete: the role that says so.")
@as_json
def declare(event: str, complete: bool, role: str, as_json: bool, **artefact: Any) -> int:
    """Log what became of a copy outside the state folder, or that there are no others.

    \b
    Examples:
      damp declare 5f0c7c2e --artefact "nightly backup" --location tape --status EXPIRES_ON \\
          --until 2027-01-31
      damp declare 5f0c7c2e --complete --role privacy-desk
    """
    from flows.cli import requests
    from flows.intake import lifecycle

    if complete:
        return requests.transition(lifecycle.declare_complete, event, as_json=as_json, role=role)
    missing = [name for name in ("artefact", "location", "status") if not artefact[name]]
    if missing:
        raise click.UsageError(f"Missing option --{missing[0]}, or say --complete.")
    return requests.transition(lifecycle.declare, event, as_json=as_json, **artefact)


@click.command()
@click.option("--event", required=True, help="Whose old weights and forgotten rows.")
@click.option("--yes", is_flag=True, help="Delete; without it only what would be is shown.")
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, as without --yes.")
@as_json
def purge(event: str, yes: bool, dry_run: bool, as_json: bool) -> int:
    """Delete what still holds the class and is damp's own: old weights, copies, caches, rows.

    First a dry run, which also says what keeps the event from being purged. Nothing is deleted
    before the event has PASSED and its model is in use.

    \b
    Examples:
      damp purge --event 5f0c7c2e --dry-run
      damp purge --event 5f0c7c2e --yes
    """
    from flows.operations import purge as copies

    if yes and dry_run:
        raise click.UsageError("--yes deletes and --dry-run does not: give one of them.")
    if yes:
        result = copies.purge(home(), event)
        console.answer(result.to_json(), _deleted(result), as_json=as_json)
    else:
        planned, obstacles = copies.plan(home(), event), copies.obstacles(home(), event)
        page = {
            "dry_run": True,
            "allowed": not obstacles,
            "obstacles": obstacles,
            "artefacts": [copy.to_json() for copy in planned],
        }
        console.answer(page, _planned(planned, obstacles, event), as_json=as_json)
    return DONE


def _planned(
    planned: Sequence[PlannedArtefact], obstacles: Sequence[str], event: str
) -> Iterator[Text | str]:
    from rich.text import Text

    doomed = [copy for copy in planned if copy.deletes]
    head = ("Would be deleted", "bold"), f" ({_size(doomed)}):"
    yield Text.assemble(*head) if doomed else "Nothing."
    yield from (f"  {_place(copy.artefact)}" for copy in doomed)
    yield Text.assemble(("Would stay", "bold"), ", and why:")
    kept = [copy.artefact for copy in planned if not copy.deletes]
    yield from (f"  {_place(copy)}. {copy.note}" for copy in kept)
    if obstacles:
        yield Text.assemble(("It may not be purged now", "bold"), ", and nothing was touched:")
        yield from (f"  {obstacle}" for obstacle in obstacles)
    elif doomed:
        yield f"Nothing was touched. To delete: damp purge --event {event} --yes"


def _deleted(result: Purged) -> Iterator[str]:
    from compliance.presentation.labels import PROPAGATION

    if not result.deleted:
        yield "There was nothing left to delete."
    yield from (f"deleted  {_place(copy)}" for copy in result.deleted)
    for copy in result.left:
        yield f"{PROPAGATION[copy.status][0]}  {_place(copy)}. {copy.note}"
    yield console.next_step(f"damp report --event {result.event} --open")


def _place(copy: Artefact | Deletion) -> str:
    return f"{copy.artefact}: {copy.location}"


def _size(copies: Sequence[PlannedArtefact]) -> str:
    total = sum(copy.size for copy in copies)
    return f"{total / 1e6:.1f} MB" if total >= 1e5 else f"{total / 1e3:.1f} kB"
