"""Which data versions hold which rows, read from DVC's own files in the workspace.

DVC keeps a folder's listing as one object in its cache, named by the version: a JSON list of
`{"md5", "relpath"}`. The rows of a class are files that one version lists and its successor does
not.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from flows.data import dvc_workspace
from flows.data.digest_store import md5_of
from flows.state.paths import Home

Holder = tuple[Path, bool]


def listing(home: Home, version: str) -> dict[str, str]:
    """md5 by relative path of a version `<md5>.dir`, from DVC's cache or else from its folder.

    Empty where neither is here.
    """
    path = cached(home, version)
    if path.is_file():
        return {entry["relpath"]: entry["md5"] for entry in json.loads(path.read_text())}
    for note in sorted(dvc_workspace.workspace(home).glob("*.dvc")):
        folder = note.with_suffix("")
        if folder.is_dir() and dvc_workspace.recorded(folder) == version:
            return _of_folder(folder)
    return {}


def _of_folder(folder: Path) -> dict[str, str]:
    """As a listing, for a version whose cache is elsewhere: by the bytes that lie there."""
    return {
        path.relative_to(folder).as_posix(): md5_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def cached(home: Home, name: str) -> Path:
    """Where DVC's cache keeps an object, a file's md5 or a folder's `<md5>.dir`."""
    return _object(dvc_workspace.cache_of(home), name)


def _object(cache: Path, name: str) -> Path:
    return cache / "files" / "md5" / name[:2] / name[2:]


def elsewhere(home: Home, gone: Collection[str]) -> Iterator[tuple[Path, int]]:
    """Caches outside the state folder that hold forgotten files, and how many."""
    root = home.root.resolve()
    for cache in dvc_workspace.outside_caches():
        held = sum(_object(cache, md5).is_file() for md5 in gone)
        if held and not cache.is_relative_to(root):
            yield cache, held


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
