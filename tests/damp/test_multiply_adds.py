"""Operations counted, against counts by hand."""

from __future__ import annotations

import torch
from torch import nn

from damp import multiply_adds


def test_a_convolution_costs_outputs_by_inputs_by_kernel_by_positions() -> None:
    layer = nn.Conv2d(3, 5, 3, padding=1)
    assert multiply_adds.forward(layer, torch.randn(2, 3, 8, 8)) == 2 * 64 * 5 * 3 * 9


def test_a_training_step_costs_three_passes_less_the_gradient_of_the_images() -> None:
    network = nn.Sequential(nn.Linear(10, 7), nn.ReLU(), nn.Linear(7, 4))
    step = multiply_adds.training_step(network, torch.randn(3, 10), torch.tensor([0, 1, 2]))
    assert step == 3 * (10 * 7 * 2 + 7 * 4 * 3)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_what_is_frozen_costs_no_gradient() -> None:
    network = nn.Sequential(nn.Linear(10, 7), nn.ReLU(), nn.Linear(7, 4))
    network[0].requires_grad_(False)
    step = multiply_adds.training_step(network, torch.randn(3, 10), torch.tensor([0, 1, 2]))
    assert step == 3 * (10 * 7 + 7 * 4 * 2)
