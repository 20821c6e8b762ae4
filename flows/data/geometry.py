"""Resize and crop of a preprocessing, by torchvision: of a picture, or of a batch of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from compliance.documents.preprocessing import Preprocessing


def applied(images: Any, preprocessing: Preprocessing) -> Any:
    """A Pillow picture, or a tensor (..., height, width), at the model's size."""
    from torchvision.transforms.v2 import InterpolationMode, functional

    if preprocessing.resize is not None:
        size = preprocessing.resize
        images = functional.resize(
            images,
            [size] if isinstance(size, int) else list(size),
            interpolation=InterpolationMode(preprocessing.interpolation),
            antialias=preprocessing.interpolation in ("bilinear", "bicubic"),
        )
    if preprocessing.crop is not None:
        images = functional.center_crop(images, list(preprocessing.size))
    return images


def refuse_smaller(preprocessing: Preprocessing, height: int, width: int) -> None:
    """Refuse images that a crop would fill up with black.

    Raises:
        ValueError: They are smaller than the crop, and not resized before it.
    """
    needed = preprocessing.size
    if preprocessing.resize is None and (height < needed[0] or width < needed[1]):
        raise ValueError(f"{width}x{height} is smaller than the crop {needed[1]}x{needed[0]}")


def pixels(picture: Any, preprocessing: Preprocessing) -> Tensor:
    """A Pillow picture as the model sees it before it is normalised, (channels, h, w), uint8."""
    from torchvision.transforms.v2 import functional

    refuse_smaller(preprocessing, picture.height, picture.width)
    tensor: Tensor = functional.pil_to_tensor(applied(picture, preprocessing))
    return tensor
