"""CF-k and EU-k: only the last k operators learn, from where they are or from the start.

Source: S. Goel et al., Towards Adversarial Evaluations for Inexact Machine Unlearning,
arXiv:2201.06640.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from damp.methods.errors import BadSetting
from damp.methods.job import Job
from damp.methods.training import Loop, cross_entropy, descend
from damp.operators import find


def catastrophic(job: Job, *, last: float = 1, rate: float = 0.01, epochs: float = 3) -> nn.Module:
    """CF-k: all before the last k operators is frozen, these go on with the rows to keep.

    Args:
        job: What to forget, and where.
        last: k, counted in the order in which the network defines its operators.
        rate: Of SGD with momentum.
        epochs: Over the rows to keep.
    """
    return _train(job.copy(), job, last, Loop(epochs=epochs, rate=rate))


def exact(job: Job, *, last: float = 1, rate: float = 0.01, epochs: float = 3) -> nn.Module:
    """EU-k: the same, but the last k operators are drawn afresh first."""
    edited, fresh = job.copy(), job.fresh()
    chosen = names_from(edited, last)
    drawn = fresh.state_dict()
    with torch.no_grad():
        edited.load_state_dict(
            {k: drawn[k] if k in chosen else v for k, v in edited.state_dict().items()}
        )
    return _train(edited, job, last, Loop(epochs=epochs, rate=rate))


def names_from(model: nn.Module, last: float) -> set[str]:
    """Parameters and buffers defined at, or after, the k-th operator from the end.

    Raises:
        BadSetting: The network has no so many operators.

    >>> sorted(names_from(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), 1))
    ['2.bias', '2.weight']
    """
    operators = [operator.name for operator in find(model)[0]]
    if last != int(last) or not 1 <= last <= len(operators):
        raise BadSetting(
            f"The last {last} of {len(operators)} operators: give 1 to {len(operators)}."
        )
    names = list(model.state_dict())
    first = operators[-int(last)]
    start = next(i for i, name in enumerate(names) if name.startswith(f"{first}."))
    return set(names[start:])


def _train(edited: nn.Module, job: Job, last: float, loop: Loop) -> nn.Module:
    chosen, generator = names_from(edited, last), job.generator()
    for name, value in edited.named_parameters():
        value.requires_grad_(name in chosen)
    trained = descend(
        edited,
        loop,
        lambda _: job.shuffled(job.retain_rows, loop.size, generator),
        partial(cross_entropy, edited),
    )
    return trained.requires_grad_(True)
