"""Two small classifiers of our own: for the demo, for tests, and where a GPU is not at hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class SmallCNN(nn.Module):
    """Three convolutions with batch norm and two linear layers, for images from 8x8 to 64x64.

    Args:
        channels: Of the images.
        classes: Outputs.
        width: Channels of the first convolution; the others have twice and four times as many.
    """

    def __init__(self, channels: int, classes: int, *, width: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc1 = nn.Linear(16 * width, 64)
        self.fc2 = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, (B, classes), of images, (B, channels, height, width)."""
        x = functional.relu(self.bn1(self.conv1(images)))
        if images.shape[-1] > 16:  # 8x8 digits have nothing to spare this early
            x = functional.max_pool2d(x, 2)
        x = functional.max_pool2d(functional.relu(self.bn2(self.conv2(x))), 2)
        x = self.pool(functional.relu(self.bn3(self.conv3(x))))
        return self.fc2(functional.relu(self.fc1(x.flatten(1))))


class SmallViT(nn.Module):
    """A vision transformer whose attention is plain linear layers, so that all of it can be cut.

    Args:
        channels: Of the images.
        classes: Outputs.
        size: Height and width of the images; a multiple of the patch.
        dim: Width of a token.
        depth: Blocks.
        heads: Of the attention.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        size: int,
        *,
        dim: int = 64,
        depth: int = 3,
        heads: int = 4,
    ) -> None:
        super().__init__()
        patch = 2 if size <= 16 else 4
        self.embed = nn.Conv2d(channels, dim, patch, stride=patch)
        self.position = nn.Parameter(torch.randn(1, (size // patch) ** 2, dim) * 0.02)
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, (B, classes), of images, (B, channels, size, size)."""
        tokens = self.embed(images).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(tokens)).mean(1))


class Block(nn.Module):
    """Attention and a two-layer perceptron, each after a layer norm and around a skip."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 2 * dim)
        self.fc2 = nn.Linear(2 * dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens, (B, T, dim), after one block."""
        tokens = tokens + self.proj(self._attended(self.norm1(tokens)))
        return tokens + self.fc2(functional.gelu(self.fc1(self.norm2(tokens))))

    def _attended(self, tokens: Tensor) -> Tensor:
        batch, length, dim = tokens.shape
        split = self.qkv(tokens).view(batch, length, 3, self.heads, dim // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return mixed.transpose(1, 2).reshape(batch, length, dim)
