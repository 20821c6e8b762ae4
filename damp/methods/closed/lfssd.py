"""LFSSD: SSD without labels; what matters is what moves the length of the output.

Source: J. Foster et al., Loss-Free Machine Unlearning, arXiv:2402.19308.
"""

from __future__ import annotations

import torch
from torch import nn

from damp.methods.closed.ssd import Importance, dampen
from damp.methods.job import EVALUATED, Job
from damp.methods.training import logits


def run(job: Job, *, alpha: float = 10.0, damping: float = 1.0) -> nn.Module:
    """theta <- min(1, damping I_D / I_f) theta where I_f > alpha I_D.

    Args:
        job: What to forget, and where.
        alpha: How many times more a parameter must matter to the class.
        damping: Lambda; more dampens less.
    """
    edited = job.copy()
    everything = sensitivity(edited, job, torch.arange(len(job.labels)))
    unwanted = sensitivity(edited, job, job.forget_rows)
    dampen(edited, everything, unwanted, alpha, damping)
    return edited


def sensitivity(model: nn.Module, job: Job, rows: torch.Tensor) -> Importance:
    """Mean over batches of |d/dtheta of the batch's mean |z|^2|, weighted by their rows."""
    sums = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    with torch.enable_grad():
        for inputs, labels in job.in_order(rows, EVALUATED // 4):
            energy = logits(model, inputs).square().sum(1).mean()
            parameters = dict(model.named_parameters())
            gradients = torch.autograd.grad(energy, list(parameters.values()), allow_unused=True)
            for name, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    sums[name] += gradient.abs() * len(labels)
    return {name: value / len(rows) for name, value in sums.items()}
