"""Baselines from their papers, against small cases worked out by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

from benchmarks.baselines import METHODS, kodge, leace, ssd
from damp.methods import BadJob


def close(tensor, expected, **tolerances):
    torch.testing.assert_close(tensor, torch.as_tensor(expected, dtype=tensor.dtype), **tolerances)


@pytest.fixture(scope="module")
def clouds():
    """Three skewed clouds in four dimensions: inputs in float64, and labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 3
    centres = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    noise = torch.randn(240, 4, generator=generator, dtype=torch.float64)
    return centres[labels] + noise @ torch.diag(torch.tensor([2.0, 1, 1, 0.5])).double(), labels


@pytest.fixture(scope="module")
def digits():
    pixels, labels = load_digits(return_X_y=True)
    return torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(labels)


@pytest.fixture(scope="module")
def reader(digits):
    """A small net that reads digits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        optimiser = torch.optim.Adam(model.parameters(), 0.02)
        for _ in range(80):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(digits[0]), digits[1]).backward()
            optimiser.step()
    return model.eval()


def accuracy(model, inputs, labels, chosen):
    with torch.no_grad():
        correct = (model(inputs).argmax(1) == labels)[chosen]
    return float(correct.double().mean())


SETTINGS = {"ssd": {"alpha": 3.0}}  # one class of ten: no parameter matters ten times as much


@pytest.mark.parametrize("name", METHODS)
def test_every_method_forgets_more_than_it_costs(reader, digits, name):
    inputs, labels = digits
    before = copy.deepcopy(reader.state_dict())
    batches = list(zip(inputs.split(100), labels.split(100), strict=True))
    edited = METHODS[name](reader, batches, forget=[3], **SETTINGS.get(name, {}))
    lost, cost = (
        accuracy(reader, inputs, labels, rows) - accuracy(edited, inputs, labels, rows)
        for rows in (labels == 3, labels != 3)
    )
    assert lost > 0.3
    assert lost > 3 * cost
    assert all(torch.equal(value, reader.state_dict()[key]) for key, value in before.items())


def test_leace_by_hand():
    """W = diag(1/2, 1); W c = (1, 1); U = (1, 1)/sqrt 2; P = W^-1 U U' W."""
    eraser = leace.eraser(torch.diag(torch.tensor([4.0, 1.0])), torch.tensor([[2.0], [1.0]]))
    close(eraser.basis @ eraser.dual.T, [[0.5, 1.0], [0.25, 0.5]])


def test_leace_ignores_dimensions_that_never_vary():
    eraser = leace.eraser(torch.diag(torch.tensor([4.0, 0.0])), torch.tensor([[2.0], [0.0]]))
    close(eraser.basis @ eraser.dual.T, [[1.0, 0.0], [0.0, 0.0]])


def test_after_leace_no_linear_probe_tells_the_class_from_the_others(clouds, split_linear):
    inputs, labels, model = split_linear
    edited = leace.forget(model, [(inputs, labels)], forget=[1])
    unit = edited(inputs).detach().numpy()
    is_one = labels.numpy() == 1
    np.testing.assert_allclose(unit[is_one].mean(0), unit[~is_one].mean(0), atol=1e-10)
    probe = LogisticRegression(tol=1e-12).fit(unit, is_one)
    np.testing.assert_allclose(probe.coef_, 0, atol=1e-6)
    assert not np.allclose(inputs[is_one].mean(0), inputs[~is_one].mean(0), atol=0.1)


@pytest.fixture
def split_linear(clouds):
    """Inputs, labels, and the identity as a linear layer."""
    model = nn.Linear(4, 4).double()
    with torch.no_grad():
        model.weight.copy_(torch.eye(4))
        model.bias.zero_()
    return *clouds, model


def test_leace_erases_several_classes_at_once(split_linear):
    inputs, labels, model = split_linear
    unit = leace.forget(model, [(inputs, labels)], forget=[0, 1])(inputs).detach()
    means = torch.stack([unit[labels == c].mean(0) for c in range(3)])
    close(means - means[0], torch.zeros(3, 4), atol=1e-10, rtol=0)


def test_leace_changes_inputs_less_than_dropping_the_mean_difference(split_linear):
    """Theorem 4.3: nothing linear that guards as well moves the samples less, in their metric."""
    inputs, labels, model = split_linear
    ours = leace.forget(model, [(inputs, labels)], forget=[1])(inputs).detach()
    gap = inputs[labels == 1].mean(0) - inputs[labels != 1].mean(0)
    axis = gap / gap.norm()
    theirs = inputs - ((inputs - inputs.mean(0)) @ axis)[:, None] * axis
    precision = torch.linalg.inv(torch.cov(inputs.T, correction=0))
    moved = [float(((x - inputs) @ precision * (x - inputs)).sum(1).mean()) for x in (ours, theirs)]
    assert moved[0] < moved[1]


def test_kodge_by_hand():
    """Retain samples lie on the first axis, forget samples mostly on the second."""
    model = nn.Linear(2, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    inputs = torch.tensor([[2.0, 0], [0, 3.0], [1.0, 0]]).double()
    labels = torch.tensor([0, 1, 1])
    edited = kodge.forget(model, [(inputs, labels)], forget=[1], alpha_retain=1, alpha_forget=3)
    # M_r = diag(1, 0); s_f = (.1, .9), lam = 3s / (2s + 1) = (.25, 27/28); P = diag(1, 1/28)
    close(edited.weight, [[1.0, 2 / 28], [3.0, 4 / 28]])


def test_kodge_keeps_all_that_both_need():
    energy = torch.diag(torch.tensor([1.0, 0.0]))
    both = kodge.importance(energy, 100.0)
    close(kodge.projection(both, both), torch.eye(2))


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1}, {"dilation": 2}])
def test_kodges_patches_are_what_a_kernel_sees(options):
    layer = nn.Conv2d(3, 5, 3, bias=False, **options)
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    rows = kodge.activations(layer, images) @ layer.weight.flatten(1).T
    close(rows.reshape(2, -1, 5).movedim(-1, 1), layer(images).flatten(2), atol=1e-5, rtol=1e-5)


def test_kodge_refuses_layers_it_does_not_know():
    with pytest.raises(BadJob, match="Conv1d"):
        kodge.activations(nn.Conv1d(3, 4, 3), torch.zeros(1, 3, 8))


def test_ssd_by_hand():
    everything, unwanted = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([5.0, 80.0, 0.0])
    close(ssd.factors(everything, unwanted, 10.0, 1.0), [1.0, 2 / 80, 1.0])
    close(ssd.factors(everything, unwanted, 10.0, 100.0), [1.0, 1.0, 1.0])


def test_ssds_importance_is_the_mean_of_each_samples_squared_gradient(reader, digits):
    inputs, labels = digits[0][:21], digits[1][:21]
    importance = ssd.importance(reader, [(inputs[:9], labels[:9]), (inputs[9:], labels[9:])])
    sums = [torch.zeros_like(value) for value in reader.parameters()]
    for row in range(21):
        own = nn.functional.cross_entropy(reader(inputs[row][None]), labels[row][None])
        for total, gradient in zip(
            sums, torch.autograd.grad(own, list(reader.parameters())), strict=True
        ):
            total += gradient**2 / 21
    for value, expected in zip(importance.values(), sums, strict=True):
        close(value, expected, atol=1e-8, rtol=1e-4)


def test_ssd_without_a_sample_is_refused(reader):
    with pytest.raises(ValueError, match="no sample"):
        ssd.importance(reader, [])
