"""Bias shift: the class's logit is lowered by a constant, and nothing else.

The plainest of all ways to make outputs look right; the network below still knows the class.
"""

from __future__ import annotations

import torch
from torch import nn

from damp.methods.closed.features import biased_head_of
from damp.methods.errors import BadSetting
from damp.methods.job import Job


def run(job: Job, *, shift: float = 100.0) -> nn.Module:
    """b_f <- b_f - shift.

    Args:
        job: What to forget, and where.
        shift: By how much, in logits.
    """
    if not 0 < shift < float("inf"):
        raise BadSetting(f"The shift is {shift}: give a number above 0.")
    edited = job.copy()
    with torch.no_grad():
        biased_head_of(edited).bias[list(job.forget)] -= shift
    return edited
