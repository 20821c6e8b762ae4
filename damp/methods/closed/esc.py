"""ESC: erase the space that the features of the class fill.

Source: ESC: Erasing Space Concept for Knowledge Deletion, CVPR 2025, arXiv:2504.02199.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from damp.methods.closed.features import head_inputs, head_of
from damp.methods.errors import BadSetting
from damp.methods.job import Job


def run(job: Job, *, percent: float = 1.5) -> nn.Module:
    """phi <- (I - V V') phi before the head, folded into its weight: W <- W (I - V V').

    V holds the first left singular vectors of the class's uncentred features. No other row is
    read, the bias stays.

    Args:
        job: What to forget, and where.
        percent: Of the features' width, so many vectors; one at least.
    """
    if not 0 < percent <= 100:
        raise BadSetting(f"{percent} per cent of the width: give a number above 0, 100 at most.")
    edited = job.copy()
    head = head_of(edited)
    directions = leading(head_inputs(edited, job, job.forget_rows), percent)
    with torch.no_grad():
        weight = head.weight.double()  # (C, d)
        head.weight.copy_(weight - weight @ directions @ directions.T)
    return edited


def leading(features: Tensor, percent: float) -> Tensor:
    """The first right singular vectors of features (n, d), as columns (d, k).

    >>> leading(torch.tensor([[3., 0.], [0., 1.]]), 1.5).abs()
    tensor([[1.],
            [0.]])
    """
    count = max(1, int(features.shape[1] * percent / 100))
    _, vectors = torch.linalg.eigh(features.T @ features)  # ascending
    return vectors.flip(1)[:, :count]
