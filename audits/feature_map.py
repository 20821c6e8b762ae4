"""The last feature map of a network before anything averages it away, as means of a few cells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

FINE, COARSE, WIDE = 3, 2, 256
"""Cells along each side, and the channels beyond which they are fewer: files stay small."""
POOLS = (
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.MaxPool2d,
    nn.AdaptiveMaxPool2d,
    nn.LPPool2d,
    nn.FractionalMaxPool2d,
)
"""What comes out of these is averaged already."""


class Cells:
    """Cell means of each batch, in the order in which the model was shown them."""

    def __init__(self) -> None:
        self._latest: Tensor | None = None
        self._batches: list[np.ndarray] = []
        self._whole = True

    def all(self) -> np.ndarray | None:
        """(n, C, a, b), float32; None where some batch gave no map with positions."""
        if not self._batches or not self._whole:
            return None
        return np.concatenate(self._batches)

    def note(self, module: nn.Module, _: Any, output: Any) -> None:
        """Remembers an output that is a map: the last one of a forward pass stays."""
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2:].numel() > 1:
            self._latest = output

    def close(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Ends a forward pass."""
        if self._latest is None or len(self._latest) != len(inputs[0]):
            self._whole = False
        else:
            self._batches.append(means(self._latest))
        self._latest = None


@contextmanager
def watching(model: nn.Module) -> Iterator[Cells]:
    """While this is open, each forward pass of the model adds the cells of its last map."""
    cells = Cells()
    parts = [m for m in model.modules() if not list(m.children()) and not isinstance(m, POOLS)]
    hooks = [part.register_forward_hook(cells.note) for part in parts if part is not model]
    hooks.append(model.register_forward_hook(cells.close))
    try:
        yield cells
    finally:
        for hook in hooks:
            hook.remove()


def means(maps: Tensor) -> np.ndarray:
    """Means over the cells of a grid, (B, C, H, W) -> (B, C, a, b), a and b three at most.

    >>> import torch
    >>> means(torch.arange(4.0).reshape(1, 1, 1, 4)).tolist()
    [[[[0.5, 1.5, 2.5]]]]
    """
    side = FINE if maps.shape[1] <= WIDE else COARSE
    height, width = (min(side, size) for size in maps.shape[2:])
    pooled = functional.adaptive_avg_pool2d(maps.detach().float(), (height, width))
    cells: np.ndarray = pooled.cpu().numpy()
    return cells
