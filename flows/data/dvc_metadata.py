"""Which data versions hold which rows, read from DVC's own files in the workspace.

DVC keeps a folder's listing as one object in its cache, named by the version: a JSON list of
`{"md5", "relpath"}`. The rows of a class are files that one version lists and its successor does
not.
"""

from __future__ import annotations

import json
from pathlib import Path

from flows.data import dvc_workspace
from flows.state.paths import Home

Holder = tuple[Path, bool]


def listing(home: Home, version: str) -> dict[str, str]:
    """md5 by relative path of a version `<md5>.dir`; empty where the cache does not have it."""
    path = cached(home, version)
    if not path.is_file():
        return {}
    return {entry["relpath"]: entry["md5"] for entry in json.loads(path.read_text())}


def cached(home: Home, name: str) -> Path:
    """Where DVC's cache keeps an object, a file's md5 or a folder's `<md5>.dir`."""
    return dvc_workspace.workspace(home) / ".dvc" / "cache" / "files" / "md5" / name[:2] / name[2:]


def forgotten(home: Home, before: str, after: str) -> set[str]:
    """md5 of the files that `before` has and `after` has not."""
    kept = set(listing(home, after).values())
    return {md5 for md5 in listing(home, before).values() if md5 not in kept}


def holders(home: Home, before: str, after: str) -> list[Holder]:
    """Folders whose version holds forgotten files, and whether it is `before` itself."""
    gone = forgotten(home, before, after)
    holding = []
    for note in sorted(dvc_workspace.workspace(home).glob("*.dvc")):
        folder = note.with_suffix("")
        version = dvc_workspace.recorded(folder) if note.is_file() else None
        if version and gone & set(listing(home, version).values()):
            holding.append((folder, version == before))
    return holding
