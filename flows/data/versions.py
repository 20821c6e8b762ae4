"""Which data, exactly: versions that anyone can recompute, and successors without a class's rows.

A version is DVC's own digest of a folder, `<md5>.dir`. Data in memory become shards in a DVC
workspace under the state folder; images on disk stay where they are and are only read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from flows.data import dvc_workspace, shard_store
from flows.data.file_digests import Listed, digest, listing, without
from flows.state import children
from flows.state.errors import DataVersionError
from flows.state.facts import DataVersion
from flows.state.files import digest_bytes, write_atomically
from flows.state.paths import Home

if TYPE_CHECKING:
    from flows.data.dataset import Dataset


def version(dataset: Dataset, home: Home) -> DataVersion:
    """The version of a data set as it is now; recorded in DVC where damp holds the data.

    Raises:
        DataVersionError: DVC refused, or a file cannot be read.
    """
    return _versions(dataset, [()], home)[0]


def version_of(dataset: Dataset, retired: Sequence[int] = ()) -> str:
    """The digest that a data set has as it is now; nothing is recorded."""
    return digest(without(listing(dataset), tuple(sorted(set(retired)))))


def before_and_after(
    dataset: Dataset, forget: Sequence[int], home: Home, *, retired: Sequence[int] = ()
) -> tuple[DataVersion, DataVersion]:
    """The version without the classes of earlier events, and the one without `forget` as well.

    Both take one call of DVC, none where they are already there. The second one's manifest says
    what it is made of.

    Args:
        dataset: All of it, with the rows of retired classes.
        forget: Classes to leave out of the second.
        home: Where the versions are kept.
        retired: Classes that are in neither.

    Raises:
        DataVersionError: Nothing to forget or to keep, DVC refused, or a file cannot be read.
    """
    gone = tuple(sorted(set(retired)))
    _refuse(dataset, set(forget), set(gone))
    before, after = _versions(dataset, [gone, tuple(sorted({*gone, *forget}))], home)
    content = json.dumps(_manifest(dataset, before, after), indent=2).encode()
    path = manifest(home, after, before)
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)
    return before, after


def manifest(home: Home, after: DataVersion, before: DataVersion) -> Path:
    """The file that says which rows of `before` are in `after`, by number only as a digest."""
    folder = _folder(home, after.name, after.version)
    return folder.with_name(f"{folder.name}-from-{before.version[:8]}.json")


def _refuse(dataset: Dataset, forget: set[int], gone: set[int]) -> None:
    there = set(dataset.train_labels.unique().tolist()) - gone
    if not forget or forget - there:
        what = f"classes {sorted(forget - there)}" if forget else "no class at all"
        raise DataVersionError(
            f"Data set '{dataset.name}' cannot forget {what}: it has training rows of classes "
            f"{sorted(there)}. Name one or more of these."
        )
    if forget == there:
        raise DataVersionError(
            f"Data set '{dataset.name}' would have no training row left. Forget fewer classes."
        )


def _versions(dataset: Dataset, lacking: list[tuple[int, ...]], home: Home) -> list[DataVersion]:
    """One version for each tuple of classes to leave out; the files are read once for all."""
    every = listing(dataset)
    files = [without(every, classes) for classes in lacking]
    place = dataset.folder if dataset.files is not None else None
    revision = _revision(place) if place else None
    versions = [
        DataVersion(
            name=dataset.name,
            version=digest(listed),
            rows=int(_retained(dataset, classes).sum()),
            path=place or _folder(home, dataset.name, digest(listed)),
            revision=revision,
            without=classes,
        )
        for classes, listed in zip(lacking, files, strict=True)
    ]
    if place is None:
        _record(dataset, list(zip(versions, files, strict=True)), home)
    return versions


def _record(dataset: Dataset, wanted: list[tuple[DataVersion, list[Listed]]], home: Home) -> None:
    """Put the shards in place and have DVC record those folders that it has not recorded."""
    home.locks.mkdir(parents=True, exist_ok=True)
    with FileLock(home.locks / "data.lock"):
        shard_store.place(dataset, [(version.path, files) for version, files in wanted])
        versions = [version for version, _ in wanted]
        if new := [v.path for v in versions if dvc_workspace.recorded(v.path) != v.version]:
            dvc_workspace.add(home, new)
        for v in versions:
            if dvc_workspace.recorded(v.path) != v.version:
                raise DataVersionError(
                    f"DVC recorded {dvc_workspace.recorded(v.path)} for {v.path}, its shards make "
                    f"{v.version}: something else writes there. Delete the folder and run again."
                )


def _folder(home: Home, name: str, version: str) -> Path:
    """The data set's name, as far as it can name a folder, and the version's first digits."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower())[-40:].strip("-")
    return dvc_workspace.workspace(home) / f"{plain or 'data'}-{version[:8]}"


def _manifest(dataset: Dataset, before: DataVersion, after: DataVersion) -> dict[str, Any]:
    rows = _retained(dataset, after.without).nonzero().flatten().tolist()
    return {
        "kind": "DataVersion",
        "name": after.name,
        "version": after.version,
        "base": before.version,
        "revision": after.revision,
        "forget": sorted(set(after.without) - set(before.without)),
        "forgotten": before.rows - after.rows,
        "retained": after.rows,
        # sha256 of the retained rows' numbers, ascending, in decimal, one a line
        "retainedRows": digest_bytes("".join(f"{row}\n" for row in rows).encode()),
    }


def _retained(dataset: Dataset, classes: tuple[int, ...]) -> Any:
    """Which training rows are of none of these classes, (n,) bool."""
    import torch

    return ~torch.isin(dataset.train_labels, torch.tensor(classes, dtype=torch.int64))


def _revision(folder: Path) -> str | None:
    """The commit that is checked out, if the folder lies in a repository that uses DVC and git."""
    if not any((parent / ".dvc").is_dir() for parent in (folder, *folder.absolute().parents)):
        return None
    return children.git(folder, "rev-parse", "HEAD")
