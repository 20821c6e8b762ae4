"""SSD: dampen the parameters that matter much more to the class than to the data as a whole.

How much a parameter matters is the diagonal of the empirical Fisher information: the mean, over
samples, of the squared derivative of that sample's own loss. It takes gradients, but no training.

Source: J. Foster, S. Schoepf, A. Brintrup, Fast Machine Unlearning Without Retraining Through
Selective Synaptic Dampening, AAAI 2024, arXiv:2308.07707.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from damp.methods.job import Job
from damp.methods.passes import counted_as
from damp.running import Batches, exemplar, read_batches

Importance = dict[str, Tensor]

CHUNK = 16
"""Samples whose gradients are held at once."""


def forget(
    model: nn.Module,
    batches: Batches,
    *,
    forget: list[int],
    alpha: float = 10.0,
    damping: float = 1.0,
) -> nn.Module:
    """A copy of a classifier whose parameters that matter to the classes have been made smaller.

    Args:
        model: Gives logits, (B, C).
        batches: Pairs of inputs and labels, of all classes.
        forget: Classes to forget.
        alpha: How many times more a parameter must matter to the classes than to all data. The
            paper's 10 is for classes of a few per cent: a class that is a tenth of the data
            never matters more than ten times as much.
        damping: Lambda; more dampens less.
    """
    edited = copy.deepcopy(model).eval()
    everything = importance(edited, batches)
    dampen(edited, everything, importance(edited, only(batches, forget)), alpha, damping)
    return edited


def run(job: Job, *, alpha: float = 10.0, damping: float = 1.0) -> nn.Module:
    """The same, of a job."""
    return forget(job.model, job.batches(), forget=list(job.forget), alpha=alpha, damping=damping)


def dampen(
    model: nn.Module, everything: Importance, unwanted: Importance, alpha: float, damping: float
) -> None:
    """Make the parameters smaller, in place, that matter much more to the classes."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(factors(everything[name], unwanted[name], alpha, damping))


def factors(everything: Tensor, unwanted: Tensor, alpha: float, damping: float) -> Tensor:
    """min(damping * D / D_f, 1) where D_f > alpha * D, else 1.

    >>> factors(torch.tensor([1., 1., 1.]), torch.tensor([10., 20., 100.]), 10., 1.)
    tensor([1.0000, 0.0500, 0.0100])
    """
    chosen = unwanted > alpha * everything
    share = damping * everything / unwanted.clamp_min(torch.finfo(unwanted.dtype).tiny)
    return torch.where(chosen, share.clamp_max(1.0), 1.0)


def importance(model: nn.Module, batches: Batches) -> Importance:
    """Mean squared gradient of each sample's cross-entropy, per parameter.

    Raises:
        ValueError: no sample.
    """
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def loss(values: Importance, inputs: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(model, (values, buffers), (inputs[None],))
        return cross_entropy(logits, label[None])

    per_sample = vmap(grad(loss), in_dims=(None, 0, 0))
    sums = {name: torch.zeros_like(value) for name, value in parameters.items()}
    samples = 0
    for inputs, labels in read_batches(batches, exemplar(model)):
        for rows, own in zip(inputs.split(CHUNK), labels.split(CHUNK), strict=True):
            with counted_as(forward=len(own), backward=len(own)):
                gradients = per_sample(parameters, rows, own.to(rows.device))
            for name, value in gradients.items():
                sums[name] += value.square().sum(0)
        samples += len(labels)
    if not samples:
        raise ValueError("There is no sample to take gradients of: give rows of these classes.")
    return {name: value / samples for name, value in sums.items()}


def only(batches: Batches, classes: Iterable[int]) -> list[tuple[Tensor, Tensor]]:
    """The rows of some classes, batch by batch."""
    wanted = torch.tensor(sorted(classes))
    chosen = [(inputs, labels, torch.isin(labels.cpu(), wanted)) for inputs, labels in batches]
    return [(inputs[rows], labels[rows]) for inputs, labels, rows in chosen if rows.any()]
