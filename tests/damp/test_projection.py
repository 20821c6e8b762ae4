"""Folding an edit into weight and bias equals erasing it from the inputs."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from damp import projection
from damp.operators import find
from damp.plans import OperatorPlan
from damp.projection import cut
from damp.residuals import whitened_subspace
from damp.whitening import Cholesky


def an_edit(features, directions=2, seed=0):
    """Some plan, float64."""
    generator = torch.Generator().manual_seed(features + seed)
    rows = torch.randn(directions, features, generator=generator, dtype=torch.float64)
    root = torch.randn(features, features, generator=generator, dtype=torch.float64)
    factor = torch.linalg.cholesky(root @ root.T + torch.eye(features))
    strength = torch.tensor([0.9, 0.4], dtype=torch.float64)[:directions]
    return OperatorPlan(
        subspace=whitened_subspace(rows, Cholesky(factor=factor)),
        strength=strength,
        separability=(1.0,) * directions,
        reference=rows.sum(0),
        residual=1.0,
    )


def erase(inputs, plan, reference):
    """x - T (x - m) for inputs (..., D): what a cut has to make a layer do to its inputs."""
    held = (inputs - reference) @ plan.subspace.dual * plan.strength  # (..., k)
    return inputs - held @ plan.subspace.basis.T


def erased(inputs, axis, edit):
    """Inputs with the edit erased at every position."""
    rows = inputs.movedim(axis, -1)
    return erase(rows, edit, edit.reference).movedim(-1, axis)


@pytest.mark.parametrize(
    ("make", "shape", "axis"),
    [
        (lambda: nn.Linear(5, 3), (4, 5), -1),
        (lambda: nn.Linear(5, 3, bias=False), (4, 7, 5), -1),
        (lambda: nn.Conv1d(5, 3, 3), (4, 5, 9), 1),
        (lambda: nn.Conv2d(5, 3, 1, bias=False), (4, 5, 6, 6), 1),
        (lambda: nn.Conv2d(5, 3, (3, 2), stride=2, dilation=2), (4, 5, 9, 9), 1),
        (lambda: nn.Conv3d(5, 3, (2, 3, 1)), (4, 5, 4, 6, 3), 1),
        (lambda: nn.Conv2d(5, 3, 3, padding=1, padding_mode="circular"), (4, 5, 6, 6), 1),
        (lambda: nn.Conv2d(5, 3, 3, padding=1, padding_mode="reflect"), (4, 5, 6, 6), 1),
    ],
)
def test_folding_equals_erasing(make, shape, axis):
    original = make().double()
    edited = copy.deepcopy(original)
    edit = an_edit(5)
    cut(find(edited)[0][0], [edit])
    inputs = torch.randn(*shape, dtype=torch.float64)
    torch.testing.assert_close(edited(inputs), original(erased(inputs, axis, edit)))


def test_folding_equals_erasing_inside_a_zero_padded_convolution():
    original = nn.Conv2d(5, 3, 5, padding=2).double()
    edited = copy.deepcopy(original)
    edit = an_edit(5)
    cut(find(edited)[0][0], [edit])
    inputs = torch.randn(4, 5, 9, 9, dtype=torch.float64)
    inside = (..., slice(2, -2), slice(2, -2))
    expected = original(erased(inputs, 1, edit))
    torch.testing.assert_close(edited(inputs)[inside], expected[inside])
    assert not torch.allclose(edited(inputs), expected)


def test_without_a_reference_the_bias_stays():
    original = nn.Linear(5, 3, bias=False).double()
    edited = copy.deepcopy(original)
    edit = replace(an_edit(5), reference=None)
    cut(find(edited)[0][0], [edit])
    inputs = torch.randn(4, 5, dtype=torch.float64)
    nothing = torch.zeros(5, dtype=torch.float64)
    assert edited.bias is None
    expected = original(erase(inputs, edit, nothing))
    torch.testing.assert_close(edited(inputs), expected)


def test_an_added_bias_is_a_parameter_of_the_same_kind():
    layer = nn.Conv2d(5, 3, 3, bias=False)
    cut(find(layer)[0][0], [an_edit(5)])
    assert isinstance(layer.bias, nn.Parameter)
    assert layer.bias.dtype == torch.float32
    assert "bias" in layer.state_dict()


def test_the_relative_change_is_that_of_the_weights():
    for layer in (nn.Linear(5, 3), nn.Linear(5, 3).double()):
        before = layer.weight.detach().clone()
        change = cut(find(layer)[0][0], [an_edit(5)])
        expected = float((layer.weight.detach() - before).norm() / before.norm())
        assert change == pytest.approx(expected, rel=1e-5)


def test_groups_are_edited_apart():
    original = nn.Conv2d(6, 4, 3, groups=2).double()
    edited = copy.deepcopy(original)
    edits = [an_edit(3), an_edit(3, seed=1)]
    cut(find(edited)[0][0], edits)
    inputs = torch.randn(4, 6, 5, 5, dtype=torch.float64)
    blocks = [erased(part, 1, edit) for part, edit in zip(inputs.split(3, 1), edits, strict=True)]
    torch.testing.assert_close(edited(inputs), original(torch.cat(blocks, 1)))


def test_a_group_without_a_plan_stays():
    original = nn.Conv2d(6, 4, 3, groups=2).double()
    edited = copy.deepcopy(original)
    cut(find(edited)[0][0], [None, an_edit(3)])
    assert torch.equal(edited.weight[:2], original.weight[:2])
    assert torch.equal(edited.bias[:2], original.bias[:2])
    assert not torch.equal(edited.weight[2:], original.weight[2:])


def test_packed_rows_are_edited_and_no_others():
    layer = nn.MultiheadAttention(5, 1).double()
    before = copy.deepcopy(layer.state_dict())
    keys = find(layer)[0][1]
    cut(keys, [an_edit(5)])
    for name, changed in (("in_proj_weight", slice(5, 10)), ("in_proj_bias", slice(5, 10))):
        same = before[name].eq(layer.state_dict()[name])
        same = same.all(1) if same.ndim > 1 else same
        assert not same[changed].any()
        assert same[:5].all()
        assert same[10:].all()


def test_outputs_whose_bias_is_not_applied_stay():
    original = nn.Linear(5, 3).double()
    edited = copy.deepcopy(original)
    edit = an_edit(5)
    cut(find(edited)[0][0], [edit], torch.tensor([True, False, True]))
    inputs = torch.randn(4, 5, dtype=torch.float64)
    expected = original(erased(inputs, -1, edit))
    expected[:, 1] = original(inputs)[:, 1]
    torch.testing.assert_close(edited(inputs), expected)


def test_a_shared_weight_moves_the_biases_of_all_who_hold_it():
    first, second = nn.Linear(5, 5).double(), nn.Linear(5, 5, bias=False).double()
    second.weight = first.weight
    model = nn.Sequential(first, second)
    before, edit = copy.deepcopy(model), an_edit(5)
    cut(find(model)[0][0], [edit])
    inputs = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(first(inputs), before[0](erased(inputs, -1, edit)))
    torch.testing.assert_close(second(inputs), before[1](erased(inputs, -1, edit)))


def test_a_strip_of_rows_at_a_time_gives_the_same_edit(monkeypatch):
    layers = [nn.Conv2d(5, 7, 3) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    changes = [cut(find(layers[0])[0][0], [an_edit(5)])]
    monkeypatch.setattr(projection, "ENTRIES", 100)
    changes.append(cut(find(layers[1])[0][0], [an_edit(5)]))
    assert changes[0] == pytest.approx(changes[1])
    torch.testing.assert_close(layers[0].weight, layers[1].weight, rtol=0, atol=1e-7)
    torch.testing.assert_close(layers[0].bias, layers[1].bias, rtol=0, atol=1e-7)
