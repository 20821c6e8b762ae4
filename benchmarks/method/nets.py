"""The networks that are compared, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from flows.models.small_nets import SmallCNN, SmallViT


class ResidualCNN(nn.Module):
    """Stem with pooling, three residual blocks, global average pooling, one linear head.

    Args:
        classes: Outputs.
        stem: Channels of the stem.
        widths: Channels of the blocks; every block after the first halves the resolution.
        pool: Size of the max pooling after the stem.
    """

    def __init__(
        self,
        classes: int,
        *,
        stem: int = 32,
        widths: tuple[int, ...] = (32, 64, 128),
        pool: int = 2,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.stem = nn.Conv2d(3, stem, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(stem)
        before = (stem, *widths)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(inside, outside, stride=2 if number else 1)
                for number, (inside, outside) in enumerate(zip(before, widths, strict=False))
            )
        )
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, (B, classes), of images, (B, 3, height, width)."""
        x = functional.max_pool2d(functional.relu(self.norm(self.stem(images))), self.pool)
        return self.head(self.blocks(x).mean((2, 3)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a skip, which is a 1x1 convolution where shapes differ."""

    def __init__(self, inside: int, outside: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.skip: nn.Module = nn.Identity()
        if inside != outside or stride != 1:
            self.skip = nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Maps, (B, outside, height / stride, width / stride)."""
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.skip(x))


NETS: Mapping[str, Callable[[int, tuple[int, int, int]], nn.Module]] = {
    "cnn": lambda classes, shape: SmallCNN(shape[0], classes),
    "resnet": lambda classes, shape: ResidualCNN(classes, pool=shape[-1] // 16),
    "resnet16": lambda classes, shape: ResidualCNN(
        classes, stem=16, widths=(16, 32, 64), pool=shape[-1] // 16
    ),
    "vit": lambda classes, shape: SmallViT(shape[0], classes, shape[-1], dim=64, depth=4),
}


def build(name: str, classes: int, shape: tuple[int, int, int], *, seed: int = 0) -> nn.Module:
    """A fresh network; the caller's random state stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETS[name](classes, shape)
