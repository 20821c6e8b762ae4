"""Folding an edit into weight and bias equals erasing it from the inputs."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from damp.operators import find
from damp.projection import cut, erase
from damp.residuals import whitened_subspace


def an_edit(features, directions=2):
    """Some subspace, strengths and reference, float64."""
    generator = torch.Generator().manual_seed(features)
    rows = torch.randn(directions, features, generator=generator, dtype=torch.float64)
    root = torch.randn(features, features, generator=generator, dtype=torch.float64)
    factor = torch.linalg.cholesky(root @ root.T + torch.eye(features))
    strength = torch.tensor([0.9, 0.4], dtype=torch.float64)[:directions]
    return whitened_subspace(rows, factor), strength, rows.sum(0)


def erased(inputs, axis, edit):
    """Inputs with the edit erased at every position."""
    return erase(inputs.movedim(axis, -1), *edit).movedim(-1, axis)


@pytest.mark.parametrize(
    ("make", "shape", "axis"),
    [
        (lambda: nn.Linear(5, 3), (4, 5), -1),
        (lambda: nn.Linear(5, 3, bias=False), (4, 7, 5), -1),
        (lambda: nn.Conv1d(5, 3, 3), (4, 5, 9), 1),
        (lambda: nn.Conv2d(5, 3, 1, bias=False), (4, 5, 6, 6), 1),
        (lambda: nn.Conv2d(5, 3, (3, 2), stride=2, dilation=2), (4, 5, 9, 9), 1),
        (lambda: nn.Conv2d(5, 3, 3, padding=1, padding_mode="circular"), (4, 5, 6, 6), 1),
        (lambda: nn.Conv2d(5, 3, 3, padding=1, padding_mode="reflect"), (4, 5, 6, 6), 1),
    ],
)
def test_folding_equals_erasing(make, shape, axis):
    original = make().double()
    edited = copy.deepcopy(original)
    edit = an_edit(5)
    cut(find(edited)[0][0], *edit)
    inputs = torch.randn(*shape, dtype=torch.float64)
    torch.testing.assert_close(edited(inputs), original(erased(inputs, axis, edit)))


def test_folding_equals_erasing_inside_a_zero_padded_convolution():
    original = nn.Conv2d(5, 3, 5, padding=2).double()
    edited = copy.deepcopy(original)
    edit = an_edit(5)
    cut(find(edited)[0][0], *edit)
    inputs = torch.randn(4, 5, 9, 9, dtype=torch.float64)
    inside = (..., slice(2, -2), slice(2, -2))
    expected = original(erased(inputs, 1, edit))
    torch.testing.assert_close(edited(inputs)[inside], expected[inside])
    assert not torch.allclose(edited(inputs), expected)


def test_without_a_reference_the_bias_stays():
    original = nn.Linear(5, 3, bias=False).double()
    edited = copy.deepcopy(original)
    subspace, strength, _ = an_edit(5)
    cut(find(edited)[0][0], subspace, strength, None)
    inputs = torch.randn(4, 5, dtype=torch.float64)
    nothing = torch.zeros(5, dtype=torch.float64)
    assert edited.bias is None
    torch.testing.assert_close(edited(inputs), original(erase(inputs, subspace, strength, nothing)))


def test_an_added_bias_is_a_parameter_of_the_same_kind():
    layer = nn.Conv2d(5, 3, 3, bias=False)
    cut(find(layer)[0][0], *an_edit(5))
    assert isinstance(layer.bias, nn.Parameter)
    assert layer.bias.dtype == torch.float32
    assert "bias" in layer.state_dict()


def test_the_relative_change_is_that_of_the_weights():
    for layer in (nn.Linear(5, 3), nn.Linear(5, 3).double()):
        before = layer.weight.detach().clone()
        change = cut(find(layer)[0][0], *an_edit(5))
        expected = float((layer.weight.detach() - before).norm() / before.norm())
        assert change == pytest.approx(expected, rel=1e-5)
