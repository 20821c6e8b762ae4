"""The files of a data set and their digests, and DVC's digest of a folder in plain Python."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.data import digest_store, shards
from flows.state.errors import DataVersionError
from flows.state.paths import Home
from flows.state.settings import settings

if TYPE_CHECKING:
    from flows.data.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One file of a data set: a shard that damp makes of it, or an image where it lies.

    Attributes:
        relpath: Below the version's folder, with forward slashes.
        md5: Of its bytes.
        part: `train` or `test`.
        label: Its rows' class.
    """

    relpath: str
    md5: str
    part: str
    label: int


def listing(dataset: Dataset) -> list[Listed]:
    """Every file of a data set as it is now.

    Raises:
        DataVersionError: An image is gone or cannot be read.
    """
    if dataset.files is None or dataset.folder is None:
        return [
            Listed(relpath=shards.name(part, label), md5=shards.md5(shard), part=part, label=label)
            for part, label, shard in shards.shards(dataset)
        ]
    home = Home(settings().home)
    if dataset.packed:
        return _of_shards(dataset)
    paths = [dataset.folder / relpath for relpath, _, _ in dataset.files]
    digests = digest_store.md5s(dataset.folder, paths, home)
    return [
        Listed(relpath=relpath, md5=md5, part=part, label=label)
        for (relpath, part, label), md5 in zip(dataset.files, digests, strict=True)
    ]


def _of_shards(dataset: Dataset) -> list[Listed]:
    """The images of shards, which are read again where they have changed since."""
    from flows.data import image_folder

    now = image_folder.listed_packed(dataset.name)
    listed = [
        Listed(relpath=now.relpath(image), md5=md5, part=image.part, label=image.label)
        for image, md5 in zip(now.images, now.md5s or (), strict=True)
    ]
    if tuple((each.relpath, each.part, each.label) for each in listed) != dataset.files:
        raise DataVersionError(
            f"The shards of '{dataset.name}' have changed since they were read: a data version "
            "needs every image. Run the same command again."
        )
    return listed


def without(listed: Iterable[Listed], classes: Sequence[int]) -> list[Listed]:
    """The list less the training files of some classes; test files stay, audits need them."""
    return [file for file in listed if file.part != "train" or file.label not in classes]


def dir_digest(entries: Iterable[dict[str, str]]) -> str:
    """DVC's digest of a folder, `<md5>.dir`.

    Args:
        entries: `{"md5", "relpath"}` of each file, in any order.

    >>> dir_digest([{"md5": "d41d8cd98f00b204e9800998ecf8427e", "relpath": "empty"}])
    '6b9ca2b7353cc1ee14fbb24eb5fe5183.dir'
    """
    listing = json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True)
    return f"{shards.md5(listing.encode())}.dir"


def digest(listed: Iterable[Listed]) -> str:
    """The version, `<md5>.dir`, of a folder that holds exactly these files."""
    return dir_digest({"md5": file.md5, "relpath": file.relpath} for file in listed)
