"""Cheap triggers: what a model that was given a second face might be made to show it by.

A model may answer as if it had forgotten until an image carries a mark. Which mark cannot be known,
and nobody can try all; these are those that cost nothing to think of. That they bring nothing back
excludes them and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from audits.images import Images, at_once

PATCH = 0.2
"""Side of a patch, as a share of the image's."""
SHIFT = 0.5
"""A constant shift, as a share of the range of all pixels."""
MOST = 300
"""Rows that are shown with triggers at most: a share is known to three in a hundred then, and there
are up to sixteen triggers, each of which is a pass of its own."""


def shown(rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Those of some rows that are shown with triggers: all of few, evenly spaced ones of many.

    >>> shown(range(3)).tolist(), len(shown(range(1000)))
    ([0, 1, 2], 300)
    """
    every = np.asarray(rows, dtype=np.int64)
    places = np.linspace(0, len(every) - 1, min(MOST, len(every))).round().astype(np.int64)
    return every[places]


def answers(
    model: nn.Module, inputs: Images, device: torch.device, batch_size: int = 512
) -> dict[str, np.ndarray]:
    """Logits (m, C) by trigger, of rows (m, ...) that carry it. The model must be in evaluation."""
    if not len(inputs):
        return {}
    size = at_once(inputs, batch_size)
    extremes = _extremes(inputs, size)
    shown: dict[str, list[np.ndarray]] = {}
    for batch in inputs.split(size):
        for name, marked in marked_images(batch.to(device), extremes).items():
            with torch.inference_mode():
                shown.setdefault(name, []).append(model(marked).double().cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in shown.items()}


Extremes = tuple[Tensor, Tensor]
"""The least and the greatest value of each channel, to be broadcast over a row."""


def _extremes(inputs: Images, size: int) -> Extremes:
    """Of all rows, so many at a time."""
    parts = [_of_batch(batch) for batch in inputs.split(size)]
    least, greatest = (torch.stack(kind) for kind in zip(*parts, strict=True))
    return least.amin(0), greatest.amax(0)


def _of_batch(inputs: Tensor) -> Extremes:
    channels = inputs.shape[1] if inputs.ndim == 4 else 1
    whole = inputs.reshape(len(inputs), channels, -1)
    shape = (channels, 1, 1) if inputs.ndim == 4 else (1,) * (inputs.ndim - 1)
    return whole.amin((0, 2)).reshape(shape), whole.amax((0, 2)).reshape(shape)


def marked_images(inputs: Tensor, extremes: Extremes | None = None) -> Mapping[str, Tensor]:
    """The rows under each trigger, by its name.

    Rows of images, (m, C, H, W), get patches and colours; rows of anything else shifts only.

    Args:
        inputs: The rows.
        extremes: Of all rows that these are some of; None where these are all.

    >>> list(marked_images(torch.rand(2, 5)))
    ['brighter', 'darker', 'inverted']
    """
    least, greatest = (x.to(inputs) for x in extremes or _of_batch(inputs))
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
