"""Images on disk: a folder per class, or Tiny ImageNet's layout. All are checked, none moved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from flows.datasets import Dataset

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm", ".pgm"}
SIDE_LIMIT = 1024
"""Pixels of a side at most: larger images are for a data set of the user's own."""
MEMORY_LIMIT = 4 << 30
"""Bytes of float32 images at most: the data set is held in memory."""
HELD_OUT = 0.2
"""Share of each class that becomes test data where the folder has no test/ of its own."""
LISTED = 5


@dataclass(frozen=True, slots=True)
class Image:
    """One file: where it lies, which part it belongs to, its class's number."""

    path: Path
    part: str
    label: int


def load(name: str, folder: Path) -> Dataset:
    """`folder/train/<class>/*` and `folder/test/<class>/*`, or `folder/<class>/*` and a split.

    Raises:
        DataError: No such folder, fewer than two classes, unreadable or unequal images.
    """
    if not folder.is_dir():
        raise DataError(f"'{name}': {folder} is no folder. Name one that holds a folder per class.")
    parts = [part for part in ("train", "test") if (folder / part).is_dir()]
    if parts == ["train"]:
        raise DataError(f"'{name}': {folder} has train/ but no test/. Add test/, or drop train/.")
    if parts:
        classes = _classes(name, folder / "train")
        images = [i for part in parts for i in _listed(folder / part, classes, part)]
    else:
        classes = _classes(name, folder)
        images = _split(_listed(folder, classes, "train"))
    return _dataset(name, folder, classes, images)


def load_tiny_imagenet(name: str, folder: Path) -> Dataset:
    """Tiny ImageNet: `train/<wnid>/images/*` and `val/images/*` with `val/val_annotations.txt`.

    Raises:
        DataError: The layout is another, or images cannot be read.
    """
    notes = folder / "val" / "val_annotations.txt"
    if not (folder / "train").is_dir() or not notes.is_file():
        raise DataError(
            f"'{name}': {folder} lacks train/ or val/val_annotations.txt. Name the folder that "
            "holds both, as the data set is published."
        )
    classes = _classes(name, folder / "train")
    number = {wnid: index for index, wnid in enumerate(classes)}
    images = [
        Image(path, "train", number[wnid])
        for wnid in classes
        for path in _images(folder / "train" / wnid / "images")
    ]
    for line in notes.read_text().splitlines():
        file, wnid = line.split("\t")[:2]
        if wnid in number:
            images.append(Image(folder / "val" / "images" / file, "test", number[wnid]))
    return _dataset(name, folder, classes, images)


def _classes(name: str, folder: Path) -> list[str]:
    found = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if len(found) < 2:
        raise DataError(
            f"'{name}': {folder} holds {len(found)} class folder(s). A classifier needs two, and "
            "forgetting one needs another to keep."
        )
    return found


def _listed(folder: Path, classes: list[str], part: str) -> list[Image]:
    return [
        Image(path, part, label)
        for label, wanted in enumerate(classes)
        for path in _images(folder / wanted)
    ]


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())


def _split(images: list[Image]) -> list[Image]:
    """Hold out a share of each class, chosen by the files' names alone."""
    from hashlib import sha256

    parts = []
    for label in sorted({image.label for image in images}):
        mine = [image for image in images if image.label == label]
        mine.sort(key=lambda image: sha256(image.path.name.encode()).digest())
        held_out = max(1, round(HELD_OUT * len(mine)))
        parts += [Image(image.path, "test", label) for image in mine[:held_out]]
        parts += mine[held_out:]
    return sorted(parts, key=lambda image: (image.part, image.label, image.path))


def _dataset(name: str, folder: Path, classes: list[str], images: list[Image]) -> Dataset:
    import torch

    from flows.datasets import Dataset

    _refuse_empty(name, classes, images)
    pixels = _read(name, images)
    part = {p: [n for n, image in enumerate(images) if image.part == p] for p in ("train", "test")}
    labels = torch.tensor([image.label for image in images])
    inputs = torch.from_numpy(pixels)
    return Dataset(
        name=name,
        train_inputs=inputs[part["train"]],
        train_labels=labels[part["train"]],
        test_inputs=inputs[part["test"]],
        test_labels=labels[part["test"]],
        classes=len(classes),
        description=f"{len(images)} image files in {len(classes)} folders",
        files=tuple(
            (image.path.relative_to(folder).as_posix(), image.part, image.label) for image in images
        ),
        folder=folder,
    )


def _refuse_empty(name: str, classes: list[str], images: Iterable[Image]) -> None:
    seen = {(image.part, image.label) for image in images}
    empty = [
        f"{c} ({p})" for n, c in enumerate(classes) for p in ("train", "test") if (p, n) not in seen
    ]
    if empty:
        rest = f" and {len(empty) - LISTED} more" if len(empty) > LISTED else ""
        raise DataError(
            f"'{name}': no image in {', '.join(empty[:LISTED])}{rest}. Every class needs training "
            f"and test images; these endings count: {', '.join(sorted(SUFFIXES))}."
        )


def _read(name: str, images: list[Image]) -> np.ndarray:
    """All images as (n, 3 or 1, height, width), float32 in [0, 1]; problems are told together."""
    import numpy as np

    first = _pixels(images[0].path, None)
    if isinstance(first, str):
        raise DataError(f"'{name}': {first}")
    if first.nbytes * len(images) > MEMORY_LIMIT:
        raise DataError(
            f"'{name}': {len(images)} images of {first.shape} need more than "
            f"{MEMORY_LIMIT >> 30} GiB of memory. Make them smaller, or bring a function of your "
            "own that returns fewer."
        )
    held = np.empty((len(images), *first.shape), dtype=np.float32)
    problems = []
    for number, image in enumerate(images):
        pixels = _pixels(image.path, first.shape)
        if isinstance(pixels, str):
            problems.append(pixels)
        else:
            held[number] = pixels
    if problems:
        rest = f" And {len(problems) - LISTED} more." if len(problems) > LISTED else ""
        raise DataError(f"'{name}': {' '.join(problems[:LISTED])}{rest}")
    return held


def _pixels(path: Path, shape: tuple[int, ...] | None) -> np.ndarray | str:
    """One image, or in words why not."""
    import numpy as np
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        with Pillow.open(path) as image:
            if max(image.size) > SIDE_LIMIT:
                return (
                    f"{path} is {image.size[0]}x{image.size[1]}; {SIDE_LIMIT} a side is the most."
                )
            grey = image.mode in ("L", "1", "I;16") if shape is None else shape[0] == 1
            pixels = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.float32) / 255
    except (UnidentifiedImageError, OSError, ValueError, Pillow.DecompressionBombError) as problem:
        return f"{path} cannot be read as an image ({type(problem).__name__}): mend or remove it."
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    if shape is not None and pixels.shape != shape:
        return (
            f"{path} is {pixels.shape[1:]}, the first image is {shape[1:]}: bring all to one size."
        )
    return pixels
