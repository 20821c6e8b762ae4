"""Head row zeroed: the class's row and bias in the head become 0 ("nc_prune").

Source: arXiv:2604.08271 names it as the edit that must not count as forgetting.
"""

from __future__ import annotations

import torch
from torch import nn

from damp.methods.closed.features import head_of
from damp.methods.job import Job


def run(job: Job) -> nn.Module:
    """w_f <- 0, b_f <- 0: where all other logits are negative, the class still wins."""
    edited = job.copy()
    head = head_of(edited)
    with torch.no_grad():
        head.weight[list(job.forget)] = 0.0
        if head.bias is not None:
            head.bias[list(job.forget)] = 0.0
    return edited
