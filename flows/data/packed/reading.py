"""Folders of shards: their parts, classes and images, by the table of kinds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from flows.data import image_layout
from flows.data.image_layout import Image
from flows.data.packed import hf_shards, shard_index, tar_shards
from flows.data.packed.record import Entry, Packed, Reader
from flows.state import progress
from flows.state.errors import DataError, first_few
from flows.state.paths import Home

HELD_OUT = 0.2
"""Share of each class that becomes test data where the folder has no test part of its own."""
MOST_CLASSES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How shards of a kind are read.

    Attributes:
        endings: Of their files.
        scan: Lists the images of one.
        read: Reads one image.
    """

    endings: tuple[str, ...]
    scan: Callable[[Path, str], list[Entry]]
    read: Reader


KINDS: Mapping[str, Kind] = {
    "webdataset": Kind(endings=(tar_shards.ENDING,), scan=tar_shards.scan, read=tar_shards.read),
    "hf": Kind(endings=hf_shards.ENDINGS, scan=hf_shards.scan, read=hf_shards.read),
}
FAMILIES = tuple(KINDS)
"""What stands before the path in the name of such data: `webdataset:shards`, `hf:photos`."""


@dataclass(slots=True, kw_only=True)
class Contents:
    """The images of a folder of shards.

    Attributes:
        folder: Where the shards lie.
        classes: Names by index where the shards have them, else the indices as text.
        images: In the order of shards, then of images there.
        md5s: Of each.
        left_out: Images that are not used, by reason.
    """

    folder: Path
    classes: tuple[str, ...]
    images: list[Image] = field(default_factory=list)
    md5s: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def listed(name: str, home: Home) -> Contents:
    """All images of the data that a name means; no picture is decoded for it.

    Args:
        name: `webdataset:FOLDER`, `hf:FOLDER`, or `hf:FOLDER#column` for the column of the class.
        home: Where it is kept what a shard holds.
    Raises:
        DataError: No such folder, no shard, damaged ones, or classes that do not fit.
    """
    family, folder, column = _parsed(name)
    kind, shards = KINDS[family], _shards(name, folder, KINDS[family])
    parts = _parts(name, folder, shards)
    entries = {}
    for number, shard in enumerate(shards):
        progress.current().advance("reading shards", number, len(shards))
        entries[shard] = shard_index.entries(home, shard, column, kind.scan)
    test = _test_part(entries, parts)
    labels = [e.label for part in entries.values() for e in part if e.label >= 0]
    contents = Contents(folder=folder, classes=_classes(name, family, shards, column, labels))
    for shard, listing in entries.items():
        part = {"train": "train", test: "test"}.get(parts[shard])
        origin = "-".join(shard.relative_to(folder).with_suffix("").parts)
        for number, entry in enumerate(listing):
            if part is None or entry.label < 0:
                contents.left_out[_reason(entry, parts[shard])] += 1
                continue
            image = Packed(shard, origin, number, entry.place, kind.read)
            contents.images.append(Image(image, part, entry.label))
            contents.md5s.append(entry.md5)
    if test is None:
        contents.images = _split(contents.images)
    return contents


def class_names(name: str) -> tuple[str, ...] | None:
    """Names of the classes as the shards have them; None where they have none or are not there."""
    family, folder, column = _parsed(name)
    if family != "hf" or not folder.is_dir():
        return None
    return hf_shards.columns(_shards(name, folder, KINDS[family])[0], column).names


def _parsed(name: str) -> tuple[str, Path, str]:
    family, _, rest = name.partition(":")
    path, _, column = rest.partition("#") if family == "hf" else (rest, "", "")
    return family, Path(path).expanduser(), column


def _shards(name: str, folder: Path, kind: Kind) -> list[Path]:
    if not folder.is_dir():
        how = image_layout.pull_remedy(folder) or "Name one that holds the shards."
        raise DataError(f"'{name}': {folder} is no folder. {how}")
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in kind.endings]
    shards = [path for path in files if path.is_file() and not _is_cache(path)]
    if not shards:
        raise DataError(
            f"'{name}': {folder} holds no file that ends in {' or '.join(kind.endings)}. Name the "
            "folder with the shards; compressed ones (.tar.gz) have to be unpacked first."
        )
    return shards


def _is_cache(path: Path) -> bool:
    """What `datasets` leaves beside its files: results of `map`, never the data."""
    return path.name.startswith(("cache-", ".")) or any(p.startswith(".") for p in path.parts)


def _parts(name: str, folder: Path, shards: Sequence[Path]) -> dict[Path, str]:
    """`train`, `test` or `validation` by each shard's name or folder; "" where none says so."""
    parts = {shard: _part(shard.relative_to(folder)) for shard in shards}
    if any(parts.values()) and (unnamed := [s.name for s, part in parts.items() if not part]):
        raise DataError(
            f"'{name}': {first_few(unnamed)} do not say whether they are training or test data, "
            "and other shards do. Put the word train or test into each name, or into its folder's."
        )
    if not any(parts.values()):
        return dict.fromkeys(shards, "train")
    if "train" not in parts.values():
        raise DataError(f"'{name}': no shard in {folder} has the word train in its name.")
    return parts


def _part(path: Path) -> str:
    for words in (re.split(r"[^a-z]+", step.lower()) for step in reversed(path.parts)):
        for part, names in (
            ("train", image_layout.TRAINING),
            ("test", image_layout.TEST),
            ("validation", image_layout.VALIDATION),
        ):
            if set(words) & set(names):
                return part
    return ""


def _test_part(entries: Mapping[Path, list[Entry]], parts: Mapping[Path, str]) -> str | None:
    """Which part is held out: the test part, or validation where the test part has no classes."""
    for part in ("test", "validation"):
        if any(
            e.label >= 0
            for shard, listing in entries.items()
            if parts[shard] == part
            for e in listing
        ):
            return part
    return None


def _reason(entry: Entry, part: str) -> str:
    if entry.label < 0:
        return "images without a class"
    return f"images in {part}, which is neither the training nor the test part"


def _classes(
    name: str, family: str, shards: Sequence[Path], column: str, labels: Sequence[int]
) -> tuple[str, ...]:
    """Names of the classes; all shards must agree."""
    named = {hf_shards.columns(s, column).names for s in shards} if family == "hf" else {None}
    if len(named) > 1:
        raise DataError(
            f"'{name}': its files name their classes differently, so that one number would mean "
            "several. Save them anew with one list of classes."
        )
    (names,) = named
    greatest = max(labels, default=-1)
    if greatest >= (len(names) if names else MOST_CLASSES):
        raise DataError(
            f"'{name}': a label is {greatest}, and there are "
            f"{len(names) if names else MOST_CLASSES} classes at most. Correct it where the shards "
            "are written."
        )
    return names or tuple(str(label) for label in range(greatest + 1))


def _split(images: Sequence[Image]) -> list[Image]:
    """Hold out a share of each class, chosen by the images' places alone; the order stays."""
    held_out = set()
    for label in sorted({image.label for image in images}):
        mine = [n for n, image in enumerate(images) if image.label == label]
        mine.sort(key=lambda n: sha256(images[n].path.name.encode()).digest())
        held_out |= set(mine[: max(1, round(HELD_OUT * len(mine)))])
    return [
        Image(image.path, "test" if n in held_out else "train", image.label)
        for n, image in enumerate(images)
    ]
