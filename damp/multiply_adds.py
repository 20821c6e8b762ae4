"""What a computation costs in multiplications with an addition, as torch counts them.

Matrix products, convolutions and attention count; what is done element by element does not. The
same on every machine, where seconds are not.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from damp.outputs import logits_of
from damp.running import evaluating


def forward(model: nn.Module, inputs: Tensor) -> int:
    """Of one forward pass over these rows.

    >>> forward(nn.Linear(4, 3), torch.ones(2, 4))
    24
    """
    with evaluating(model), torch.no_grad():
        return counted(lambda: model(inputs))


def training_step(model: nn.Module, inputs: Tensor, labels: Tensor) -> int:
    """Of one forward and backward pass over these rows; the model's gradients are set to None.

    Args:
        model: What is frozen in it costs no gradient.
        inputs: (B, ...), which need none.
        labels: (B,), int64.

    >>> net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    >>> training_step(net, torch.ones(1, 4), torch.tensor([0]))  # 12 + 12 and 6 + 6 + 6
    42
    """

    def step() -> None:
        with torch.enable_grad():
            loss = functional.cross_entropy(logits_of(model(inputs), len(inputs)).float(), labels)
            loss.backward()

    with evaluating(model):  # running statistics and dropout's random state stay
        operations = counted(step)
    model.zero_grad(set_to_none=True)
    return operations


def counted(compute: Callable[[], object]) -> int:
    """Of whatever is computed."""
    counter = FlopCounterMode(display=False)
    with counter:
        compute()
    return int(counter.get_total_flops()) // 2
