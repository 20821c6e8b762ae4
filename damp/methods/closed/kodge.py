"""Kodge: take away the activation directions of the class that the other classes do not use.

Per linear layer and convolution, singular values and vectors of the activations of forget and of
retain samples say how much each direction matters to either. Convolutions see patches, so that a
kernel is one long row. Biases stay.

Source: S. Kodge, G. Saha, K. Roy, Deep Unlearning: Fast and Efficient Gradient-free Class
Forgetting, TMLR 2024 (openreview BmI5p6wBi0).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold

from damp.methods.errors import BadJob
from damp.methods.job import Job
from damp.operators import Operator, find
from damp.running import Batches, evaluating, exemplar, read_batches


def forget(
    model: nn.Module,
    batches: Batches,
    *,
    forget: list[int],
    alpha_retain: float = 100.0,
    alpha_forget: float = 3.0,
) -> nn.Module:
    """A copy of a classifier with the classes' own directions projected out of every layer.

    Args:
        model: Gives logits, (B, C).
        batches: Pairs of inputs and labels, of all classes.
        forget: Classes to forget.
        alpha_retain: How soon a direction counts as needed by the other classes. The paper takes
            100 on CIFAR-10, 1000 on CIFAR-100, 100 on ImageNet.
        alpha_forget: The same for the classes to forget: 3, 30 and 10.
    """
    edited = copy.deepcopy(model).eval()
    operators = [operator for operator in find(edited)[0] if _is_known(operator)]
    needed = energies(edited, operators, batches, forget, keep=True)
    unwanted = energies(edited, operators, batches, forget, keep=False)
    with torch.no_grad():
        for operator in operators:
            if operator.name in needed and operator.name in unwanted:
                weight = operator.layer.get_parameter("weight")
                kept = projection(
                    importance(needed[operator.name], alpha_retain),
                    importance(unwanted[operator.name], alpha_forget),
                )
                rows = weight.flatten(1)
                weight.copy_((rows.to(kept) @ kept.T).reshape(weight.shape))
    return edited


def run(job: Job, *, alpha_retain: float = 100.0, alpha_forget: float = 3.0) -> nn.Module:
    """The same, of a job."""
    return forget(
        job.model,
        job.batches(),
        forget=list(job.forget),
        alpha_retain=alpha_retain,
        alpha_forget=alpha_forget,
    )


def _is_known(operator: Operator) -> bool:
    """The paper's layers: linear ones and convolutions of images, not in groups."""
    return isinstance(operator.layer, nn.Linear | nn.Conv2d) and operator.groups == 1


def importance(energy: Tensor, alpha: float) -> Tensor:
    """M = U diag(lam) U', lam_i = alpha s_i / ((alpha - 1) s_i + 1), s_i = sigma_i^2 / sum.

    Args:
        energy: A'A of activations A (n, D), (D, D): its eigenvalues are sigma^2.
        alpha: 1 takes shares as they are, more treats small ones as larger.

    >>> importance(torch.diag(torch.tensor([3., 1.])), 3.0)
    tensor([[0.9000, 0.0000],
            [0.0000, 0.5000]])
    """
    values, vectors = torch.linalg.eigh(energy)
    shares = values.clamp_min(0) / values.clamp_min(0).sum()
    scaled = alpha * shares / ((alpha - 1) * shares + 1)
    return vectors @ (scaled[:, None] * vectors.T)


def projection(retain: Tensor, forget: Tensor) -> Tensor:
    """P = I - (M_f - M_f M_r), (D, D): what only the forget classes need goes.

    >>> projection(torch.diag(torch.tensor([.9, 0.])), torch.diag(torch.tensor([.5, 1.])))
    tensor([[0.9500, 0.0000],
            [0.0000, 0.0000]])
    """
    unit = torch.eye(len(retain), dtype=retain.dtype, device=retain.device)
    return unit - (forget - forget @ retain)


def energies(
    model: nn.Module,
    operators: Sequence[Operator],
    batches: Batches,
    forget: Sequence[int],
    *,
    keep: bool,
) -> dict[str, Tensor]:
    """A'A of each operator's activations A, of the samples to keep or of those to forget."""
    gone = torch.tensor(sorted(forget))
    sums: dict[str, Tensor] = {}
    with evaluating(model), torch.no_grad(), _summing(operators, sums):
        for inputs, labels in read_batches(batches, exemplar(model)):
            chosen = torch.isin(labels, gone) != keep
            if chosen.any():
                model(inputs[chosen.to(inputs.device)])
    return sums


@contextmanager
def _summing(operators: Sequence[Operator], sums: dict[str, Tensor]) -> Iterator[None]:
    def watch(operator: Operator) -> torch.utils.hooks.RemovableHandle:
        def add(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            rows = activations(layer, args[0]).double()
            sums[operator.name] = sums.get(operator.name, 0) + rows.T @ rows

        return operator.layer.register_forward_pre_hook(add)

    handles = [watch(operator) for operator in operators]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def activations(layer: nn.Module, inputs: Tensor) -> Tensor:
    """What a row of the layer's weight is multiplied with, (n, D): tokens, or patches."""
    if isinstance(layer, nn.Conv2d):
        if isinstance(layer.padding, str):
            raise BadJob("Kodge's method knows convolutions whose padding is a number.")
        patches = unfold(inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        return patches.movedim(1, -1).flatten(0, 1)
    if isinstance(layer, nn.Linear):
        return inputs.flatten(0, -2)
    raise BadJob(f"Kodge's method knows Linear and Conv2d, not {type(layer).__name__}.")
