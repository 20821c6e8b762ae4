"""Run a model over data: evaluation mode for a while, batches read and checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from damp.errors import BadBatches

Batches = Iterable[tuple[Tensor, Tensor]]
"""Pairs of inputs (B, ...) and labels (B,), readable more than once."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; afterwards each module gets its own mode back."""
    # one by one: a fine-tuned model may hold some modules in evaluation mode on purpose
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def exemplar(model: nn.Module) -> Tensor:
    """A parameter whose device and precision the inputs take."""
    return next(value for value in model.parameters() if value.is_floating_point())


def read_batches(
    batches: Batches, like: Tensor, ignore: Sequence[int] = ()
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches as the model needs them: inputs like a parameter, labels int64 on the CPU.

    Args:
        batches: Pairs of inputs and labels.
        like: Whose device and precision the inputs take.
        ignore: Classes whose samples are left out.
    Raises:
        BadBatches: something is not a pair of float inputs (B, ...) and integer labels (B,).
    """
    excluded = torch.tensor(list(ignore), dtype=torch.int64)
    for number, batch in enumerate(batches):
        inputs, labels = _pair(batch, number)
        labels = labels.to("cpu", torch.int64)
        if ignore:
            kept = ~torch.isin(labels, excluded)  # (B,)
            inputs, labels = inputs[kept.to(inputs.device)], labels[kept]
        if len(labels):  # nothing is left of a batch of ignored classes
            yield inputs.to(like), labels


def _pair(batch: object, number: int) -> tuple[Tensor, Tensor]:
    """The two tensors of a batch, checked."""
    pair = tuple(batch) if isinstance(batch, tuple | list) else ()
    if len(pair) != 2 or not all(isinstance(part, Tensor) for part in pair):
        raise BadBatches(f"Batch {number} is no pair of tensors: give (inputs, labels).")
    inputs, labels = pair
    if not inputs.is_floating_point():
        raise BadBatches(f"Batch {number} has {inputs.dtype} inputs: convert them to float.")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise BadBatches(f"Batch {number} has {labels.dtype} labels: give class numbers.")
    if labels.ndim != 1 or len(labels) != len(inputs):
        shapes = f"{tuple(inputs.shape)} inputs and {tuple(labels.shape)} labels"
        raise BadBatches(f"Batch {number} has {shapes}: give one label per sample.")
    return inputs, labels
