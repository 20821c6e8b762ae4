"""SalUn: random labels, but only the weights that matter most to the class may move.

Source: C. Fan et al., SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency,
ICLR 2024, arXiv:2310.12508.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from damp.methods.errors import BadSetting
from damp.methods.job import Job
from damp.methods.trained.random_labels import others, relabelled
from damp.methods.training import Loop, cross_entropy, descend


def run(job: Job, *, share: float = 0.5, rate: float = 0.01, epochs: float = 3) -> nn.Module:
    """Random labels on the weights whose |sum of gradients of CE(D_f)| is among the largest.

    Masked weights are put back after each step: momentum and weight decay would move them too.

    Args:
        job: What to forget, and where.
        share: Of all weights, that may move.
        rate: Of SGD with momentum.
        epochs: Over all rows.
    """
    edited, loop, generator = job.copy(), Loop(epochs=epochs, rate=rate), job.generator()
    masks = salient(edited, job, share)
    before = [value.detach().clone() for value in edited.parameters()]

    @torch.no_grad()
    def put_back() -> None:
        for value, old, mask in zip(edited.parameters(), before, masks, strict=True):
            value.copy_(torch.where(mask, value, old))

    epoch = partial(relabelled, job, others(edited, job), loop.size, generator)
    return descend(edited, loop, epoch, partial(cross_entropy, edited), after_step=put_back)


def salient(model: nn.Module, job: Job, share: float) -> list[Tensor]:
    """Per parameter, which numbers are among a share of the largest in the whole network."""
    if not 0 < share <= 1:
        raise BadSetting(f"A share of {share} of the weights: give one above 0, 1 at most.")
    parameters = list(model.parameters())
    sums = [torch.zeros_like(value) for value in parameters]
    with torch.enable_grad():
        for inputs, labels in job.in_order(job.forget_rows):
            loss = cross_entropy(model, (inputs, labels)) * len(labels)
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            for total, gradient in zip(sums, gradients, strict=True):
                if gradient is not None:
                    total += gradient
    sizes = torch.cat([total.abs().flatten() for total in sums])
    least = sizes.topk(max(1, int(share * len(sizes)))).values[-1]
    return [total.abs() >= least for total in sums]
