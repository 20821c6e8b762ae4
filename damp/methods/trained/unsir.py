"""UNSIR: learn noise that is anything but the class under its label, then repair.

Source: A. Tarun et al., Fast Yet Effective Machine Unlearning, arXiv:2111.08947.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from damp.methods.job import Job
from damp.methods.training import Batch, Loop, cross_entropy, descend, logits

NOISE_STEPS, NOISE_RATE, NOISE_ROWS = 40, 0.1, 64
"""Of Adam, on as many noise images of each class as one batch holds."""
PENALTY = 0.1
"""Of the noise's mean square."""
NOISE_SHARE = 0.6
"""Batches of noise beside those of the subset in the epoch that impairs: 20 to 35 as published."""
SUBSET = 500
"""Rows of each class to keep, at most."""


def run(job: Job, *, impair: float = 0.02, repair: float = 0.01, repairs: float = 1) -> nn.Module:
    """One epoch over noise labelled f and a subset of D_r, then some over the subset.

    Args:
        job: What to forget, and where.
        impair: Learning rate of the first, Adam as published for small nets.
        repair: Of the others.
        repairs: Epochs that repair; batch norms forget the noise by them as well.
    """
    edited, generator = job.copy(), job.generator()
    subset = torch.cat(
        [
            (job.labels == c).nonzero().flatten()[:SUBSET]
            for c in job.labels[job.retain_rows].unique()
        ]
    )
    noise = [(opposite(edited, job, c, generator), c) for c in job.forget]
    first = Loop(epochs=1, rate=impair, adam=True)

    def impairing(_: int) -> Iterator[Batch]:
        kept = list(job.shuffled(subset, first.size, generator))
        copies = max(len(noise), round(NOISE_SHARE * len(kept)))
        turns = torch.randperm(len(kept) + copies, generator=generator)
        for turn in turns.tolist():
            if turn < len(kept):
                yield kept[turn]
            else:
                images, label = noise[turn % len(noise)]
                yield images, torch.full((len(images),), label, device=images.device)

    descend(edited, first, impairing, partial(cross_entropy, edited))
    second = Loop(epochs=repairs, rate=repair, adam=True)
    return descend(
        edited,
        second,
        lambda _: job.shuffled(subset, second.size, generator),
        partial(cross_entropy, edited),
    )


def opposite(model: nn.Module, job: Job, label: int, generator: torch.Generator) -> Tensor:
    """Noise images that minimise -CE(., label) + PENALTY mean |N|^2."""
    shape = job.rows(torch.arange(1))[0].shape[1:]
    start = torch.randn(NOISE_ROWS, *shape, generator=generator)
    noise = start.to(job.rows(torch.arange(1))[0]).requires_grad_(True)
    wanted = torch.full((NOISE_ROWS,), label, device=noise.device)
    optimiser = torch.optim.Adam([noise], NOISE_RATE)
    with torch.enable_grad():
        for _ in range(NOISE_STEPS):
            loss = -functional.cross_entropy(logits(model, noise), wanted)
            loss = loss + PENALTY * noise.square().mean()
            (noise.grad,) = torch.autograd.grad(loss, noise)
            optimiser.step()
    return noise.detach()
