"""A user's `torch.utils.data.Dataset`, training and test part: each item an image and its class.

Items are Pillow pictures, bytes (channels, height, width) uint8, or float tensors that the user's
own transforms have made. Pictures and bytes go into the image cache at the model's size, one by
one; floats are held as they come. A part may say by `fingerprint`, a text, which images it holds:
then it is read once, else once in each process, since nothing else shows whether it has changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.data.dataset import Dataset
from flows.state import users_calls
from flows.state.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from compliance.documents.preprocessing import Preprocessing

FLOAT_LIMIT = 1 << 30
"""Bytes of float tensors at most: they are held in memory."""


def are_datasets(result: Any) -> bool:
    """Whether a function returned two of torch's data sets."""
    from torch.utils.data import Dataset as Torch

    return (
        isinstance(result, tuple)
        and len(result) == 2
        and all(isinstance(part, Torch) for part in result)
    )


def load(name: str, parts: tuple[Any, Any], preprocessing: Preprocessing | None) -> Dataset:
    """The data set of both parts.

    Raises:
        DataError: An item is no image with a class, they have several sizes and there is no
            preprocessing, or the user's code raises.
        StoreError: The decoded images cannot be kept.
    """
    import torch

    count = tuple(_length(name, part) for part in parts)
    first, _ = _item(name, parts[0], 0)
    if isinstance(first, torch.Tensor) and first.is_floating_point():
        return _of_floats(name, parts, count, preprocessing)
    return _of_pictures(name, parts, count, preprocessing)


def _length(name: str, part: Any) -> int:
    with users_calls.guarded(name, DataError, "when its length was asked for"):
        length = len(part)
    if length < 1:
        raise DataError(f"'{name}' returned a part without images. Both parts need some.")
    return int(length)


def _item(name: str, part: Any, number: int) -> tuple[Any, int]:
    """One image and its class."""
    with users_calls.guarded(name, DataError, f"when item {number} was read"):
        item = part[number]
        pair = isinstance(item, tuple | list) and len(item) == 2
        image, label = item if pair else (None, None)
    if label is not None and getattr(label, "ndim", 1) == 0:
        label = label.item()  # of numpy or torch
    if not isinstance(label, int) or isinstance(label, bool):
        raise DataError(
            f"Item {number} of '{name}' is no pair (image, class) with the class as a whole "
            "number. Return both, the class as its index."
        )
    return image, label


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """What one pass over all items leaves: what each holds, and its class."""

    digests: tuple[str, ...]
    labels: tuple[int, ...]


def _of_pictures(
    name: str, parts: tuple[Any, Any], count: tuple[int, ...], preprocessing: Preprocessing | None
) -> Dataset:
    import torch

    from flows.data import image_cache
    from flows.data.view import View, normalised, scaled
    from flows.state.paths import Home
    from flows.state.settings import settings

    home = Home(settings().home)
    first = _pixels(name, _item(name, parts[0], 0)[0], 0, preprocessing)
    shape = (int(first.shape[0]), int(first.shape[1]), int(first.shape[2]))
    every = _read(name, parts, count, preprocessing)
    source = image_cache.Source(
        name=name,
        digests=every.digests,
        shape=shape,
        geometry=image_cache.geometry_of(preprocessing) if preprocessing else {},
    )

    def decode(number: int) -> Tensor | str:
        image, _ = _item(name, *_place(parts, count, number))
        try:
            pixels = _pixels(name, image, number, preprocessing)
        except DataError as problem:
            return str(problem)
        if tuple(pixels.shape) != shape:
            return (
                f"Item {number} is {tuple(pixels.shape)}, the first one {shape}: name the model's "
                "preprocessing, or bring all to one size."
            )
        return pixels

    def transform(batch: Tensor) -> Tensor:
        return normalised(scaled(batch), preprocessing) if preprocessing else scaled(batch)

    store = image_cache.kept(home, source, decode)
    views = [
        View(store, torch.arange(start, stop), transform, shape, whole=True)
        for start, stop in ((0, count[0]), (count[0], sum(count)))
    ]
    labels = torch.tensor(every.labels)
    return Dataset(
        name=name,
        train_inputs=views[0],
        train_labels=labels[: count[0]],
        test_inputs=views[1],
        test_labels=labels[count[0] :],
        classes=int(labels.max()) + 1,
        description=f"By {name}",
        preprocessing=preprocessing,
    )


def _place(parts: tuple[Any, Any], count: tuple[int, ...], number: int) -> tuple[Any, int]:
    """Part and number in it of an item that is counted through both."""
    return (parts[0], number) if number < count[0] else (parts[1], number - count[0])


def _read(
    name: str, parts: tuple[Any, Any], count: tuple[int, ...], preprocessing: Preprocessing | None
) -> _Pass:
    """Digests and classes of all items; of parts with a fingerprint the classes alone."""
    from flows.data import image_cache

    digests: list[str] = []
    labels: list[int] = []
    for part, length in zip(parts, count, strict=True):
        mark = getattr(part, "fingerprint", None)
        targets = getattr(part, "targets", None)
        if isinstance(mark, str) and targets is not None and len(targets) == length:
            digests += [f"{mark} {number}" for number in range(length)]
            labels += [int(target) for target in targets]
            continue
        for number in range(length):
            image, label = _item(name, part, number)
            pixels = _pixels(name, image, number, preprocessing)
            digests.append(image_cache.digest_of(pixels))
            labels.append(label)
    return _Pass(digests=tuple(digests), labels=tuple(labels))


def _pixels(name: str, image: Any, number: int, preprocessing: Preprocessing | None) -> Tensor:
    """An item's image at the model's size, uint8."""
    import torch
    from PIL.Image import Image as Picture
    from torchvision.transforms.v2 import functional

    from flows.data import geometry, pictures

    try:
        if isinstance(image, Picture):
            if preprocessing:
                return pictures.pixels(image, preprocessing)
            tensor: Tensor = functional.pil_to_tensor(
                image.convert("L" if image.mode in ("1", "L") else "RGB")
            )
            return tensor
        if isinstance(image, torch.Tensor) and image.dtype == torch.uint8 and image.ndim == 3:
            if preprocessing is None:
                return image
            if image.shape[0] not in (1, preprocessing.channels):
                raise ValueError(f"it has {image.shape[0]} channels")
            geometry.refuse_smaller(preprocessing, *image.shape[1:])
            coloured = image.expand(preprocessing.channels, -1, -1)
            resized: Tensor = geometry.applied(coloured, preprocessing)
            return resized
    except (OSError, ValueError, SyntaxError) as problem:
        raise DataError(
            f"Item {number} of '{name}' cannot be used: {problem}. Fix or leave it out."
        ) from problem
    raise DataError(
        f"Item {number} of '{name}' is no image but a {type(image).__name__}. Return a Pillow "
        "picture, or a tensor (channels, height, width), uint8 or float."
    )


def _of_floats(
    name: str, parts: tuple[Any, Any], count: tuple[int, ...], preprocessing: Preprocessing | None
) -> Dataset:
    import torch

    if preprocessing is not None:
        raise DataError(
            f"'{name}' returns float tensors, which its own transforms have made: they would be "
            "preprocessed twice. Return pictures, or leave the model's preprocessing out."
        )
    held: list[Tensor] = []
    labels: list[Tensor] = []
    for part, length in zip(parts, count, strict=True):
        rows = list(_floats(name, part, length, sum(count)))
        held.append(torch.stack([image for image, _ in rows]))
        labels.append(torch.tensor([label for _, label in rows]))
    return Dataset(
        name=name,
        train_inputs=held[0],
        train_labels=labels[0],
        test_inputs=held[1],
        test_labels=labels[1],
        classes=int(torch.cat(labels).max()) + 1,
        description=f"By {name}",
    )


def _floats(name: str, part: Any, length: int, whole: int) -> Iterator[tuple[Tensor, int]]:
    import torch

    shape: tuple[int, ...] | None = None
    for number in range(length):
        image, label = _item(name, part, number)
        if not isinstance(image, torch.Tensor) or (shape and tuple(image.shape) != shape):
            raise DataError(
                f"Item {number} of '{name}' is a {type(image).__name__} of another kind or shape "
                "than the first. Return tensors of one shape, or pictures."
            )
        shape = tuple(image.shape)
        if image.numel() * 4 * whole > FLOAT_LIMIT:
            raise DataError(
                f"'{name}' returns {whole} float tensors of {shape}, which take more than "
                f"{FLOAT_LIMIT >> 30} GiB of memory. Return pictures or bytes, and name what is "
                "done to them as the model's preprocessing."
            )
        yield image.float(), label
