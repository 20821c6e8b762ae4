"""Random labels: the class is learned anew as any other, the others as what they are.

Source: L. Graves, V. Nagisetty, V. Ganesh, Amnesiac Machine Learning, AAAI 2021, arXiv:2010.10981;
labels from all classes but those to forget, drawn anew in each epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from damp.methods.job import Job
from damp.methods.training import Batch, Loop, cross_entropy, descend, logits


def run(job: Job, *, rate: float = 0.01, epochs: float = 3) -> nn.Module:
    """CE on D_f with random labels, then CE on D_r, each epoch.

    Args:
        job: What to forget, and where.
        rate: Of SGD with momentum.
        epochs: Over all rows.
    """
    edited, loop, generator = job.copy(), Loop(epochs=epochs, rate=rate), job.generator()
    epoch = partial(relabelled, job, others(edited, job), loop.size, generator)
    return descend(edited, loop, epoch, partial(cross_entropy, edited))


def others(model: nn.Module, job: Job) -> Tensor:
    """Classes that a row of the class may be given: all outputs but those to forget."""
    with torch.no_grad():
        count = logits(model, job.rows(torch.arange(1))[0]).shape[1]
    return torch.tensor([c for c in range(count) if c not in job.forget])


def relabelled(
    job: Job, choices: Tensor, size: int, generator: torch.Generator, number: int
) -> Iterator[Batch]:
    """The batches of one epoch: the rows to forget with other labels, then the rows to keep."""
    for inputs, labels in job.shuffled(job.forget_rows, size, generator):
        drawn = torch.randint(len(choices), (len(labels),), generator=generator)
        yield inputs, choices[drawn].to(labels.device)
    yield from job.shuffled(job.retain_rows, size, generator)
