"""Fine-tuning: go on with the rows to keep and hope that the class is forgotten on the way.

Source: A. Warnecke et al., Machine Unlearning of Features and Labels, NDSS 2023, arXiv:2108.11577.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from damp.methods.job import Job
from damp.methods.training import Loop, cross_entropy, descend


def run(job: Job, *, rate: float = 0.01, epochs: float = 3) -> nn.Module:
    """Cross-entropy on the rows to keep, all weights.

    Args:
        job: What to forget, and where.
        rate: Of SGD with momentum.
        epochs: Over the rows to keep.
    """
    edited, loop, generator = job.copy(), Loop(epochs=epochs, rate=rate), job.generator()
    return descend(
        edited,
        loop,
        lambda _: job.shuffled(job.retain_rows, loop.size, generator),
        partial(cross_entropy, edited),
    )
