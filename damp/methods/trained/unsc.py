"""UNSC: learn other labels for the class without moving what the layers do to the other classes.

Source: H. Chen et al., Machine Unlearning via Null Space Calibration, IJCAI 2024,
arXiv:2404.13588.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from damp.methods.closed.kodge import activations
from damp.methods.errors import BadSetting
from damp.methods.job import Job
from damp.methods.training import FROZEN, Batch, Loop, cross_entropy, descend, logits, without

ROWS = 256
"""To keep, that the bases are taken from."""
Bases = dict[nn.Module, Tensor]


def run(job: Job, *, rate: float = 0.04, energy: float = 0.99, epochs: float = 10) -> nn.Module:
    """CE on D_f to the original's runner-up, g <- g - g B B' per layer; the rest is frozen.

    B spans the layer's inputs on rows to keep, up to a share of their energy; biases and norms
    stay.

    Args:
        job: What to forget, and where.
        rate: Of SGD without momentum.
        energy: Share of the inputs' squared length that B holds.
        epochs: Over the rows to forget.
    """
    if not 0 < energy <= 1:
        raise BadSetting(f"A share of {energy} of the energy: give one above 0, 1 at most.")
    edited, original, generator = job.copy(), job.copy(), job.generator()
    loop = Loop(epochs=epochs, rate=rate, momentum=0.0, decay=0.0, norms=FROZEN)
    bases = spans(edited, job, energy)
    free = {id(layer.get_parameter("weight")) for layer in bases}
    for value in edited.parameters():
        value.requires_grad_(id(value) in free)

    def epoch(_: int) -> Iterator[Batch]:
        for inputs, _labels in job.shuffled(job.forget_rows, loop.size, generator):
            with torch.no_grad():
                answers = without(logits(original, inputs), job.forget)
            yield inputs, answers.argmax(1)

    @torch.no_grad()
    def project() -> None:
        for layer, basis in bases.items():
            gradient = layer.get_parameter("weight").grad
            if gradient is not None:
                rows = gradient.flatten(1)  # (O, D)
                gradient.copy_((rows - rows @ basis @ basis.T).view_as(gradient))

    trained = descend(edited, loop, epoch, partial(cross_entropy, edited), edit_gradients=project)
    return trained.requires_grad_(True)


def spans(model: nn.Module, job: Job, energy: float) -> Bases:
    """Orthonormal columns (D, k) per linear layer and convolution without groups."""
    drawn = torch.randperm(len(job.retain_rows), generator=job.generator())[:ROWS]
    sums: Bases = {}

    def add(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        rows = activations(layer, args[0]).double()
        sums[layer] = sums.get(layer, 0) + rows.T @ rows

    layers = [
        m
        for m in model.modules()
        if isinstance(m, nn.Linear) or (isinstance(m, nn.Conv2d) and m.groups == 1)
    ]
    handles = [layer.register_forward_pre_hook(add) for layer in layers]
    try:
        with torch.no_grad():
            for inputs, _ in job.in_order(job.retain_rows[drawn]):
                model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return {
        layer: spanning(total, energy).to(layer.get_parameter("weight"))
        for layer, total in sums.items()
    }


def spanning(products: Tensor, energy: float) -> Tensor:
    """Leading eigenvectors of A'A, (D, k), that hold a share of its trace.

    >>> spanning(torch.diag(torch.tensor([1., 9.])), .9).abs()
    tensor([[0.],
            [1.]])
    """
    values, vectors = torch.linalg.eigh(products)
    shares = values.flip(0).clamp_min(0).cumsum(0) / values.clamp_min(0).sum()
    count = int((shares < energy - 1e-12).sum()) + 1
    return vectors.flip(1)[:, :count]
