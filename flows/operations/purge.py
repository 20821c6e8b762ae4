"""`damp purge`: delete what still holds the class and is damp's own; say what is not.

Nothing is deleted before the event has passed and its model is in use, nor while another event
still needs the old weights or rows. What will be deleted is logged first, so that a purge which was
killed is finished by the next one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance.ledger import Ledger, states
from compliance.signing import envelope
from flows.data import dvc_metadata, dvc_workspace
from flows.intake import requests
from flows.records import inventory
from flows.records.artefacts import Artefact, RegisteredCopy
from flows.records.inventory import Scope
from flows.registry import VersionTags, open_registry, version_of
from flows.state import event_ids, locks
from flows.state.errors import EventError
from flows.state.files import digest_file
from flows.state.paths import Attempt, Home


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedArtefact:
    """An artefact and what a purge would do to it.

    Attributes:
        artefact: What it is, where, and what to do about it.
        files: Those that would be deleted, relative to the state folder.
        size: Of these files, in bytes.
    """

    artefact: Artefact
    files: tuple[str, ...]
    size: int

    @property
    def deletes(self) -> bool:
        """Whether a purge deletes anything of it."""
        return bool(self.files)

    def to_json(self) -> dict[str, Any]:
        return self.artefact.to_json() | {
            "deletes": self.deletes,
            "bytes": self.size,
            "files": list(self.files),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """An artefact that a purge deletes, as the ledger has it.

    Attributes:
        artefact: What it is.
        location: Where.
        files: Relative to the state folder.
        registered: The version of the registry whose weights these are.
    """

    artefact: str
    location: str
    files: tuple[str, ...]
    registered: RegisteredCopy | None = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Deletion:
        """What `to_json` wrote."""
        copy = body.get("registered")
        return cls(
            artefact=body["artefact"],
            location=body["location"],
            files=tuple(body["files"]),
            registered=RegisteredCopy(name=copy[0], version=int(copy[1])) if copy else None,
        )

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "artefact": self.artefact,
            "location": self.location,
            "files": list(self.files),
        }
        if self.registered is not None:
            body["registered"] = [self.registered.name, str(self.registered.version)]
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What a purge has deleted, and what is still there with what to do about each."""

    event: str
    deleted: tuple[Deletion, ...]
    left: tuple[Artefact, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "event": self.event,
            "deleted": [deletion.to_json() for deletion in self.deleted],
            "left": inventory.to_json(self.left),
        }


def scope_of(home: Home, event: str) -> Scope:
    """What the event's inventory goes by, from its signed statements."""
    count = len(states.current(Ledger(home.ledger).entries(), event).statements)
    statements = [
        envelope.decoded(Attempt(home, event, number).statement) for number in range(1, count + 1)
    ]
    if not statements:
        raise EventError(f"Event {event} has no statement yet: nothing is known to purge.")
    predicate = statements[-1]["predicate"]
    inputs, registration = predicate["inputs"], predicate["registration"]
    data = inputs["dataBefore"]
    failed = (_subject(each) for each in statements if not _passed(each))
    return Scope(
        event=event,
        before=inputs["modelBefore"]["digest"]["sha256"],
        failed=tuple(dict.fromkeys(failed)),
        data=data["name"],
        source=requests.source_of(home, event),
        data_before=data["version"],
        data_after=inputs["dataAfter"]["version"],
        forget=tuple(predicate["request"]["scope"]["indices"]),
        file=requests.named_file(requests.request_of(home, event), requests.origin_of(home, event)),
        name=registration["name"] if registration else None,
    )


def _subject(statement: Mapping[str, Any]) -> str:
    """SHA-256 of the model that a statement is about."""
    return str(statement["subject"][0]["digest"]["sha256"])


def _passed(statement: Mapping[str, Any]) -> bool:
    return bool(statement["predicate"]["verdict"]["result"] == "PASSED")


def plan(home: Home, event: str) -> list[PlannedArtefact]:
    """What would be deleted and what would not, each with its size and why; nothing is touched."""
    whose = event_ids.whole(home, event)
    artefacts = inventory.inventory(home, scope_of(home, whose))
    return [_planned(home, artefact) for artefact in artefacts]


def _planned(home: Home, artefact: Artefact) -> PlannedArtefact:
    inside = _inside(home, artefact.files)
    return PlannedArtefact(
        artefact=artefact,
        files=tuple(home.relative(path) for path in inside),
        size=sum(map(_size, inside)),
    )


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


def purge(home: Home, event: str) -> Purged:
    """Delete what is damp's own to delete, and log it.

    Raises:
        EventError: The event has not passed and been closed, or another event needs the old model
            or rows.
        BusyError: An event runs on this model.
    """
    whose = event_ids.whole(home, event)
    with locks.lineage(home, requests.lineage_of(home, whose)):
        scope = scope_of(home, whose)
        if problems := list(_obstacles(home, whose, scope)):
            raise EventError(" ".join(problems))
        deletions = _deletions(home, whose, scope)
        if deletions:
            artefacts = [deletion.to_json() for deletion in deletions]
            Ledger(home.ledger).append("purge_started", whose, {"artefacts": artefacts})
            _delete(home, deletions, scope)
            body = {"count": len(artefacts), "artefacts": artefacts}
            Ledger(home.ledger).append("artefacts_purged", whose, body)
        left = inventory.inventory(home, scope)
    return Purged(event=whose, deleted=tuple(deletions), left=tuple(left))


def _deletions(home: Home, event: str, scope: Scope) -> list[Deletion]:
    """What is deleted now: all that is there, and what a purge that was killed had begun."""
    present = [
        Deletion(
            artefact=artefact.artefact,
            location=artefact.location,
            files=tuple(home.relative(path) for path in inside),
            registered=artefact.registered,
        )
        for artefact in inventory.inventory(home, scope)
        if (inside := _inside(home, artefact.files))
    ]
    names = {(each.artefact, each.location) for each in present}
    begun = _unfinished(home, event)
    return [*present, *(each for each in begun if (each.artefact, each.location) not in names)]


def _unfinished(home: Home, event: str) -> list[Deletion]:
    """What the event's last purge set out to delete, where it was killed on the way."""
    entries = Ledger(home.ledger).of(event)
    last = next((e for e in reversed(entries) if e.kind.startswith(("purge_", "artefacts_"))), None)
    begun = last.body["artefacts"] if last and last.kind == "purge_started" else []
    return [Deletion.from_json(body) for body in begun]


def _delete(home: Home, deletions: Sequence[Deletion], scope: Scope) -> None:
    for deletion in deletions:
        for name in deletion.files:
            _remove(home, home.root / name)
        if deletion.registered is not None:
            _mark(home, deletion.registered)
    _collect(home, scope)


def _remove(home: Home, path: Path) -> None:
    if not _under(path, home.root.resolve()):
        return
    if path.is_dir():
        shutil.rmtree(path)
        dvc_workspace.note(path).unlink(missing_ok=True)
    else:
        path.unlink(missing_ok=True)


def _mark(home: Home, copy: RegisteredCopy) -> None:
    """Say in the registry that a version's weights are gone; its record and lineage stay."""
    with open_registry(home) as registry:
        version = version_of(registry, copy.name, copy.version)
        registry.set_tags(version, VersionTags(purged=True))


def _collect(home: Home, scope: Scope) -> None:
    """Take the forgotten rows out of DVC's cache, unless another version still holds them."""
    if dvc_metadata.holders(home, scope.data_before, scope.data_after):
        return
    gone = dvc_metadata.forgotten(home, scope.data_before, scope.data_after)
    if not gone:
        return
    dvc_workspace.collect(home)
    still = [name for name in gone if dvc_metadata.cached(home, name).exists()]
    if still:
        raise EventError(
            f"DVC's cache still holds {len(still)} files of the forgotten rows after `dvc gc`: "
            f"look at {dvc_workspace.workspace(home)}, then run the same command again."
        )


def obstacles(home: Home, event: str) -> list[str]:
    """Why nothing of the event may be deleted now; empty where it may."""
    whose = event_ids.whole(home, event)
    return list(_obstacles(home, whose, scope_of(home, whose)))


def _obstacles(home: Home, event: str, scope: Scope) -> Iterator[str]:
    yield from _too_early(home, event)
    yield from _needed(home, event, scope)


def _too_early(home: Home, event: str) -> Iterator[str]:
    now = states.current(Ledger(home.ledger).entries(), event)
    over = now.state in (states.State.CLOSED, states.State.DEPLOYED)
    if not over or now.verdict != "PASSED":
        yield (
            f"Event {event} is {now.state.value} with verdict {now.verdict or 'none'}: the old "
            "model is still what one would go back to. Purge once it has PASSED and the new model "
            "is in use."
        )


def _needed(home: Home, event: str, scope: Scope) -> Iterator[str]:
    """Other open events on the same weights or rows would find them gone, or bring them back."""
    needing = []
    for other in states.events(Ledger(home.ledger).entries()).values():
        if other.id != event and not other.ended and _needs(home, other, scope):
            needing.append(other.id)
    if needing:
        yield (
            f"These open events still need the old model or its rows: {', '.join(needing)}. Carry "
            "them out or end them first."
        )


def _needs(home: Home, other: states.Event, scope: Scope) -> bool:
    attempt = Attempt(home, other.id, max(other.attempt, 1))
    pinned = attempt.folder / "before.safetensors"
    if pinned.is_file() and digest_file(pinned) == scope.before:
        return True
    return requests.source_of(home, other.id) == scope.source
