"""Images changed at random while a model is trained, as in torchvision's and timm's own scripts.

Everything draws from torch's own random state, which the trainer seeds. Pixels are changed as they
are stored, bytes or floats in [0, 1], before they are resized or normalised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from audits.images import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """What is done to each batch of images; zero and False are "not at all".

    Attributes:
        flip: Half of the images are mirrored, left to right.
        crop: Pixels of black that are added on each side before the old size is cut out anywhere.
        resized_crop: Least share of an image's area that a random part of it has, which then
            fills the whole (torchvision's `RandomResizedCrop`, sides from 3:4 to 4:3).
        rand_augment: Magnitude of two random operations of torchvision's `RandAugment`, 1 to 30.
        mixup: Alpha of a beta distribution by which pairs of images are mixed (arXiv:1710.09412).
        cutmix: Alpha of one by which a box of an image comes from another (arXiv:1905.04899). With
            both, each batch gets one of the two at random.
    """

    flip: bool = False
    crop: int = 0
    resized_crop: float = 0.0
    rand_augment: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0

    def problems(self) -> Iterator[str]:
        """What is wrong with it, in words."""
        if self.crop < 0 or not 0 <= self.rand_augment <= 30:
            yield "`crop` counts pixels from 0, `rand_augment` goes from 0 to 30."
        if not 0 <= self.resized_crop < 1:
            yield f"`resized_crop` is {self.resized_crop}: a share of the area, below 1."
        if self.crop and self.resized_crop:
            yield "`crop` and `resized_crop` are two ways to cut: give one."
        if self.mixup < 0 or self.cutmix < 0:
            yield "`mixup` and `cutmix` are alphas: 0 or more."


@runtime_checkable
class Alterable(Protocol):
    """Images whose pixels can be changed before a model sees them."""

    def altered(self, rows: Tensor, augmentation: Augmentation) -> Tensor:
        """These rows, changed at random, as the model sees them."""
        ...


def read(images: Images, rows: Tensor, augmentation: Augmentation | None) -> Tensor:
    """Rows for one step of a training."""
    if augmentation is None:
        return images[rows]
    if isinstance(images, Alterable):
        return images.altered(rows, augmentation)
    return changed(images[rows], augmentation)


def changed(images: Tensor, augmentation: Augmentation) -> Tensor:
    """Images, (B, C, H, W), each changed at random; their type and size stay."""
    if augmentation.crop:
        images = _cropped(images, augmentation.crop)
    if augmentation.resized_crop or augmentation.rand_augment:
        images = _by_torchvision(images, augmentation)
    return _flipped(images) if augmentation.flip else images


def _flipped(images: Tensor) -> Tensor:
    chosen = torch.rand(len(images)) < 0.5  # (B,)
    return torch.where(chosen.to(images.device)[:, None, None, None], images.flip(-1), images)


def _cropped(images: Tensor, padding: int) -> Tensor:
    """Each image moved by up to `padding` pixels along both axes; black comes in."""
    count, _, height, width = images.shape
    padded = functional.pad(images, [padding] * 4)
    offsets = torch.randint(0, 2 * padding + 1, (2, count)).to(images.device)
    rows = offsets[0][:, None] + torch.arange(height, device=images.device)  # (B, H)
    columns = offsets[1][:, None] + torch.arange(width, device=images.device)  # (B, W)
    numbers = torch.arange(count, device=images.device)[:, None, None]
    # (B, H, W, C): the indexed axes come first
    return (
        padded[numbers, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
    )


def _by_torchvision(images: Tensor, augmentation: Augmentation) -> Tensor:
    """Image by image: torchvision changes all images of a batch alike."""
    from torchvision.transforms import v2

    steps: list[v2.Transform] = []
    if augmentation.resized_crop:
        size = [int(side) for side in images.shape[2:]]
        scale = (augmentation.resized_crop, 1.0)
        steps.append(v2.RandomResizedCrop(size, scale=scale, antialias=True))
    if augmentation.rand_augment:
        steps.append(v2.RandAugment(magnitude=augmentation.rand_augment))
    whole = v2.Compose(steps)
    return torch.stack([whole(image) for image in images])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixed:
    """A batch in which each image is made of two.

    Attributes:
        images: (B, C, H, W).
        labels: Of the larger contribution's image by its place, (B,).
        others: Of the other image, (B,).
        share: Of the first in the loss.
    """

    images: Tensor
    labels: Tensor
    others: Tensor
    share: float


def mixed(images: Tensor, labels: Tensor, augmentation: Augmentation | None) -> Mixed:
    """A batch mixed with itself, moved on by one row; as it is where nothing is to be mixed."""
    plain = Mixed(images=images, labels=labels, others=labels, share=1.0)
    if augmentation is None or not (augmentation.mixup or augmentation.cutmix):
        return plain
    both = augmentation.mixup and augmentation.cutmix
    cut = bool(augmentation.cutmix) and (not both or bool(torch.rand(()) < 0.5))
    alpha = augmentation.cutmix if cut else augmentation.mixup
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    other = images.roll(1, 0)
    if not cut:
        return Mixed(
            images=images * share + other * (1 - share),
            labels=labels,
            others=labels.roll(1, 0),
            share=share,
        )
    height, width = images.shape[2:]
    # a box of 1 - share of the area, anywhere; what lies outside the image is cut off
    side = (1 - share) ** 0.5
    row, column = int(torch.randint(height, ())), int(torch.randint(width, ()))
    tall, wide = int(height * side / 2), int(width * side / 2)
    top, bottom = max(0, row - tall), min(height, row + tall)
    left, right = max(0, column - wide), min(width, column + wide)
    pasted = images.clone()
    pasted[:, :, top:bottom, left:right] = other[:, :, top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return Mixed(images=pasted, labels=labels, others=labels.roll(1, 0), share=kept)
