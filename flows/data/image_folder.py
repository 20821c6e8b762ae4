"""Images on disk: a folder per class, or Tiny ImageNet's layout. All are checked, none is moved."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flows.data import image_layout, packed, pictures
from flows.data.dataset import Dataset, DataSpec
from flows.data.image_layout import SUFFIXES, Files, Image, Parts
from flows.data.pictures import Source
from flows.state.errors import DataError, first_few
from flows.state.paths import Home
from flows.state.settings import settings

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image as Picture
    from torch import Tensor

    from audits.images import Images
    from compliance.documents.preprocessing import Preprocessing
    from flows.data.view import View


SIDE_LIMIT = 1024
"""Pixels of a side at most where no preprocessing says what the model sees of larger images."""
MEMORY_LIMIT = 1 << 30
"""Bytes of float32 images that are held in memory; more are decoded into a file and read there."""
LISTED = 5
"""Problems in one message."""
HELD_OUT = 0.2
"""Share of each class that becomes test data where the folder has no test/ of its own."""
GREY = {"1", "L", "I", "I;16", "I;16B"}
"""Pillow's modes of pictures without colours."""


def load(name: str, folder: Path, preprocessing: Preprocessing | None = None) -> Dataset:
    """`folder/train/<class>/**` and `folder/test/<class>/**`, or `folder/<class>/**` and a split.

    The parts may be called otherwise: `image_layout` lists the names. With a preprocessing the
    images may have any size; without one all must have the same.

    Raises:
        DataError: No such folder, fewer than two classes, unreadable or unequal images.
    """
    return dataset_of(listed(name, folder), preprocessing)


def listed(name: str, folder: Path) -> Files:
    """The files that `load` would read.

    Raises:
        DataError: No such folder, fewer than two classes, or files that cannot be images.
    """
    classes = class_folders(name, folder)
    parts = image_layout.parts(name, folder)
    if parts is None:
        listing = image_layout.listed(folder, classes, "train").checked(name)
        listing.images = _split(listing.images)
    else:
        _refuse_unknown(name, parts, classes)
        listing = image_layout.listed(parts.train, classes, "train")
        held_out = image_layout.listed(parts.test, classes, "test")
        listing.images += held_out.images
        listing.problems += held_out.problems
        listing.reasons += held_out.reasons + image_layout.outside(folder, parts)
    return _files(name, folder, classes, listing.checked(name))


def of_spec(spec: DataSpec) -> Files | None:
    """The image files of a data set that lies on disk as files, with nothing of them read.

    Raises:
        DataError: No such folder, or another layout.
    """
    family, _, rest = spec.name.partition(":")
    if family == "imagefolder" and rest:
        return listed(spec.name, Path(rest).expanduser())
    if spec.name == "tiny-imagenet" and spec.root is not None:
        return listed_tiny_imagenet(spec.name, Path(spec.root))
    if family in packed.FAMILIES and rest:
        return listed_packed(spec.name)
    return None


def listed_packed(name: str) -> Files:
    """The images of a folder of shards.

    Raises:
        DataError: No such folder, damaged shards, or classes that do not fit.
    """
    contents = packed.listed(name, Home(settings().home))
    listing = image_layout.Listing(images=contents.images, reasons=contents.left_out)
    files = _files(name, contents.folder, list(contents.classes), listing)
    return replace(files, md5s=tuple(contents.md5s))


def _files(name: str, folder: Path, classes: list[str], listing: image_layout.Listing) -> Files:
    _refuse_empty(name, folder, classes, listing.images)
    return Files(
        name=name,
        folder=folder,
        classes=tuple(classes),
        images=tuple(listing.images),
        left_out=listing.left_out(),
    )


def class_folders(name: str, folder: Path) -> list[str]:
    """Names of the class folders, in the order of their indices; nothing else is read.

    Raises:
        DataError: No such folder, half a layout, or fewer than two classes.
    """
    if not folder.is_dir():
        pull = image_layout.pull_remedy(folder)
        how = pull or "Name one that holds a folder per class."
        raise DataError(f"'{name}': {folder} is no folder. {how}")
    parts = image_layout.parts(name, folder)
    return _classes(name, folder if parts is None else parts.train)


def load_tiny_imagenet(
    name: str, folder: Path, preprocessing: Preprocessing | None = None
) -> Dataset:
    """Tiny ImageNet: `train/<wnid>/images/*` and `val/images/*` with `val/val_annotations.txt`.

    Raises:
        DataError: The layout is another, or images cannot be read.
    """
    return dataset_of(listed_tiny_imagenet(name, folder), preprocessing)


def listed_tiny_imagenet(name: str, folder: Path) -> Files:
    """The files that `load_tiny_imagenet` would read.

    Raises:
        DataError: The layout is another.
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
    annotations = _annotations(name, notes)
    listing.images += [
        Image(folder / "val" / "images" / file, "test", number[wnid])
        for file, wnid in annotations
        if wnid in number
    ]
    if unknown := sum(wnid not in number for _, wnid in annotations):
        listing.reasons["validation images of classes that train/ lacks"] = unknown
    return _files(name, folder, classes, listing)


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


def dataset_of(files: Files, preprocessing: Preprocessing | None) -> Dataset:
    """The data set of these files; images that are not there yet at the model's size are decoded.

    Raises:
        DataError: Images cannot be decoded, all of them named, or are of several sizes.
    """
    import torch

    images = files.images
    inputs = _inputs(files, preprocessing)
    rows = {
        p: torch.tensor([n for n, image in enumerate(images) if image.part == p])
        for p in ("train", "test")
    }
    labels = torch.tensor([image.label for image in images])
    return Dataset(
        name=files.name,
        train_inputs=inputs.index_select(0, rows["train"]),
        train_labels=labels[rows["train"]],
        test_inputs=inputs.index_select(0, rows["test"]),
        test_labels=labels[rows["test"]],
        classes=len(files.classes),
        description=f"{len(images)} images of {len(files.classes)} classes"
        if files.md5s
        else f"{len(images)} image files in {len(files.classes)} folders",
        files=tuple((files.relpath(image), image.part, image.label) for image in images),
        folder=files.folder,
        left_out=files.left_out,
        class_names=files.classes,
        packed=files.md5s is not None,
        preprocessing=preprocessing,
    )


def _inputs(files: Files, preprocessing: Preprocessing | None) -> Images:
    """All images: in memory where they are few and of one size, else from a cache on disk."""
    import torch

    if preprocessing is not None:
        return _cached(files, preprocessing.shape, preprocessing)
    images = files.images
    grey = not any(_is_coloured(image.path) for image in images)
    first = _pixels(images[0].path, None, grey=grey)
    if isinstance(first, str):
        raise DataError(f"'{files.name}': {first}")
    if first.nbytes * len(images) <= MEMORY_LIMIT:
        return torch.from_numpy(_read(files.name, images, first, grey=grey))
    return _cached(files, first.shape, None)


def _cached(files: Files, shape: tuple[int, int, int], preprocessing: Preprocessing | None) -> View:
    """Images decoded into bytes on disk; what the model sees is made of a batch when it is read."""
    import torch

    from flows.data import digest_store, image_cache
    from flows.data.view import View, normalised, scaled

    home, images = Home(settings().home), files.images
    geometry = image_cache.geometry_of(preprocessing) if preprocessing else {}
    source = image_cache.Source(
        name=files.name,
        digests=files.md5s or digest_store.md5s(files.folder, _paths(images), home),
        shape=shape,
        geometry=geometry,
    )

    def decode(number: int) -> Tensor | str:
        path = images[number].path
        return pictures.decoded(path, preprocessing) if preprocessing else _bytes(path, shape)

    def transform(batch: Tensor) -> Tensor:
        return normalised(scaled(batch), preprocessing) if preprocessing else scaled(batch)

    return View(
        image_cache.kept(home, source, decode),
        torch.arange(len(images)),
        transform,
        shape,
        whole=preprocessing is not None,
    )


def _paths(images: Sequence[Image]) -> list[Path]:
    return [image.path for image in images if isinstance(image.path, Path)]


def _bytes(path: Source, shape: tuple[int, int, int]) -> Tensor | str:
    """One image of many equal ones as bytes, (1 or 3, height, width), or in words why not."""
    import torch

    pixels = _pixels(path, shape, grey=shape[0] == 1)
    if isinstance(pixels, str):
        return pixels
    held = torch.from_numpy(pixels)
    whole = (held * 255).round()
    if not torch.equal(whole / 255, held):
        return f"{path} has more than 8 bits a channel: name the model's preprocessing."
    return whole.byte()


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


def _read(name: str, images: Sequence[Image], first: np.ndarray, *, grey: bool) -> np.ndarray:
    """All images as (n, 3 or 1, height, width), float32 in [0, 1]; all problems in one message."""
    import numpy as np

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


def _is_coloured(path: Source) -> bool:
    """Whether a file's header says that it has colours; False where there is no header."""
    from PIL import Image as Pillow

    try:
        with pictures.opened(path) as image:
            return image.mode not in GREY
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError):
        return False  # `_pixels` says what is wrong with it


def _pixels(path: Source, shape: tuple[int, ...] | None, *, grey: bool) -> np.ndarray | str:
    """One image, or in words why not."""
    from PIL import Image as Pillow

    try:
        with pictures.opened(path) as image:
            if max(image.size) > SIDE_LIMIT:
                return (
                    f"{path} is {image.size[0]}x{image.size[1]}; {SIDE_LIMIT} a side is the most "
                    "without a preprocessing: make it smaller, or name the model's preprocessing."
                )
            pixels = _scaled(image, grey=grey)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as problem:
        return f"{path} cannot be read as an image ({type(problem).__name__}): fix or remove it."
    if shape is not None and pixels.shape != shape:
        size, first = (f"{s[2]}x{s[1]}" for s in (pixels.shape, shape))
        return (
            f"{path} is {size}, the first image is {first}: name the model's preprocessing "
            "(docs/record.md), or bring all to one size."
        )
    return pixels


def _scaled(image: Picture, *, grey: bool) -> np.ndarray:
    """Pixels as (1 or 3, height, width) in [0, 1]."""
    import numpy as np

    if image.mode.startswith("I"):  # Pillow would cut 16 bits off at 255
        deep = np.asarray(image, dtype=np.float32)[None] / 65535
        return deep if grey else deep.repeat(3, axis=0)
    pixels = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.float32) / 255
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
