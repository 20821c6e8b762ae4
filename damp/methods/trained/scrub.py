"""SCRUB: first disobey the teacher on the class, then obey it on the rest, and in turns.

Source: M. Kurmanji et al., Towards Unbounded Machine Unlearning, NeurIPS 2023, arXiv:2302.09880.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from damp.methods.job import Job
from damp.methods.training import Batch, Loop, descend, divergence, logits

TEMPERATURE = 2.0
"""Of both softmaxes."""


def run(
    job: Job,
    *,
    rate: float = 5e-4,
    alpha: float = 0.5,
    gamma: float = 1.0,
    max_steps: float = 2,
    epochs: float = 4,
) -> nn.Module:
    """Maximise KL(t || s) on D_f in the first epochs; always minimise gamma CE + alpha KL on D_r.

    Args:
        job: What to forget, and where.
        rate: Of Adam.
        alpha: Weight of the divergence on rows to keep.
        gamma: Weight of their labels.
        max_steps: Epochs that begin with a pass over D_f.
        epochs: Over the rows to keep.
    """
    edited, teacher, generator = job.copy(), job.copy(), job.generator()
    loop = Loop(epochs=epochs, rate=rate, adam=True)

    def epoch(number: int) -> Iterator[Batch]:
        if number < max_steps:
            for inputs, _ in job.shuffled(job.forget_rows, loop.size, generator):
                yield (inputs,)
        yield from job.shuffled(job.retain_rows, loop.size, generator)

    def loss(batch: Batch) -> Tensor:
        with torch.no_grad():
            target = logits(teacher, batch[0])
        answer = logits(edited, batch[0])
        apart = divergence(target, answer, TEMPERATURE)
        if len(batch) == 1:
            return -apart
        return gamma * functional.cross_entropy(answer, batch[1]) + alpha * apart

    return descend(edited, loop, epoch, loss)
