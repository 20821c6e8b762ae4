"""Which files below a folder are the images of which class, and what is left out, by reason.

Everything that torchvision's `ImageFolder` would have read is read or refused here: a model was
perhaps trained on it. The rest is counted, so that nobody has to guess what became of it.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flows.data.dataset import LeftOut
from flows.data.pictures import Source
from flows.state.errors import DataError, first_few

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm", ".pgm"}
UNREAD = {".tif", ".tiff"}
"""Endings that torchvision reads and damp does not: they hold too much besides pixels of 8 bits."""
TRAINING = ("train", "training")
TEST = ("test", "testing")
VALIDATION = ("val", "valid", "validation")
"""Names of parts, in whatever case. Validation images are the test data where there are no test
images."""
VISITS = 20
"""How often links may lead to one folder."""
PROBLEMS = 5
"""Files named in one refusal."""
PLAIN_ENDING = re.compile(r"\.[a-z0-9]{1,8}")


@dataclass(frozen=True, slots=True)
class Image:
    """One picture: its file, or its place in one that holds many; its part, its class's number."""

    path: Source
    part: str
    label: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The image files of a data set, each with its part and class; no pixel is read for it.

    Attributes:
        name: Of the data set.
        folder: Where they lie.
        classes: Names of the class folders, in the order of their indices.
        images: The files.
        left_out: Files there that are not read.
        md5s: Of the images, where they lie in files that hold many.
    """

    name: str
    folder: Path
    classes: tuple[str, ...]
    images: tuple[Image, ...]
    left_out: tuple[LeftOut, ...]
    md5s: tuple[str, ...] | None = None

    def relpath(self, image: Image) -> str:
        """How a data version names an image: its file below the folder, or its place by number."""
        if isinstance(image.path, Path):
            return image.path.relative_to(self.folder).as_posix()
        return f"{image.part}/{image.label:05}/{image.path.name}"


@dataclass(frozen=True, slots=True)
class Parts:
    """Folders of a data set's parts, and those that are neither."""

    train: Path
    test: Path
    others: tuple[Path, ...]


@dataclass(slots=True)
class Listing:
    """What a walk over class folders came upon.

    Attributes:
        images: In the order of classes and paths.
        reasons: Files left out, by reason.
        problems: Files that torchvision would have read, with what is wrong and what to do.
    """

    images: list[Image] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def checked(self, name: str) -> Listing:
        """Itself.

        Raises:
            DataError: It holds problems.
        """
        if self.problems:
            more = len(self.problems) - PROBLEMS
            rest = f" And {more} more." if more > 0 else ""
            raise DataError(f"'{name}': {' '.join(self.problems[:PROBLEMS])}{rest}")
        return self

    def left_out(self) -> tuple[LeftOut, ...]:
        """The counts, the largest first."""
        return tuple(LeftOut(reason=r, count=n) for r, n in self.reasons.most_common())


def folders(folder: Path) -> list[str]:
    """Names of the folders in a folder; hidden ones belong to tools."""
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")


def parts(name: str, folder: Path) -> Parts | None:
    """The parts of a data set; None where its class folders lie at the top.

    Raises:
        DataError: One of the parts is missing, or there are two of a kind.
    """
    names = folders(folder)
    train, test, validation = (
        [each for each in names if each.lower() in kind] for kind in (TRAINING, TEST, VALIDATION)
    )
    held_out = test or validation
    plain = any(each.lower() in ("train", "test") for each in names)
    if not plain and not (train and held_out):
        return None
    for which, several in (("training", train), ("test", held_out)):
        if len(several) > 1:
            raise DataError(
                f"'{name}': {folder} holds {first_few(several)}, which are {which} parts all. Keep "
                "one of them there, or put their images together."
            )
    if not train or not held_out:
        there, other = (train, "test") if train else (held_out, "train")
        raise DataError(
            f"'{name}': {folder} has {there[0]}/ but no {other}/. Add {other}/, or move the class "
            "folders up and let damp hold out test images."
        )
    used = {train[0], held_out[0]}
    others = tuple(folder / each for each in names if each not in used)
    return Parts(folder / train[0], folder / held_out[0], others)


def listed(folder: Path, classes: Sequence[str], part: str) -> Listing:
    """The images of a part's class folders, whatever subfolders they lie in."""
    listing = Listing()
    for label, wanted in enumerate(classes):
        if (folder / wanted).is_dir():
            _walk(folder / wanted, part, label, listing)
    _beside(folder, classes, listing)
    return listing


def _walk(folder: Path, part: str, label: int, listing: Listing) -> None:
    for path in sorted(_files(folder, listing)):
        suffix = path.suffix.lower()
        hidden = any(step.startswith(".") for step in path.relative_to(folder).parts[:-1])
        if suffix in UNREAD:
            listing.problems.append(f"{path} is TIFF, which is not read: convert it to PNG.")
        elif suffix not in SUFFIXES:
            listing.reasons[_ending(path)] += 1
        elif hidden:
            listing.problems.append(_in_hidden(path))
        elif path.is_file():
            listing.images.append(Image(path, part, label))
        else:
            what = "a link that leads nowhere" if path.is_symlink() else "no regular file"
            listing.problems.append(f"{path} is {what}: bring it back, or remove it.")


def _beside(folder: Path, classes: Sequence[str], listing: Listing) -> None:
    """What lies beside the class folders: torchvision takes hidden folders for classes."""
    for path in sorted(folder.iterdir()):
        if path.name in classes:
            continue
        if path.is_dir():
            pictures = [p for p in _files(path, listing) if is_picture(p)]
            listing.problems.extend(map(_in_hidden, sorted(pictures)[:1]))
        elif path.is_symlink() and not path.exists():
            listing.reasons["links that lead nowhere"] += 1
        else:
            reason = "images beside the class folders" if is_picture(path) else _ending(path)
            listing.reasons[reason] += 1


def outside(folder: Path, parts: Parts) -> Counter[str]:
    """Images that are in neither part, by where they are."""
    counts = Counter(
        f"images in {_plain(other.name)}, which is neither the training nor the test part"
        for other in parts.others
        for path in _files(other, Listing())
        if is_picture(path)
    )
    beside = sum(is_picture(path) for path in folder.iterdir() if not path.is_dir())
    return counts + Counter({"images beside the parts": beside})


def _plain(name: str) -> str:
    """A part's usual name as it stands; any other may be a person's."""
    return f"{name}/" if name.lower() in TRAINING + TEST + VALIDATION else "another folder"


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES | UNREAD


def _in_hidden(path: Path) -> str:
    return (
        f"{path} lies in a hidden folder, which damp leaves out and torchvision reads: remove the "
        "folder, or give it a name without a dot at its start."
    )


def _files(folder: Path, listing: Listing) -> Iterator[Path]:
    """Every file below a folder; links are followed, but never back up.

    Raises:
        DataError: Links lead to one folder again and again: two in each of thirty folders would be
            a thousand million.
    """
    above = {os.path.realpath(folder)}
    visits = Counter[str]()

    def walk(here: Path, above: set[str]) -> Iterator[Path]:
        for path in sorted(here.iterdir()):
            if not path.is_dir():
                yield path
            elif (real := os.path.realpath(path)) in above:
                listing.reasons["links to a folder above"] += 1
            else:
                visits[real] += 1
                if visits[real] > VISITS:
                    raise DataError(
                        f"{path} leads to {real}, as more than {VISITS} other links below {folder} "
                        "do: its images would be read as often. Remove the links."
                    )
                yield from walk(path, above | {real})

    yield from walk(folder, above)


def _ending(path: Path) -> str:
    """Why a file is no image here. Only a plain ending is repeated: a name may be anything."""
    if path.name.startswith("."):
        return "hidden files"
    suffix = path.suffix.lower()
    return f"ending {suffix}" if PLAIN_ENDING.fullmatch(suffix) else "other endings or none"


def pull_remedy(missing: Path) -> str:
    """How to get a path that is not there; empty where no DVC file beside its place names it.

    A repository that uses DVC holds `photos.dvc` beside a folder that a fresh clone lacks; the file
    may be of a folder further up: `data.dvc` brings `data/photos`. Nothing is fetched here: whose
    remote it is, and what a pull costs, is for the person to decide.
    """
    for note in _notes(missing):
        if note.is_file():
            return f"DVC keeps it and it is not here yet: run `dvc pull {note}`."
    return ""


def _notes(missing: Path) -> Iterator[Path]:
    """DVC files that would bring the path: of itself, then of each folder above that is missing."""
    place = missing.absolute()
    while not place.exists() and place != place.parent:
        yield place.with_name(f"{place.name}.dvc")
        place = place.parent
