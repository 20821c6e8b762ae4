"""Boundary Shrink: each image of the class is taught the class that lies nearest behind a boundary.

Source: M. Chen et al., Boundary Unlearning, CVPR 2023, arXiv:2303.11570.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from damp.methods.errors import BadSetting
from damp.methods.job import Job
from damp.methods.training import FROZEN, Batch, Loop, cross_entropy, descend, logits, without


def run(job: Job, *, rate: float = 1e-4, bound: float = 0.1, epochs: float = 5) -> nn.Module:
    """CE on D_f to the answer of the original to x + bound sign(grad CE).

    One such step may not leave the class: then the runner-up is taken.

    Args:
        job: What to forget, and where.
        rate: Of SGD with momentum; batch norms keep their statistics.
        bound: Of the step, in units of the inputs.
        epochs: Over the rows to forget.
    """
    if not bound > 0:
        raise BadSetting(f"The bound is {bound}: give a number above 0.")
    edited, original, generator = job.copy(), job.copy(), job.generator()
    loop = Loop(epochs=epochs, rate=rate, norms=FROZEN)

    def epoch(_: int) -> Iterator[Batch]:
        for inputs, labels in job.shuffled(job.forget_rows, loop.size, generator):
            yield inputs, nearest(original, inputs, labels, job.forget, bound)

    return descend(edited, loop, epoch, partial(cross_entropy, edited))


def nearest(
    model: nn.Module, inputs: Tensor, labels: Tensor, forget: tuple[int, ...], bound: float
) -> Tensor:
    """The class behind the nearest boundary, (B,), never one of those to forget."""
    with torch.enable_grad():
        moved = inputs.detach().clone().requires_grad_(True)
        loss = functional.cross_entropy(logits(model, moved), labels)
        (gradient,) = torch.autograd.grad(loss, moved)
    with torch.no_grad():
        answers = logits(model, inputs + bound * gradient.sign())
    return without(answers, forget).argmax(1)
