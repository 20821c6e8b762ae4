"""The networks of the race, small enough for two shared cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.method.nets import ResidualBlock
from flows.models.small_nets import SmallCNN, SmallViT


class SmallResidual(nn.Module):
    """A stem that quarters the resolution, three residual blocks, pooling, one linear head.

    Args:
        channels: Of the images, 32x32.
        classes: Outputs.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 16, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(
            ResidualBlock(16, 16, stride=1),
            ResidualBlock(16, 32, stride=2),
            ResidualBlock(32, 64, stride=2),
        )
        self.head = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, (B, classes), of images, (B, channels, 32, 32)."""
        x = functional.max_pool2d(functional.relu(self.norm(self.stem(images))), 2)
        return self.head(self.blocks(x).mean((2, 3)))


def small_vit(channels: int, classes: int) -> nn.Module:
    """A transformer of three blocks over sixteen tokens, patches of 8x8 of images of 32x32."""
    model = SmallViT(channels, classes, 32, dim=48, depth=3)
    model.embed = nn.Conv2d(channels, 48, 8, stride=8)
    model.position = nn.Parameter(torch.randn(1, 16, 48) * 0.02)
    return model


NETS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "cnn": SmallCNN,
    "cnn8": lambda channels, classes: SmallCNN(channels, classes, width=8),
    "resnet": SmallResidual,
    "vit": small_vit,
}
"""From channels and classes to a fresh network."""


def build(name: str, shape: tuple[int, ...], classes: int) -> nn.Module:
    """A fresh network from the state of torch's generator."""
    return NETS[name](shape[0], classes)
