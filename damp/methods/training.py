"""The loop that all methods which train share: batches, a loss, an optimiser, batch norms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from damp.methods.errors import BadSetting
from damp.outputs import logits_of

Batch = tuple[Tensor, ...]
TRAIN, FROZEN = "train", "frozen"
"""Of batch norms while a method trains: they follow its batches, or keep their statistics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """How to train.

    Attributes:
        epochs: Passes over what `descend` is given.
        rate: Learning rate, constant.
        size: Rows of a batch.
        momentum, decay: Of SGD, and of its L2 term.
        adam: Adam in the place of SGD; it has no momentum of this kind.
        norms: `TRAIN` or `FROZEN`.
    """

    epochs: float
    rate: float
    size: int = 64
    momentum: float = 0.9
    decay: float = 5e-4
    adam: bool = False
    norms: str = TRAIN

    def __post_init__(self) -> None:
        if self.epochs != int(self.epochs) or self.epochs < 1:
            raise BadSetting(f"{self.epochs} epochs: give a whole number, 1 or more.")
        if not 0 < self.rate < float("inf"):
            raise BadSetting(f"The learning rate is {self.rate}: give a number above 0.")


def descend(
    model: nn.Module,
    loop: Loop,
    epoch: Callable[[int], Iterable[Batch]],
    loss: Callable[[Batch], Tensor],
    *,
    edit_gradients: Callable[[], None] | None = None,
    after_step: Callable[[], None] | None = None,
) -> nn.Module:
    """Train in place and give the model back in evaluation mode.

    Args:
        model: Parameters that take no gradient stay.
        loop: How.
        epoch: From the number of an epoch, counted from 0, to its batches.
        loss: Of one batch.
        edit_gradients: Called between the backward pass and the step.
        after_step: Called after each step.
    """
    parameters = [value for value in model.parameters() if value.requires_grad]
    optimiser: torch.optim.Optimizer
    if loop.adam:
        optimiser = torch.optim.Adam(parameters, loop.rate)
    else:
        optimiser = torch.optim.SGD(
            parameters, loop.rate, momentum=loop.momentum, weight_decay=loop.decay
        )
    set_mode(model, loop.norms)
    with torch.enable_grad():
        for number in range(int(loop.epochs)):
            for batch in epoch(number):
                optimiser.zero_grad(set_to_none=True)
                loss(batch).backward()
                if edit_gradients is not None:
                    edit_gradients()
                optimiser.step()
                if after_step is not None:
                    after_step()
    for value in model.parameters():
        value.grad = None
    return model.eval()


def set_mode(model: nn.Module, norms: str) -> None:
    """Training mode; batch norms, and what lies in layers without gradients, as they are to be."""
    model.train()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        frozen = bool(own) and not any(value.requires_grad for value in own)
        if isinstance(module, _BatchNorm) and (norms == FROZEN or frozen):
            module.eval()


def logits(model: nn.Module, inputs: Tensor) -> Tensor:
    """(B, C), whatever kind of output the network has."""
    return logits_of(model(inputs), len(inputs)).float()


def cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
    """Mean over the rows."""
    return functional.cross_entropy(logits(model, batch[0]), batch[1])


def divergence(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(teacher || student) of logits (B, C), mean over rows, times the squared temperature.

    >>> half, sure = torch.tensor([[0., 0.]]), torch.log(torch.tensor([[.75, .25]]))
    >>> round(float(divergence(half, sure)), 4)  # .5 ln(.5/.75) + .5 ln(.5/.25)
    0.1438
    """
    return temperature**2 * functional.kl_div(
        (student / temperature).log_softmax(1),
        (teacher / temperature).log_softmax(1),
        reduction="batchmean",
        log_target=True,
    )


def without(values: Tensor, classes: Iterable[int]) -> Tensor:
    """Logits (B, C) that give some classes no chance."""
    masked = values.clone()
    masked[:, list(classes)] = -1e10
    return masked
