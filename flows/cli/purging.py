"""What `damp purge` tells: a dry run first, then what was deleted and what is left."""

from __future__ import annotations

from pathlib import Path

from compliance.presentation.labels import PROPAGATION
from flows.cli import console
from flows.operations import purge
from flows.operations.purge import Deletion, PlannedArtefact, Purged
from flows.records.inventory import Artefact
from flows.state.paths import Home


def tell(root: Path, event: str, *, really: bool, as_json: bool) -> int:
    """`damp purge`."""
    home = Home(root)
    if not really:
        planned = purge.plan(home, event)
        if as_json:
            console.emit({"dry_run": True, "artefacts": [each.to_json() for each in planned]})
        else:
            _tell_plan(planned, event)
        return 0
    done = purge.purge(home, event)
    if as_json:
        console.emit(done.to_json())
    else:
        _tell_done(done)
    return 0


def _tell_plan(planned: list[PlannedArtefact], event: str) -> None:
    doomed = [one for one in planned if one.deletes]
    kept = [one for one in planned if not one.deletes]
    console.out.print(f"[bold]Would be deleted[/bold] ({_size(doomed)}):" if doomed else "Nothing.")
    for one in doomed:
        console.out.print(f"  {_line(one.artefact)}", markup=False, soft_wrap=True)
    console.out.print("[bold]Would stay[/bold], and why:")
    for artefact in (one.artefact for one in kept):
        console.out.print(f"  {_line(artefact)}. {artefact.note}", markup=False, soft_wrap=True)
    if doomed:
        console.out.print(f"Nothing was touched. To delete: damp purge --event {event} --yes")


def _tell_done(done: Purged) -> None:
    if not done.deleted:
        console.out.print("There was nothing left to delete.")
    for deletion in done.deleted:
        console.out.print(f"deleted  {_line(deletion)}", markup=False, soft_wrap=True)
    for artefact in done.left:
        word = PROPAGATION[artefact.status][0]
        console.out.print(
            f"{word}  {_line(artefact)}. {artefact.note}", markup=False, soft_wrap=True
        )
    console.out.print(f"Next: damp report --event {done.event} --open", soft_wrap=True)


def _line(one: Artefact | Deletion) -> str:
    return f"{one.artefact}: {one.location}"


def _size(planned: list[PlannedArtefact]) -> str:
    total = sum(one.size for one in planned)
    return f"{total / 1e6:.1f} MB" if total >= 1e5 else f"{total / 1e3:.1f} kB"
