"""Rows that nobody could have prepared a model for: known images, moved a little, from a seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

SHIFT = 0.5
"""Largest shift of an image along each axis, in pixels."""
NOISE = 0.05
"""Standard deviation of the noise, in standard deviations of the pixels."""


def choose(
    labels: Tensor, forget: Sequence[int], *, seed: int, own: int = 200, others: int = 400
) -> Tensor:
    """Row numbers to perturb, ascending: of each forgotten class and, evenly, of the other ones.

    Args:
        labels: Classes of the training rows, (n,).
        forget: Classes to forget.
        seed: Of the choice.
        own: Rows of each forgotten class at most.
        others: Rows of all other classes together, about.
    """
    generator = torch.Generator().manual_seed(seed)
    classes = labels.unique().tolist()
    # at least two of a class, so that it has a spread
    share = max(2, round(others / max(1, len(set(classes) - set(forget)))))
    kept = []
    for c in classes:
        rows = torch.nonzero(labels == c).flatten()
        count = own if c in forget else share
        kept.append(rows[torch.randperm(len(rows), generator=generator)[:count]])
    return torch.cat(kept).sort().values


def perturbed(inputs: Tensor, *, seed: int) -> Tensor:
    """Images shifted by a fraction of a pixel and overlaid with noise; other inputs noise alone.

    Args:
        inputs: (n, ...); (n, channels, height, width) are images.
        seed: Of shifts and noise.
    """
    generator = torch.Generator().manual_seed(seed)
    moved = _shifted(inputs, generator) if inputs.ndim == 4 else inputs
    spread = float(inputs.std()) or 1.0  # an image of one value still gets some noise
    return moved + NOISE * spread * torch.randn(moved.shape, generator=generator).to(moved)


def _shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    height, width = images.shape[-2:]
    # (n, 2), uniform in -SHIFT to SHIFT
    pixels = (2 * torch.rand(len(images), 2, generator=generator) - 1) * SHIFT
    # affine_grid spans -1 to 1: a pixel is 2 / width
    by = pixels * 2 / torch.tensor([width, height])
    theta = torch.eye(2, 3).repeat(len(images), 1, 1)  # (n, 2, 3): the identity and a translation
    theta[:, :, 2] = by
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(
        images, grid.to(images), mode="bilinear", padding_mode="border", align_corners=False
    )
