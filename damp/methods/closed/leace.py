"""LEACE: the smallest linear edit after which no linear probe can tell a class from the others.

It guards against every linear reader of the pooled inputs, which is more than a retrained model
offers: an extreme to compare with, not a target.

Source: N. Belrose et al., LEACE: Perfect linear concept erasure in closed form, NeurIPS 2023,
arXiv:2306.03819, theorem 4.3.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from damp.collection import collect
from damp.grouping import for_request
from damp.methods.errors import BadJob
from damp.methods.job import Job
from damp.operators import find
from damp.plans import OperatorPlan
from damp.projection import cut
from damp.residuals import Subspace
from damp.running import Batches
from damp.statistics import Statistics
from damp.whitening import Whole

RANK = 1e-9
"""Eigenvalues of a covariance below this share of the largest count as zero."""


def forget(
    model: nn.Module, batches: Batches, *, forget: list[int], only_features: bool = False
) -> nn.Module:
    """A copy of a classifier with the classes erased from the inputs of its operators.

    Args:
        model: Gives logits, (B, C).
        batches: Pairs of inputs and labels, of all classes.
        forget: Classes to erase; several are erased together.
        only_features: Erase at the input of the last operator only.
    """
    edited = copy.deepcopy(model).eval()
    operators = {operator.name: operator for operator in find(edited)[0]}
    seen = collect(edited, list(operators.values()), batches, for_request(forget)).measurement
    last = seen.readers[-1].input_group
    with torch.no_grad():
        for reader in seen.readers:
            if reader.input_group == last or not only_features:
                blocks = [of_statistics(block, forget) for block in _blocks(seen.of(reader))]
                cut(operators[reader.name], blocks, reader.bias_mask())
    return edited


def run(job: Job) -> nn.Module:
    """The same, of a job, at the input of every operator."""
    return forget(job.model, job.batches(), forget=list(job.forget))


def run_on_features(job: Job) -> nn.Module:
    """The same, of a job, at the input of the last operator."""
    return forget(job.model, job.batches(), forget=list(job.forget), only_features=True)


def _blocks(seen: Statistics) -> list[Statistics]:
    return [seen.block(place) for place in range(seen.blocks)]


def of_statistics(seen: Statistics, forget: list[int]) -> OperatorPlan:
    """The eraser of one block of features, which leaves the mean of all samples in place."""
    covariance = seen.covariance(seen.present)
    if not isinstance(covariance, Whole):
        raise BadJob("LEACE needs whole covariance matrices: leave the widest layers out.")
    mean = seen.mean(seen.present)
    shares = (seen.counts[forget] / seen.counts.sum()).to(mean.device)
    cross = shares[:, None] * (seen.prototypes(forget) - mean)
    subspace = eraser(covariance.matrix, cross.T)
    strength = torch.ones_like(subspace.separability)
    return OperatorPlan(
        subspace=subspace,
        strength=strength,
        separability=tuple(subspace.separability.tolist()),
        reference=mean,
        residual=1.0,
    )


def eraser(covariance: Tensor, cross: Tensor) -> Subspace:
    """What to take away, P = W^+ U U' W with W = covariance^(-1/2), U a basis of W cross.

    Args:
        covariance: Of the inputs, (D, D).
        cross: Covariance of inputs and labels, (D, k): one column per class to erase.
    Returns:
        Directions so that x - P (x - mean) has no covariance with the labels.

    >>> found = eraser(torch.diag(torch.tensor([4., 1.])), torch.tensor([[2.], [1.]]))
    >>> found.basis @ found.dual.T
    tensor([[0.5000, 1.0000],
            [0.2500, 0.5000]])
    """
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > RANK * values.max()
    roots, axes = values[kept].sqrt(), vectors[:, kept]
    whitened = (axes.T @ cross) / roots[:, None]
    left, sizes, _ = torch.linalg.svd(whitened, full_matrices=False)
    left = left[:, sizes > RANK * sizes.max()]
    return Subspace(
        basis=axes @ (roots[:, None] * left),
        dual=axes @ (left / roots[:, None]),
        separability=torch.ones_like(left[0]),
    )
