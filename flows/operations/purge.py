"""`damp purge`: delete what still holds the class and is damp's own; say what is not.

Nothing is deleted before the event has passed and its model is in use, nor while another event
still needs the old weights or rows. What will be deleted is logged first, so that a purge which was
killed is finished by the next one.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compliance.ledger import Ledger, states
from compliance.signing import envelope
from flows.data import dvc_metadata, dvc_workspace
from flows.intake import requests
from flows.records import inventory
from flows.records.inventory import Artefact, Lineage
from flows.registry import client as tracking
from flows.state import event_ids, locks
from flows.state.errors import EventError
from flows.state.files import digest_file
from flows.state.paths import Attempt, Home

Facts = dict[str, Any]


def lineage_of(home: Home, event: str) -> Lineage:
    """What the event's inventory goes by, from its signed statements."""
    known = states.current(Ledger(home.ledger).entries(), event)
    told = [envelope.decoded(Attempt(home, event, n + 1).statement) for n in _numbers(known)]
    if not told:
        raise EventError(f"Event {event} has no statement yet: nothing is known to purge.")
    inputs = told[-1]["predicate"]["inputs"]
    failed = [t for t in told if t["predicate"]["verdict"]["result"] != "PASSED"]
    return Lineage(
        event=event,
        before=inputs["modelBefore"]["digest"]["sha256"],
        failed=tuple(dict.fromkeys(t["subject"][0]["digest"]["sha256"] for t in failed)),
        data=inputs["dataBefore"]["name"],
        source=requests.source_of(home, event),
        data_before=inputs["dataBefore"]["version"],
        data_after=inputs["dataAfter"]["version"],
    )


def _numbers(event: states.Event) -> range:
    return range(len(event.statements))


def plan(home: Home, event: str) -> list[Facts]:
    """What would be deleted and what would not, each with its size and why; nothing is touched."""
    whose = event_ids.whole(home, event)
    artefacts = inventory.inventory(home, lineage_of(home, whose))
    return [_planned(home, artefact) for artefact in artefacts]


def _planned(home: Home, artefact: Artefact) -> Facts:
    inside = _inside(home, artefact.files)
    return artefact.to_json() | {
        "deletes": bool(inside),
        "bytes": sum(map(_size, inside)),
        "files": [home.relative(path) for path in inside],
    }


def _inside(home: Home, files: Sequence[Path]) -> list[Path]:
    """Those that lie in the state folder, whatever links lead there: nothing else is deleted."""
    root = home.root.resolve()
    return [home.root / p.resolve().relative_to(root) for p in files if _under(p, root)]


def _under(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root) and not path.is_symlink()


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size if path.exists() else 0


def purge(home: Home, event: str) -> Facts:
    """Delete what is damp's own to delete, and log it.

    Returns:
        `deleted`: artefacts; `left`: those that are still there, with what to do about each.
    Raises:
        EventError: The event has not passed and been closed, or another event needs the old model
            or rows.
        BusyError: An event runs on this model.
    """
    whose = event_ids.whole(home, event)
    with locks.lineage(home, requests.lineage_of(home, whose)):
        lineage = lineage_of(home, whose)
        _refuse_too_early(home, whose)
        _refuse_needed(home, whose, lineage)
        doomed = _doomed(home, whose, lineage)
        if doomed:
            Ledger(home.ledger).append("purge_started", whose, {"artefacts": doomed})
            _delete(home, doomed, lineage)
            body = {"count": len(doomed), "artefacts": doomed}
            Ledger(home.ledger).append("artefacts_purged", whose, body)
        left = inventory.inventory(home, lineage)
    return {"event": whose, "deleted": doomed, "left": inventory.to_json(left)}


def _doomed(home: Home, event: str, lineage: Lineage) -> list[Facts]:
    """What is deleted now: all that is there, and what a purge that was killed had begun."""
    found = []
    for artefact in inventory.inventory(home, lineage):
        inside = _inside(home, artefact.files)
        if inside:
            found.append(
                {"artefact": artefact.artefact, "location": artefact.location}
                | {"files": [home.relative(path) for path in inside]}
                | ({"registered": list(artefact.registered)} if artefact.registered else {})
            )
    known = {(one["artefact"], one["location"]) for one in found}
    begun = _unfinished(home, event)
    return [*found, *(one for one in begun if (one["artefact"], one["location"]) not in known)]


def _unfinished(home: Home, event: str) -> list[Facts]:
    entries = Ledger(home.ledger).of(event)
    last = next(
        (e for e in reversed(entries) if e["kind"].startswith(("purge_", "artefacts_"))), None
    )
    return list(last["body"]["artefacts"]) if last and last["kind"] == "purge_started" else []


def _delete(home: Home, doomed: Sequence[Facts], lineage: Lineage) -> None:
    for one in doomed:
        for name in one["files"]:
            _remove(home, home.root / name)
        if one.get("registered"):
            _mark(home, *one["registered"])
    _collect(home, lineage)


def _remove(home: Home, path: Path) -> None:
    if not _under(path, home.root.resolve()):
        return
    if path.is_dir():
        shutil.rmtree(path)
        dvc_workspace.note(path).unlink(missing_ok=True)
    else:
        path.unlink(missing_ok=True)


def _mark(home: Home, name: str, version: str) -> None:
    """Say in the registry that a version's weights are gone; its record and lineage stay."""
    with tracking.opened(home) as client:
        client.set_model_version_tag(name, version, "damp.purged", "true")


def _collect(home: Home, lineage: Lineage) -> None:
    """Take the forgotten rows out of DVC's cache, unless another version still holds them."""
    if dvc_metadata.holders(home, lineage.data_before, lineage.data_after):
        return
    gone = dvc_metadata.forgotten(home, lineage.data_before, lineage.data_after)
    if not gone:
        return
    dvc_workspace.collect(home)
    still = [name for name in gone if dvc_metadata.cached(home, name).exists()]
    if still:
        raise EventError(
            f"DVC's cache still holds {len(still)} files of the forgotten rows after `dvc gc`: "
            f"look at {dvc_workspace.workspace(home)}, then run the same command again."
        )


def _refuse_too_early(home: Home, event: str) -> None:
    known = states.current(Ledger(home.ledger).entries(), event)
    over = known.state in (states.State.CLOSED, states.State.DEPLOYED)
    if not over or known.verdict != "PASSED":
        raise EventError(
            f"Event {event} is {known.state.value} with verdict {known.verdict or 'none'}: the old "
            "model is still what one would go back to. Purge once it has PASSED and the new model "
            "is in use."
        )


def _refuse_needed(home: Home, event: str, lineage: Lineage) -> None:
    """Other open events on the same weights or rows would find them gone, or bring them back."""
    needing = []
    for other in states.events(Ledger(home.ledger).entries()).values():
        if other.id != event and not other.ended and _needs(home, other, lineage):
            needing.append(other.id)
    if needing:
        raise EventError(
            f"These open events still need the old model or its rows: {', '.join(needing)}. Carry "
            "them out or end them first."
        )


def _needs(home: Home, other: states.Event, lineage: Lineage) -> bool:
    attempt = Attempt(home, other.id, max(other.attempt, 1))
    pinned = attempt.folder / "before.safetensors"
    if pinned.is_file() and digest_file(pinned) == lineage.before:
        return True
    return requests.source_of(home, other.id) == lineage.source
