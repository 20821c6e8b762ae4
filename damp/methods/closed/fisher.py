"""Fisher forgetting: noise where the rows to keep do not mind it.

Source: A. Golatkar, A. Achille, S. Soatto, Eternal Sunshine of the Spotless Net: Selective
Forgetting in Deep Networks, CVPR 2020, arXiv:1911.04933.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from damp.methods.closed.features import head_of
from damp.methods.errors import BadSetting
from damp.methods.job import EVALUATED, Job
from damp.methods.training import logits

LARGEST, LARGEST_OF_HEAD = 1e3, 1e2
"""Of 1 / (F + 1e-8), before the factor."""
VARIANCE_OF_ROW = 1e-4
"""Of what the head's row of a class to forget is drawn anew with."""


def run(job: Job, *, alpha: float = 1e-6) -> nn.Module:
    """theta <- theta + N(0, v), v = alpha min(1 / (F + 1e-8), 1e3), F of the rows to keep.

    In the head and in one-dimensional parameters v is ten times as much (and the head's 1 / F at
    most 100); a weight's v is averaged over its inputs. The head's rows of the classes are drawn
    anew around 0.

    Args:
        job: What to forget, and where.
        alpha: The noise's size.
    """
    if not 0 < alpha < float("inf"):
        raise BadSetting(f"alpha is {alpha}: give a number above 0.")
    edited = job.copy()
    information = fisher(edited, job)
    head, generator = head_of(edited), job.generator()
    own = {id(value) for value in (head.weight, head.bias)}
    with torch.no_grad():
        for name, value in edited.named_parameters():
            spread = variance(information[name], alpha, head=id(value) in own).sqrt()
            value.add_(spread * torch.randn(value.shape, generator=generator).to(value))
        for tensor in (head.weight, *([] if head.bias is None else [head.bias])):
            rows = tensor[list(job.forget)]
            drawn = torch.randn(rows.shape, generator=generator).to(rows)
            tensor[list(job.forget)] = VARIANCE_OF_ROW**0.5 * drawn
    return edited


def variance(information: Tensor, alpha: float, *, head: bool) -> Tensor:
    """Of the noise on one parameter.

    >>> variance(torch.tensor([[1., 3.], [0., 0.]]), 1.0, head=False)
    tensor([[6.6667e-01, 6.6667e-01],
            [1.0000e+03, 1.0000e+03]])
    """
    inverse = (1 / (information + 1e-8)).clamp_max(LARGEST_OF_HEAD if head else LARGEST)
    if inverse.ndim > 1:
        inverse = inverse.mean(1, keepdim=True).expand_as(inverse)
    return alpha * inverse * (10 if head or inverse.ndim == 1 else 1)


def fisher(model: nn.Module, job: Job) -> dict[str, Tensor]:
    """sum_y mean(p_y) (d CE(y) / d theta)^2 of each batch of rows to keep, mean over batches."""
    sums = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    parameters = list(model.parameters())
    total = 0
    with torch.enable_grad():
        for inputs, labels in job.in_order(job.retain_rows, EVALUATED):
            scores = logits(model, inputs).log_softmax(1)  # (B, C)
            chances = scores.detach().exp().mean(0)
            for y, chance in enumerate(chances):
                gradients = torch.autograd.grad(
                    -scores[:, y].mean(), parameters, retain_graph=True, allow_unused=True
                )
                for name, gradient in zip(sums, gradients, strict=True):
                    if gradient is not None:
                        sums[name] += chance * gradient.square() * len(labels)
            total += len(labels)
    return {name: value / total for name, value in sums.items()}
