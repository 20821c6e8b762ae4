"""Images on disk: a folder per class, or Tiny ImageNet's layout. All are checked, none is moved."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from compliance.formats import files
from flows.data import image_layout, not_pulled
from flows.data.dataset import Dataset, LeftOut
from flows.data.image_layout import SUFFIXES, Image, Parts
from flows.state.errors import DataError, first_few

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image as Picture
    from PIL.ImageFile import ImageFile


FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM")
"""What Pillow may take a file for, whatever its ending says: left to itself it goes by the first
bytes, and starts Ghostscript on PostScript that is named .png."""
SIDE_LIMIT = 1024
"""Pixels of a side at most: larger images are for a data set of the user's own."""
MEMORY_LIMIT = 4 << 30
"""Bytes of float32 images at most: the data set is held in memory."""
LISTED = 5
"""Problems in one message."""
HELD_OUT = 0.2
"""Share of each class that becomes test data where the folder has no test/ of its own."""
GREY = {"1", "L", "I", "I;16", "I;16B"}
"""Pillow's modes of pictures without colours."""


def load(name: str, folder: Path) -> Dataset:
    """`folder/train/<class>/**` and `folder/test/<class>/**`, or `folder/<class>/**` and a split.

    The parts may be called otherwise: `image_layout` lists the names.

    Raises:
        DataError: No such folder, fewer than two classes, unreadable or unequal images.
    """
    classes = class_folders(name, folder)
    parts = image_layout.parts(name, folder)
    if parts is None:
        listing = image_layout.listed(folder, classes, "train").checked(name)
        return _dataset(name, folder, classes, _split(listing.images), listing.left_out())
    _refuse_unknown(name, parts, classes)
    listing = image_layout.listed(parts.train, classes, "train")
    held_out = image_layout.listed(parts.test, classes, "test")
    listing.images += held_out.images
    listing.problems += held_out.problems
    listing.reasons += held_out.reasons + image_layout.outside(folder, parts)
    images = listing.checked(name).images
    return _dataset(name, folder, classes, images, listing.left_out())


def class_folders(name: str, folder: Path) -> list[str]:
    """Names of the class folders, in the order of their indices; nothing else is read.

    Raises:
        DataError: No such folder, half a layout, or fewer than two classes.
    """
    if not folder.is_dir():
        pull = not_pulled.remedy(folder)
        how = pull or "Name one that holds a folder per class."
        raise DataError(f"'{name}': {folder} is no folder. {how}")
    parts = image_layout.parts(name, folder)
    return _classes(name, folder if parts is None else parts.train)


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
    listing = image_layout.listed(folder / "train", classes, "train").checked(name)
    images = listing.images
    annotations = _annotations(name, notes)
    images += [
        Image(folder / "val" / "images" / file, "test", number[wnid])
        for file, wnid in annotations
        if wnid in number
    ]
    if unknown := sum(wnid not in number for _, wnid in annotations):
        listing.reasons["validation images of classes that train/ lacks"] = unknown
    return _dataset(name, folder, classes, images, listing.left_out())


def _annotations(name: str, notes: Path) -> list[tuple[str, str]]:
    """File and class of each validation image, which lie in tab-separated columns."""
    annotations = []
    for number, line in enumerate(notes.read_text(errors="replace").splitlines(), start=1):
        file, _, rest = line.partition("\t")
        if not rest or "/" in file:
            raise DataError(
                f"'{name}': {notes}, line {number}: {line[:60]!r} does not name an image and its "
                "class, with a tab between. Fetch the file again."
            )
        annotations.append((file, rest.partition("\t")[0]))
    return annotations


def _classes(name: str, folder: Path) -> list[str]:
    classes = image_layout.folders(folder)
    if len(classes) < 2:
        raise DataError(
            f"'{name}': {folder} holds {len(classes)} class folder(s). A classifier needs two, and "
            "forgetting one needs another to keep."
        )
    return classes


def _refuse_unknown(name: str, parts: Parts, classes: list[str]) -> None:
    unknown = [each for each in image_layout.folders(parts.test) if each not in classes]
    if unknown:
        raise DataError(
            f"'{name}': {parts.test} holds {first_few(unknown)}, which {parts.train.name}/ does "
            "not. Both parts must have the same class folders: add, rename or remove."
        )


def _split(images: list[Image]) -> list[Image]:
    """Hold out a share of each class, chosen by the files' names alone."""
    from hashlib import sha256

    parts = []
    for label in sorted({image.label for image in images}):
        mine = [image for image in images if image.label == label]
        mine.sort(key=lambda image: sha256(os.fsencode(image.path.name)).digest())
        held_out = max(1, round(HELD_OUT * len(mine)))
        parts += [Image(image.path, "test", label) for image in mine[:held_out]]
        parts += mine[held_out:]
    return sorted(parts, key=lambda image: (image.part, image.label, image.path))


def _dataset(
    name: str,
    folder: Path,
    classes: list[str],
    images: list[Image],
    left_out: tuple[LeftOut, ...],
) -> Dataset:
    import torch

    _refuse_empty(name, folder, classes, images)
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
        left_out=left_out,
        class_names=tuple(classes),
    )


def _refuse_empty(name: str, folder: Path, classes: list[str], images: Iterable[Image]) -> None:
    filled = {(image.part, image.label) for image in images}
    empty = [
        f"{c} ({p})"
        for n, c in enumerate(classes)
        for p in ("train", "test")
        if (p, n) not in filled
    ]
    if empty:
        raise DataError(
            f"'{name}': {folder} has no image in {first_few(empty)}. Every class "
            f"needs training and test images; these endings count: {', '.join(sorted(SUFFIXES))}."
        )


def _read(name: str, images: list[Image]) -> np.ndarray:
    """All images as (n, 3 or 1, height, width), float32 in [0, 1]; all problems in one message."""
    import numpy as np

    grey = not any(_is_coloured(image.path) for image in images)
    first = _pixels(images[0].path, None, grey=grey)
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
        pixels = _pixels(image.path, first.shape, grey=grey)
        if isinstance(pixels, str):
            problems.append(pixels)
        else:
            held[number] = pixels
    if problems:
        rest = f" And {len(problems) - LISTED} more." if len(problems) > LISTED else ""
        raise DataError(f"'{name}': {' '.join(problems[:LISTED])}{rest}")
    return held


def _is_coloured(path: Path) -> bool:
    """Whether a file's header says that it has colours; False where there is no header."""
    from PIL import Image as Pillow

    try:
        with _opened(path) as image:
            return image.mode not in GREY
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError):
        return False  # `_pixels` says what is wrong with it


def _pixels(path: Path, shape: tuple[int, ...] | None, *, grey: bool) -> np.ndarray | str:
    """One image, or in words why not."""
    from PIL import Image as Pillow

    try:
        with _opened(path) as image:
            if max(image.size) > SIDE_LIMIT:
                return (
                    f"{path} is {image.size[0]}x{image.size[1]}; {SIDE_LIMIT} a side is the most: "
                    "make it smaller, or remove it."
                )
            pixels = _scaled(image, grey=grey)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as problem:
        return f"{path} cannot be read as an image ({type(problem).__name__}): fix or remove it."
    if shape is not None and pixels.shape != shape:
        size, first = (f"{s[2]}x{s[1]}" for s in (pixels.shape, shape))
        return f"{path} is {size}, the first image is {first}: bring all to one size."
    return pixels


def _opened(path: Path) -> ImageFile:
    """The file with its header read; of large pictures `SIDE_LIMIT` warns, not Pillow."""
    from PIL import Image as Pillow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
        files.refuse_special(path)
        return Pillow.open(path, formats=FORMATS)


def _scaled(image: Picture, *, grey: bool) -> np.ndarray:
    """Pixels as (1 or 3, height, width) in [0, 1]."""
    import numpy as np

    if image.mode.startswith("I"):  # Pillow would cut 16 bits off at 255
        deep = np.asarray(image, dtype=np.float32)[None] / 65535
        return deep if grey else deep.repeat(3, axis=0)
    pixels = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.float32) / 255
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
