"""POUR-P: project the features onto the complement of the class's direction of neural collapse.

The paper's operator was not to be had; this is the form that follows from its text: the class's
mean, less the mean of all class means, is the direction.

Source: arXiv:2511.19339.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from damp.methods.closed.features import head_inputs, head_of
from damp.methods.job import Job


def run(job: Job) -> nn.Module:
    """W <- W (I - V V'), V an orthonormal basis of mu_f - mean(mu_c) over the classes to forget."""
    edited = job.copy()
    features = head_inputs(edited, job, torch.arange(len(job.labels)))
    directions = collapse_directions(features, job.labels, job.forget)
    head = head_of(edited)
    with torch.no_grad():
        weight = head.weight.double()  # (C, d)
        head.weight.copy_(weight - weight @ directions @ directions.T)
    return edited


def collapse_directions(features: Tensor, labels: Tensor, forget: tuple[int, ...]) -> Tensor:
    """Orthonormal columns that span mu_f - mean(mu), (d, k), of features (n, d).

    >>> rows, labels = torch.tensor([[3., 0.], [0., 0.], [0., 0.]]), torch.tensor([0, 1, 2])
    >>> collapse_directions(rows, labels, (0,)).abs()
    tensor([[1.],
            [0.]])
    """
    place = labels.to(features.device)
    means = {int(c): features[place == c].mean(0) for c in place.unique()}
    centre = torch.stack(list(means.values())).mean(0)
    basis, _ = torch.linalg.qr(torch.stack([means[c] - centre for c in forget], 1))
    return basis
