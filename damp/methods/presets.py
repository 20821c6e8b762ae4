"""The presets of `damp.forget` as methods like any other."""

from __future__ import annotations

from torch import nn

import damp
from damp.methods.job import Job


def run(job: Job, *, preset: str) -> nn.Module:
    """A copy edited by a preset with its defaults, all outputs in place."""
    edited = damp.forget(job.model, job.batches(), forget=job.forget, preset=preset)
    return edited.unretired
