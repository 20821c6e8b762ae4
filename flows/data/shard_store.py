"""Shards in folders, one per data version, each either whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows.data import digest_store, shards
from flows.data.file_digests import Listed
from flows.state.errors import StoreError

if TYPE_CHECKING:
    from flows.data.dataset import Dataset


def place(dataset: Dataset, wanted: Sequence[tuple[Path, list[Listed]]]) -> None:
    """Make each folder hold exactly its shards, as hard links wherever they lie in another.

    A folder that is as it must be is not touched; any other is made aside and then renamed.

    Raises:
        StoreError: No space or no permission.
    """
    try:
        intact = [is_placed(folder, files) for folder, files in wanted]
        there: dict[str, Path] = {}
        for (folder, files), whole in zip(wanted, intact, strict=True):
            if whole:
                there |= _paths(folder, files)
        for (folder, files), whole in zip(wanted, intact, strict=True):
            if not whole:
                _place_one(dataset, folder, files, there)
                there |= _paths(folder, files)
    except OSError as problem:
        raise StoreError(
            f"Cannot write data versions: {problem}. Free some space or make the folder writable, "
            "then run the same command again."
        ) from problem


def is_placed(folder: Path, files: Sequence[Listed]) -> bool:
    """Whether a folder holds exactly these shards, byte by byte."""
    if not folder.is_dir():
        return False
    if {path.name for path in folder.iterdir()} != {file.relpath for file in files}:
        return False
    return all(digest_store.md5_of(folder / file.relpath) == file.md5 for file in files)


def _paths(folder: Path, files: Sequence[Listed]) -> dict[str, Path]:
    return {file.relpath: folder / file.relpath for file in files}


def _place_one(
    dataset: Dataset, folder: Path, files: Sequence[Listed], there: dict[str, Path]
) -> None:
    aside = folder.with_name(f".{folder.name}.aside")
    for leftover in (aside, folder):  # of a process that was killed, or damaged since
        if leftover.exists():
            shutil.rmtree(leftover)
    aside.mkdir(parents=True)
    missing = {file.relpath for file in files} - there.keys()
    if missing:
        _write(dataset, aside, missing)
    for file in files:
        if file.relpath not in missing:
            _link(there[file.relpath], aside / file.relpath)
    aside.replace(folder)


def _write(dataset: Dataset, folder: Path, missing: set[str]) -> None:
    for part, label, shard in shards.shards(dataset):
        name = shards.name(part, label)
        if name in missing:
            (folder / name).write_bytes(shard)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # no hard links on this file system
        shutil.copyfile(source, target)
