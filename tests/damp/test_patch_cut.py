"""A cut in the space of a convolution's unfolded patches."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from damp import patch_cut
from damp.errors import NoSamples, Unsupported
from damp.operators import Skipped
from damp.patch_cut import PatchCut, cut_patches, patches_in_quarters


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


def quarters_by_hand(layer, image):
    """Patches at every output position, averaged where `adaptive_avg_pool2d` puts its quarters."""
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = functional.pad(image, layer._reversed_padding_repeated_twice, mode=mode)[0]
    (kh, kw), (sh, sw), (dh, dw) = layer.kernel_size, layer.stride, layer.dilation
    rows = range(0, padded.shape[1] - dh * (kh - 1), sh)
    columns = range(0, padded.shape[2] - dw * (kw - 1), sw)
    patches = [
        [padded[:, r : r + dh * kh : dh, c : c + dw * kw : dw][:, :kh, :kw] for c in columns]
        for r in rows
    ]
    height, width = len(rows), len(columns)
    quarters = []
    for i in (0, 1):
        for j in (0, 1):
            tall = range(i * height // 2, -(-(i + 1) * height // 2))
            wide = range(j * width // 2, -(-(j + 1) * width // 2))
            inside = [patches[r][c].flatten() for r in tall for c in wide]
            quarters.append(torch.stack(inside).mean(0))
    return torch.stack(quarters)


@pytest.mark.parametrize(
    ("kernel", "settings"),
    [
        (3, {"padding": 1}),
        (3, {"padding": 1, "stride": 2}),
        (3, {"padding": 2, "dilation": 2}),
        ((1, 3), {"stride": (2, 1)}),
        (2, {"stride": 3}),
        (3, {"padding": 1, "padding_mode": "circular"}),
    ],
)
def test_patches_are_averaged_in_the_quarters_of_the_output(kernel, settings):
    layer = nn.Conv2d(2, 3, kernel, **settings)
    images = torch.randn(3, 2, 9, 8)
    ours = patches_in_quarters(layer, images)
    for number in range(3):
        expected = quarters_by_hand(layer, images[number : number + 1])
        torch.testing.assert_close(ours[number], expected)


def test_a_layer_that_is_no_convolution_reads_no_patches():
    with pytest.raises(Unsupported, match="A Linear reads no patches"):
        patches_in_quarters(nn.Linear(2, 2), torch.ones(1, 2))


class Uses(nn.Module):
    """A convolution that is called once, twice, without its bias, or not at all."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.head = nn.Linear(2, 4)

    def forward(self, images):
        x = images
        if self.how == "without bias":
            x = functional.conv2d(x, self.conv.weight, padding=1)
        for _ in range({"once": 1, "twice": 2}.get(self.how, 0)):
            x = self.conv(x)
        return self.head(x.mean((2, 3)))


def two_channels():
    images, labels = quarter_images()
    return torch.cat([images, -images], 1), labels


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("once", None),
        ("twice", "it is called more than once, or its bias is not applied"),
        ("never", "its patches cannot be cut: "),
    ],
)
def test_a_convolution_is_cut_where_it_is_called_once_and_as_it_is(how, words):
    torch.manual_seed(0)
    net = Uses(how).double().eval()
    left = cut_patches(net, "conv", [two_channels()], forget=[1])
    if words is None:
        assert isinstance(left, PatchCut)
    else:
        assert isinstance(left, Skipped)
        assert words in left.reason
        assert (left.name, left.kind) == ("conv", "Conv2d")


@pytest.mark.parametrize(("widest", "cut"), [(18, True), (17, False)])
def test_patches_as_wide_as_the_widest_are_cut(monkeypatch, widest, cut):
    monkeypatch.setattr(patch_cut, "WIDEST", widest)
    torch.manual_seed(0)
    left = cut_patches(Uses("once").double().eval(), "conv", [two_channels()], forget=[1])
    assert isinstance(left, PatchCut) is cut
    assert cut or "they have 18 entries, above 17" in left.reason


def test_no_batch_at_all_is_refused(net):
    with pytest.raises(NoSamples, match="There is no batch"):
        cut_patches(net, "two", [], forget=[1])
    images, labels = quarter_images()
    gone = labels == 1
    with pytest.raises(NoSamples, match="of a class to keep"):
        cut_patches(net, "two", [(images[gone], labels[gone])], forget=[1])


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_what_was_done_is_counted_and_compared(net, precision):
    images, labels = quarter_images()
    net, images = net.to(precision), images.to(precision)
    before = net.two.weight.detach().clone()
    cut = cut_patches(net, "two", [(images, labels)], forget=[1])
    moved = float((net.two.weight.detach() - before).norm() / before.norm())
    assert cut.relative_change == pytest.approx(moved, rel=1e-5)
    assert (cut.name, cut.strength, cut.samples) == ("two", 0.2, 240)
    assert len(cut.separability) == 4
    assert list(cut.separability) == sorted(cut.separability, reverse=True)
    passed_over = cut_patches(net, "two", [(images, labels)], forget=[1], retired=[3])
    assert passed_over.samples == 180


@pytest.mark.parametrize(("above", "planned"), [(1e-9, True), (0.0, False)])
def test_a_residual_at_the_gate_is_noise(net, monkeypatch, above, planned):
    images, labels = quarter_images()
    whole = cut_patches(copy.deepcopy(net), "two", [(images, labels)], forget=[1])
    monkeypatch.setattr(patch_cut, "GATE", whole.residual - above)
    left = cut_patches(net, "two", [(images, labels)], forget=[1])
    assert isinstance(left, PatchCut) is planned
