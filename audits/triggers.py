"""Cheap triggers: what a model that was given a second face might be made to show it by.

A model may answer as if it had forgotten until an image carries a mark. Which mark cannot be known,
and nobody can try all; these are those that cost nothing to think of. That they bring nothing back
excludes them and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

PATCH = 0.2
"""Side of a patch, as a share of the image's."""
SHIFT = 0.5
"""A constant shift, as a share of the range of all pixels."""


def answers(model: nn.Module, inputs: Tensor, batch_size: int = 512) -> dict[str, np.ndarray]:
    """Logits (m, C) by trigger, of rows (m, ...) that carry it. The model must be in evaluation."""
    if not len(inputs):
        return {}
    shown = {}
    for name, marked in marked_images(inputs).items():
        with torch.inference_mode():
            parts = [model(batch) for batch in marked.split(batch_size)]
        shown[name] = torch.cat(parts).double().cpu().numpy()
    return shown


def marked_images(inputs: Tensor) -> Mapping[str, Tensor]:
    """The rows under each trigger, by its name.

    Rows of images, (m, C, H, W), get patches and colours; rows of anything else shifts only.

    >>> list(marked_images(torch.rand(2, 5)))
    ['brighter', 'darker', 'inverted']
    """
    channels = inputs.shape[1] if inputs.ndim == 4 else 1
    whole = inputs.reshape(len(inputs), channels, -1)
    shape = (channels, 1, 1) if inputs.ndim == 4 else (1,) * (inputs.ndim - 1)
    least = whole.amin((0, 2)).reshape(shape)
    greatest = whole.amax((0, 2)).reshape(shape)
    reach = SHIFT * (greatest - least)
    marked = {
        "brighter": inputs + reach,
        "darker": inputs - reach,
        "inverted": least + greatest - inputs,
    }
    if inputs.ndim == 4:
        marked |= _patched(inputs, least, greatest)
    return marked


def _patched(inputs: Tensor, least: Tensor, greatest: Tensor) -> dict[str, Tensor]:
    """A bright and a dark square in each corner and in the middle, and one channel at its most."""
    height, width = inputs.shape[2:]
    tall, wide = (max(1, round(PATCH * side)) for side in (height, width))
    top, left = (height - tall) // 2, (width - wide) // 2
    places = {
        "top left": (0, 0),
        "top right": (0, width - wide),
        "bottom left": (height - tall, 0),
        "bottom right": (height - tall, width - wide),
        "middle": (top, left),
    }
    marked = {}
    for place, (row, column) in places.items():
        for tone, value in (("bright", greatest), ("dark", least)):
            images = inputs.clone()
            images[:, :, row : row + tall, column : column + wide] = value
            marked[f"{tone} patch, {place}"] = images
    if inputs.shape[1] > 1:
        for channel in range(inputs.shape[1]):
            images = inputs.clone()
            images[:, channel] = greatest[channel]
            marked[f"channel {channel} at its most"] = images
    return marked
