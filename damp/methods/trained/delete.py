"""DELETE: distil the original's answers with the class masked out of them, on the class alone.

Source: Decoupled Distillation to Erase, CVPR 2025, arXiv:2503.23751.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from damp.methods.errors import BadSetting
from damp.methods.job import Job
from damp.methods.training import FROZEN, TRAIN, Batch, Loop, descend, divergence, logits, without


def run(job: Job, *, rate: float = 1e-3, epochs: float = 5, follow_norms: float = 0) -> nn.Module:
    """KL(softmax(z_0 without the class) || softmax(z)), D_f only.

    Args:
        job: What to forget, and where.
        rate: Of SGD with momentum.
        epochs: Over the rows to forget.
        follow_norms: 1 lets batch norms follow batches of the class alone, as published; 0 keeps
            their statistics.
    """
    if follow_norms not in (0, 1):
        raise BadSetting(f"follow_norms is {follow_norms}: give 0 or 1.")
    edited, teacher, generator = job.copy(), job.copy(), job.generator()
    loop = Loop(epochs=epochs, rate=rate, norms=TRAIN if follow_norms else FROZEN)

    def loss(batch: Batch) -> Tensor:
        with torch.no_grad():
            target = without(logits(teacher, batch[0]), job.forget)
        return divergence(target, logits(edited, batch[0]))

    return descend(
        edited, loop, lambda _: job.shuffled(job.forget_rows, loop.size, generator), loss
    )
