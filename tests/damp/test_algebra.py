"""The algebra of the method, against brute force in float64, on data that Hypothesis chooses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import damp

HARD = 1e13  # a gain at which every strength is 1 to rounding
examples = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def problems(draw, fewer_than_features=False):
    """Clouds of several classes in a few dimensions, and the classes to forget."""
    features = draw(st.integers(3, 9))
    most = features - 1 if fewer_than_features else 8
    classes = draw(st.integers(3, max(3, most)))
    forget = draw(st.sets(st.integers(0, classes - 1), min_size=1, max_size=min(2, classes - 2)))
    seed = draw(st.integers(0, 10_000))
    return seed, features, classes, tuple(sorted(forget))


def linear(seed, features, classes):
    generator = torch.Generator().manual_seed(seed)
    model = nn.Linear(features, classes).double()
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(torch.randn(value.shape, generator=generator))
    return model


@pytest.fixture(scope="session")
def setting(clouds, split):
    """A linear classifier, its data as arrays, and as batches."""

    def make(problem):
        seed, features, classes, forget = problem
        inputs, labels = clouds(seed, classes, (features,))
        model = linear(seed, features, classes)
        return model, inputs.numpy(), labels.numpy(), split(inputs, labels), forget

    return make


def arrays(layer):
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


@examples
@given(problem=problems())
def test_mixture_equals_its_brute_force(setting, brute, problem):
    model, rows, labels, batches, forget = setting(problem)
    projector, reference = brute.mixture(rows, labels, forget)
    weight, bias = arrays(model)
    edited, moved = arrays(damp.forget(model, batches, forget=forget, preset="mixture").unretired)
    np.testing.assert_allclose(edited, weight - weight @ projector, atol=1e-6)
    np.testing.assert_allclose(moved, bias + weight @ projector @ reference, atol=1e-6)


@examples
@given(problem=problems(), gain=st.floats(0.1, 30))
def test_gain_multiplies_the_separability(setting, brute, problem, gain):
    model, rows, labels, batches, forget = setting(problem)
    projector, _ = brute.mixture(rows, labels, forget, gain=gain)
    weight, _ = arrays(model)
    edited = damp.forget(model, batches, forget=forget, preset="mixture", gain=gain)
    np.testing.assert_allclose(arrays(edited.unretired)[0], weight - weight @ projector, atol=1e-6)
    for strength, separability in zip(
        edited.operators[0].strength, edited.operators[0].separability, strict=True
    ):
        assert strength == pytest.approx(gain * separability / (1 + gain * separability))


@examples
@given(problem=problems())
def test_mixture_leaves_the_mean_retain_prototype_where_it_was(setting, brute, problem):
    model, rows, labels, batches, forget = setting(problem)
    kept = sorted(set(labels.tolist()) - set(forget))
    reference = torch.from_numpy(brute.prototypes(rows, labels, kept).mean(0))
    edited = damp.forget(model, batches, forget=forget, preset="mixture").unretired
    torch.testing.assert_close(edited(reference), model(reference), atol=1e-9, rtol=0)


@examples
@given(problem=problems())
def test_mixture_at_strength_one_sends_the_forget_prototype_to_its_mixture(setting, brute, problem):
    model, rows, labels, batches, forget = setting(problem)
    forget = forget[:1]
    kept = sorted(set(labels.tolist()) - set(forget))
    retain = brute.prototypes(rows, labels, kept)
    target = rows[labels == forget[0]].mean(0)
    covariance = brute.covariance(rows[labels != forget[0]])
    mixture = brute.mixture_weights(target, retain, covariance) @ retain
    projector, reference = brute.mixture(rows, labels, forget, strength=1.0)
    expected = torch.from_numpy(mixture - projector @ (mixture - reference))
    edited = damp.forget(model, batches, forget=forget, preset="mixture", gain=HARD).unretired
    torch.testing.assert_close(edited(torch.from_numpy(target)), model(expected), atol=1e-5, rtol=0)


@examples
@given(problem=problems())
def test_mixture_at_strength_one_is_a_projector(setting, problem):
    model, _, _, batches, forget = setting(problem)
    once = damp.forget(model, batches, forget=forget, preset="mixture", gain=HARD).unretired
    unit = nn.Linear(once.in_features, once.in_features).double()
    with torch.no_grad():
        unit.weight.copy_(torch.eye(once.in_features))
    both = nn.Sequential(unit, model)
    edited = damp.forget(
        both, batches, forget=forget, preset="mixture", gain=HARD, skip=["1"]
    ).unretired
    complement = edited[0].weight.detach()
    torch.testing.assert_close(complement @ complement, complement, atol=1e-7, rtol=0)
    assert int(torch.linalg.matrix_rank(complement, atol=1e-6)) == len(complement) - len(forget)


@examples
@given(problem=problems(fewer_than_features=True))
def test_paper_maps_every_retain_prototype_as_before(setting, brute, problem):
    model, rows, labels, batches, forget = setting(problem)
    kept = sorted(set(labels.tolist()) - set(forget))
    retain = torch.from_numpy(brute.prototypes(rows, labels, kept))
    edited = damp.forget(model, batches, forget=forget, preset="paper").unretired
    torch.testing.assert_close(edited(retain), model(retain), atol=1e-9, rtol=0)
    assert not torch.equal(edited.weight, model.weight)


@examples
@given(problem=problems(fewer_than_features=True))
def test_paper_equals_its_brute_force(setting, brute, problem):
    model, rows, labels, batches, forget = setting(problem)
    edited = damp.forget(model, batches, forget=forget, preset="paper")
    strength = edited.operators[0].strength[0]
    weight, bias = arrays(model)
    expected = weight - strength * weight @ brute.paper(rows, labels, forget)
    np.testing.assert_allclose(arrays(edited.unretired)[0], expected, atol=1e-9)
    np.testing.assert_array_equal(arrays(edited.unretired)[1], bias)


@examples
@given(problem=problems(fewer_than_features=True))
def test_paper_at_strength_one_maps_the_forget_prototype_as_its_shadow_on_the_span(
    setting, brute, problem
):
    model, rows, labels, batches, forget = setting(problem)
    kept = sorted(set(labels.tolist()) - set(forget))
    retain = brute.prototypes(rows, labels, kept).T
    targets = brute.prototypes(rows, labels, forget).T
    shadow = retain @ np.linalg.lstsq(retain, targets, rcond=None)[0]
    probe = damp.forget(model, batches, forget=forget, preset="paper")
    full = 1 / probe.operators[0].separability[0]
    edited = damp.forget(model, batches, forget=forget, preset="paper", ramp=lambda *_: full)
    weight, _ = arrays(model)
    np.testing.assert_allclose(arrays(edited.unretired)[0] @ targets, weight @ shadow, atol=1e-8)


@pytest.mark.parametrize("preset", ["paper", "mixture"])
@examples
@given(problem=problems(fewer_than_features=True), order=st.randoms(use_true_random=False))
def test_order_of_samples_and_names_of_classes_do_not_matter(
    setting, split, preset, problem, order
):
    model, rows, labels, batches, forget = setting(problem)
    renamed = list(range(model.out_features))
    order.shuffle(renamed)
    shuffled = list(range(len(rows)))
    order.shuffle(shuffled)
    others = torch.tensor(renamed)[torch.from_numpy(labels)[shuffled]]
    reordered = split(torch.from_numpy(rows)[shuffled], others, order.randint(1, 70))
    first = damp.forget(model, batches, forget=forget, preset=preset).unretired
    second = damp.forget(
        model, reordered, forget=[renamed[label] for label in forget], preset=preset
    ).unretired
    torch.testing.assert_close(first.weight, second.weight, atol=1e-6, rtol=0)
    torch.testing.assert_close(first.bias, second.bias, atol=1e-6, rtol=0)
