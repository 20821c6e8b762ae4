"""Negative gradient: climb the loss of the class. The rows to keep are not looked at.

Source: A. Golatkar, A. Achille, S. Soatto, CVPR 2020, arXiv:1911.04933 (as a baseline).
"""

from __future__ import annotations

from torch import nn

from damp.methods.job import Job
from damp.methods.training import FROZEN, Loop, cross_entropy, descend


def run(job: Job, *, rate: float = 1e-3, epochs: float = 5) -> nn.Module:
    """Minimise -CE(D_f); batch norms keep their statistics, which are of all classes.

    Args:
        job: What to forget, and where.
        rate: Of SGD with momentum.
        epochs: Over the rows to forget.
    """
    edited, generator = job.copy(), job.generator()
    loop = Loop(epochs=epochs, rate=rate, norms=FROZEN)
    return descend(
        edited,
        loop,
        lambda _: job.shuffled(job.forget_rows, loop.size, generator),
        lambda batch: -cross_entropy(edited, batch),
    )
