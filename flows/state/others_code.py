"""Code that a claim or a replayed record brings along: nothing of it runs unless it was allowed.

A claim's `data:`, `architecture:` and `recipe:` may name any callable of any module that can be
imported. `--allow-code MODULE` allows one module; its file is pinned by its digest, and it runs in
a process of its own (`isolated`), never where a key or a passphrase is.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path

from compliance.ledger import Ledger
from flows.state import code_files, import_path, users_code
from flows.state.errors import EventError
from flows.state.files import digest_file, write_atomically
from flows.state.paths import Home

OURS = frozenset({"damp", "torchvision", "timm", "hf", "imagefolder", "webdataset"})
"""Families of architectures and data that damp itself builds and reads, by what stands before ':'.

`flows.models.architectures.build` and `flows.data.loaders.load` ask for these first.
"""
INSIDE = "DAMP_ALLOWED_CODE"
"""Set in a process that runs such code (`flows.servers.isolated`): the modules, by comma."""
RECORD = "DAMP_CODE_READ"
"""Set there too: the file that is written to when code is read (`code_files.Watch`)."""
EVENT_KEY = "DAMP_EVENT_KEY"
"""And there, for one event: what its rows are committed to with, in place of the home's key."""
KEY = "code:"
"""Begins the name of a module among the files of a claim that are pinned by their digests."""


def modules(texts: Iterable[str | None]) -> list[str]:
    """The modules of those texts that have the form `package.module:callable`.

    >>> modules(["damp:cnn", "theirs:network", "theirs:data", None])
    ['theirs']
    """
    names = {text.partition(":")[0] for text in texts if text and import_path.is_import_path(text)}
    return sorted(names - OURS)


def allowed(
    texts: Iterable[str | None], allow: Collection[str], *, document: Path
) -> dict[str, str]:
    """SHA-256 of the file of every module that a document names, by its name.

    Args:
        texts: What it names: data, architectures.
        allow: The modules that were allowed.
        document: For the message.
    Raises:
        EventError: One was not allowed, or has no file. Nothing of it has been imported.
    """
    named = modules(texts)
    if missing := [name for name in named if name not in allow]:
        places = "; ".join(f"{name} ({_file(name) or 'no file of that name'})" for name in missing)
        options = " ".join(f"--allow-code {name}" for name in missing)
        raise EventError(
            f"{document} names code to be run that is somebody else's: {places}. Nothing of it was "
            f"run. Read it; if it may run, say {options}. It then runs in a process of its own, "
            "without keys."
        )
    return {name: digest_file(file_of(name)) for name in named}


def refuse_in_here(module: str) -> None:
    """In a process for such code, refuse to import any module that was not allowed.

    Raises:
        EventError: It was not.
    """
    named = os.environ.get(INSIDE)
    if named is not None and module not in named.split(","):
        raise EventError(
            f"Module '{module}' was to be imported, and only {named} may run. Say --allow-code "
            f"{module} if you have read it."
        )


def places(named: Iterable[str]) -> tuple[Path, ...]:
    """Where the code of those modules lies: the folder of `damp --code`, and each one's own."""
    return code_files.places({name: file_of(name) for name in named}, users_code.folder())


def event_key() -> bytes | None:
    """The key for commitments in a process for such code; None anywhere else."""
    given = os.environ.get(EVENT_KEY) if INSIDE in os.environ else None
    return bytes.fromhex(given) if given else None


@cache
def watch_in_here() -> None:
    """In a process for such code, begin to write down what is read as code; to its end."""
    if record := os.environ.get(RECORD):
        named = filter(None, os.environ.get(INSIDE, "").split(","))
        sys.addaudithook(code_files.Watch(places(named), Path(record)))


def require_unchanged(digests: Mapping[str, str]) -> None:
    """Refuse modules whose files are not those that were allowed.

    Raises:
        EventError: One has changed, or is gone.
    """
    for name, digest in digests.items():
        file = file_of(name)
        if digest_file(file) != digest:
            raise EventError(
                f"{file} has changed since it was allowed to run: its sha256 is no longer "
                f"{digest[:16]}... Restore it, or hand the document in again."
            )


def of_event(home: Home, event: str) -> dict[str, str]:
    """Digests of the modules that were allowed for an event's claim; none of a request's own.

    Raises:
        EventError: They are others than the ledger received, or than this process has seen: code
            that is no longer named there would run where the keys are.
    """
    place = home.event(event) / "origin.json"
    if not home.claim(event).exists():
        pinned: dict[str, str] = {}
    else:
        pinned = in_files(json.loads(place.read_text()).get("files", {}))
        entry = Ledger(home.ledger).find("request_received", event, "receipt")
        if entry is not None and entry.body.get("code", {}) != pinned:
            raise EventError(f"{place} names other code than the ledger received: restore it.")
    if _first.setdefault((home.root, event), pinned) != pinned:
        raise EventError(f"{place} or the claim beside it has changed while the event ran.")
    return pinned


_first: dict[tuple[Path, str], dict[str, str]] = {}
"""What `of_event` gave first in this process."""


def read_before(home: Home, event: str) -> dict[str, str]:
    """Digests of the files that an event's code has read as code so far, by path."""
    place = home.event(event) / "origin.json"
    origin: dict[str, str] = json.loads(place.read_text()).get("read", {})
    record = _record(home, event)
    later: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    return origin | later


def keep_read(home: Home, event: str, read: Mapping[str, str]) -> None:
    """Keep what was read as code, for the next steps and for the statement."""
    write_atomically(_record(home, event), json.dumps(dict(read), indent=1).encode())


def _record(home: Home, event: str) -> Path:
    return home.event(event) / "code.json"


def read_named(home: Home, event: str) -> dict[str, str]:
    """The same by names for a record: each starts where the code lies."""
    return code_files.named(read_before(home, event), places(of_event(home, event)))


def in_files(files: Mapping[str, str]) -> dict[str, str]:
    """The modules among the files of a claim.

    >>> in_files({"original": "aa", "code:theirs": "bb"})
    {'theirs': 'bb'}
    """
    return {n.removeprefix(KEY): digest for n, digest in files.items() if n.startswith(KEY)}


def as_files(digests: Mapping[str, str]) -> dict[str, str]:
    """Modules as they stand among the files of a claim."""
    return {f"{KEY}{name}": digest for name, digest in digests.items()}


def file_of(module: str) -> Path:
    """The file that a module would be imported from; neither it nor its packages are run.

    Raises:
        EventError: There is none.
    """
    file = _file(module)
    if file is None:
        raise EventError(
            f"There is no file of a module '{module}', so what would run cannot be pinned. Name "
            "the folder that holds it: damp --code FOLDER."
        )
    return file


def _file(module: str) -> Path | None:
    here = os.getcwd()
    elsewhere = [entry for entry in sys.path if os.path.isabs(entry) and entry != here]
    own = [os.environ["DAMP_CODE"]] if os.environ.get("DAMP_CODE") else []
    places: list[str] | None = [*own, *elsewhere]
    spec = None
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        if places is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[:length]), places)
        if spec is None:
            return None
        below = spec.submodule_search_locations
        places = None if below is None else list(below)
    file = Path(spec.origin) if spec is not None and spec.origin else None
    return file if file is not None and file.is_file() else None
