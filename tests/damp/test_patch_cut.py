"""A cut in the space of a convolution's unfolded patches."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from damp.errors import NoSamples, Unsupported
from damp.operators import Skipped
from damp.patch_cut import PatchCut, cut_patches


class Net(nn.Module):
    """Two convolutions and a head, float64."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(1, 3, 3, padding=1)
        self.two = nn.Conv2d(3, 4, 3, padding=1, stride=2, bias=False)
        self.grouped = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.head = nn.Linear(4, 4)

    def inner(self, images):
        return torch.relu(self.one(images))

    def forward(self, images):
        return self.head(torch.relu(self.grouped(self.two(self.inner(images)))).mean((2, 3)))


@pytest.fixture
def net(seeded):
    return seeded(Net).double().eval()


def quarter_images(count=240, classes=4, seed=0):
    """Class c has a bright spot in quarter c, so that the mean over the image tells no class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    images = torch.randn(count, 1, 8, 8, generator=generator, dtype=torch.float64)
    for row, label in enumerate(labels.tolist()):
        top, left = 4 * (label // 2), 4 * (label % 2)
        images[row, :, top : top + 4, left : left + 4] += 2
    return images, labels


def brute_force(net, images, labels, forget, brute, rank=4):
    """The projector T at strength 1 and the reference m, by loops and explicit inverses."""
    maps = net.inner(images).detach()
    padded = functional.pad(maps, (1, 1, 1, 1)).numpy()
    rows = np.zeros((len(images), 4, 27))
    for y in range(4):
        for x in range(4):
            patch = padded[:, :, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3].reshape(len(images), -1)
            rows[:, 2 * (y // 2) + x // 2] += patch / 4
    gone = np.isin(labels.numpy(), forget)
    kept = sorted(set(labels.tolist()) - set(forget))
    raw = np.mean([np.cov(rows[~gone, q], rowvar=False, bias=True) for q in range(4)], axis=0)
    spread = raw + 0.01 * np.mean(np.diag(raw)) * np.eye(27)
    residuals, means = [], []
    for q in range(4):
        retain = brute.prototypes(rows[:, q], labels.numpy(), kept)
        means.append(retain.mean(0))
        for target in brute.prototypes(rows[:, q], labels.numpy(), forget):
            residuals.append(target - brute.mixture_weights(target, retain, spread) @ retain)
    whitener = np.linalg.inv(np.linalg.cholesky(spread))
    _, _, vh = np.linalg.svd(np.stack(residuals) @ whitener.T, full_matrices=False)
    vh = vh[: rank * len(forget)]
    projector = np.linalg.inv(whitener) @ vh.T @ vh @ whitener
    return torch.from_numpy(projector), torch.from_numpy(np.mean(means, axis=0))


@pytest.mark.parametrize("forget", [[1], [0, 2]])
def test_it_is_the_brute_force_projector_folded(net, brute, forget):
    images, labels = quarter_images()
    projector, reference = brute_force(net, images, labels, forget, brute)
    weight = net.two.weight.detach().flatten(1).clone()
    cut = cut_patches(net, "two", [(images, labels)], forget=forget, strength=0.3)
    assert isinstance(cut, PatchCut)
    taken = 0.3 * projector
    torch.testing.assert_close(
        net.two.weight.detach().flatten(1), weight - weight @ taken, rtol=0, atol=1e-6
    )
    torch.testing.assert_close(net.two.bias.detach(), weight @ taken @ reference, atol=1e-6, rtol=0)


def test_the_edited_layer_is_the_old_one_on_erased_patches_at_padded_borders_too(net, brute):
    images, labels = quarter_images()
    projector, reference = brute_force(net, images, labels, [1], brute)
    weight = net.two.weight.detach().flatten(1).clone()
    inputs = net.inner(images[:5])
    patches = functional.unfold(inputs, 3, padding=1, stride=2).mT  # (5, 16, 27)
    erased = patches - 0.7 * (patches - reference) @ projector.T
    cut_patches(net, "two", [(images, labels)], forget=[1], strength=0.7)
    torch.testing.assert_close(net.two(inputs).flatten(2).mT, erased @ weight.T, rtol=0, atol=1e-6)


def test_batches_and_the_order_of_samples_do_not_matter(net):
    images, labels = quarter_images()
    other, order = copy.deepcopy(net), torch.randperm(len(labels))
    cut_patches(net, "two", [(images, labels)], forget=[1])
    parts = list(zip(images[order].split(37), labels[order].split(37), strict=True))
    cut_patches(other, "two", parts, forget=[1])
    torch.testing.assert_close(net.two.weight, other.two.weight, rtol=0, atol=1e-9)


def test_the_same_bits_twice(net):
    images, labels = quarter_images()
    other = copy.deepcopy(net)
    for model in (net, other):
        cut_patches(model, "two", [(images, labels)], forget=[1])
    assert torch.equal(net.two.weight, other.two.weight)
    assert torch.equal(net.two.bias, other.two.bias)


def test_a_layer_that_has_no_patches_stays_and_says_why(net):
    images, labels = quarter_images()
    before = copy.deepcopy(net.state_dict())
    for name in ("grouped", "head"):
        left = cut_patches(net, name, [(images, labels)], forget=[1])
        assert isinstance(left, Skipped)
        assert "patches cannot be cut" in left.reason
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_inputs_that_do_not_vary_leave_the_layer_as_it_is(net):
    images, labels = quarter_images()
    left = cut_patches(net, "two", [(0 * images, labels)], forget=[1])
    assert isinstance(left, Skipped)


def test_bad_requests_are_refused(net):
    images, labels = quarter_images()
    with pytest.raises(Unsupported, match="no operator 'three'"):
        cut_patches(net, "three", [(images, labels)], forget=[1])
    kept = labels != 1
    with pytest.raises(NoSamples, match="class 1"):
        cut_patches(net, "two", [(images[kept], labels[kept])], forget=[1])


def test_a_convolution_of_one_output_is_cut_like_others(brute):
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Conv2d(1, 3, 3, padding=1)
            self.two = nn.Conv2d(3, 1, 3, padding=1, stride=2, bias=False)
            self.head = nn.Linear(16, 4)

        def inner(self, images):
            return torch.relu(self.one(images))

        def forward(self, images):
            return self.head(self.two(self.inner(images)).flatten(1))

    torch.manual_seed(0)
    net = One().double().eval()
    images, labels = quarter_images()
    projector, _ = brute_force(net, images, labels, [1], brute)
    weight = net.two.weight.detach().flatten(1).clone()
    cut = cut_patches(net, "two", [(images, labels)], forget=[1], strength=0.3)
    assert isinstance(cut, PatchCut)
    torch.testing.assert_close(
        net.two.weight.detach().flatten(1), weight - 0.3 * weight @ projector, rtol=0, atol=1e-6
    )
