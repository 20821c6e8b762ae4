"""The head of a classifier and what goes into it: all that the methods of the last layer need."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from damp import operators
from damp.methods.errors import BadJob
from damp.methods.job import Job


def head_of(model: nn.Module) -> nn.Linear:
    """The last linear layer.

    Raises:
        BadJob: The head is no `nn.Linear`.
    """
    layer = model.get_submodule(operators.head(model))
    if not isinstance(layer, nn.Linear):
        raise BadJob(
            f"The head is a {type(layer).__name__}, and this method edits an nn.Linear. Take a "
            "method that edits no head."
        )
    return layer


def biased_head_of(model: nn.Module) -> nn.Linear:
    """The same, with a bias of zeros where it had none."""
    head = head_of(model)
    if head.bias is None:
        operators.add_bias(head)
    return head


def head_inputs(model: nn.Module, job: Job, rows: Tensor) -> Tensor:
    """What the head reads of some rows, (n, d), float64.

    Raises:
        BadJob: The head reads more than one vector a sample.
    """
    parts: list[Tensor] = []
    head = head_of(model)
    handle = head.register_forward_pre_hook(lambda _, args: parts.append(args[0].double()))
    try:
        with torch.no_grad():
            for inputs, _ in job.in_order(rows):
                model(inputs)
    finally:
        handle.remove()
    if any(part.ndim != 2 for part in parts):
        raise BadJob("The head reads several vectors a sample: this method needs one.")
    return torch.cat(parts)
