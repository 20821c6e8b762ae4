"""The preset `mended`: features as `mixture` leaves them, the head refitted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import damp
from damp.errors import BadBatches


class Net(nn.Module):
    """Two layers before a head without bias; float64, so that references agree to many digits."""

    def __init__(self, classes=4):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 5), nn.ReLU())
        self.head = nn.Linear(5, classes, bias=False)

    def forward(self, inputs):
        return self.head(self.body(inputs))


@pytest.fixture
def net(seeded):
    return seeded(Net).double().eval()


def both(model, batches, forget, **options):
    """The same request to `mixture` and to `mended`."""
    return tuple(
        damp.forget(model, batches, forget=forget, preset=preset, **options)
        for preset in ("mixture", "mended")
    )


def test_the_head_is_the_ridge_regression_of_the_lost_logits(net, clouds, split):
    inputs, labels = clouds()
    mixture, mended = both(net, split(inputs, labels), 1)
    kept = labels != 1
    with torch.no_grad():
        features = mixture.unretired.body(inputs[kept]).numpy()
        lacking = (net(inputs[kept]) - mixture.unretired(inputs[kept])).numpy()
    # by augmented least squares, where the package solves normal equations of streamed sums
    x, e = features - features.mean(0), lacking - lacking.mean(0)
    ridge = 1e-3 * np.mean(x.var(0)) * len(x)
    rows = np.vstack([x, np.sqrt(ridge) * np.eye(x.shape[1])])
    weights = np.linalg.lstsq(rows, np.vstack([e, np.zeros((x.shape[1], 4))]), rcond=None)[0]
    bias = lacking.mean(0) - features.mean(0) @ weights

    others = [0, 2, 3]
    change = mended.unretired.head.weight - mixture.unretired.head.weight
    shift = mended.unretired.head.bias - mixture.unretired.head.bias
    np.testing.assert_allclose(change.detach()[others], weights.T[others], atol=1e-9)
    np.testing.assert_allclose(shift.detach()[others], bias[others], atol=1e-9)
    assert np.abs(weights).max() > 1e-3
    assert mended.mended == "head"
    assert mixture.mended is None


def test_everything_but_the_kept_rows_of_the_head_is_as_mixture_leaves_it(net, clouds, split):
    mixture, mended = both(net, split(*clouds()), [1, 3])
    plain, fitted = mixture.unretired.state_dict(), mended.unretired.state_dict()
    for name in plain.keys() - {"head.weight", "head.bias"}:
        assert torch.equal(plain[name], fitted[name]), name
    for name in ("head.weight", "head.bias"):
        assert torch.equal(plain[name][[1, 3]], fitted[name][[1, 3]]), name
        assert not torch.equal(plain[name][[0, 2]], fitted[name][[0, 2]]), name
    assert [op.name for op in mended.operators] == [op.name for op in mixture.operators]
    assert [op.strength for op in mended.operators] == [op.strength for op in mixture.operators]


def test_retain_samples_get_back_towards_their_logits(cnn, clouds, split):
    model = cnn()
    inputs, labels = clouds(shape=(2, 6, 6))
    inputs = inputs.float()
    mixture, mended = both(model, split(inputs, labels), 2)
    kept = labels != 2
    with torch.no_grad():
        before = model(inputs)[kept][:, [0, 1, 3]]
        lost = mixture.unretired(inputs)[kept][:, [0, 1, 3]] - before
        left = mended.unretired(inputs)[kept][:, [0, 1, 3]] - before
    assert float(left.square().sum()) < float(lost.square().sum())
    torch.testing.assert_close(left.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    assert float(lost.mean(0).abs().max()) > 1e-2
    assert mended.recalibrated == mixture.recalibrated != ()


def test_samples_to_forget_have_no_part_in_it(net, clouds, split):
    inputs, labels = clouds()
    measured = damp.measure(net, split(inputs, labels))
    kept = labels != 1
    once, other = (
        damp.forget(net, rows, forget=1, preset="mended", measured=measured)
        for rows in (split(inputs, labels), split(inputs[kept], labels[kept], size=50))
    )
    for one, two in zip(once.unretired.parameters(), other.unretired.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-10, rtol=0)


def test_the_same_twice_and_the_original_untouched(net, clouds, split):
    batches = split(*clouds())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    once, twice = (damp.forget(net, batches, forget=1, preset="mended") for _ in range(2))
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.head.bias is None
    for one, two in zip(once.unretired.parameters(), twice.unretired.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_second_request_leaves_rows_retired_before(net, clouds, split):
    batches = split(*clouds())
    first = damp.forget(net, batches, forget=1, preset="mended")
    mixture, mended = both(first.model, batches, 2)
    own, plain = mended.unretired.head.weight, mixture.unretired.head.weight
    assert torch.equal(own[[1, 2]], plain[[1, 2]])
    assert not torch.equal(own[[0, 3]], plain[[0, 3]])


def test_nothing_to_cut_is_nothing_to_refit(net, clouds, split):
    edited = damp.forget(net, split(*clouds()), forget=[], preset="mended")
    assert edited.mended is None
    assert all(
        torch.equal(value, net.state_dict()[name])
        for name, value in edited.unretired.state_dict().items()
    )


class Pooled(nn.Module):
    """A 1x1 convolution gives a map of logits, and its mean is the answer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, padding=1)
        self.head = nn.Conv2d(6, 4, 1)

    def forward(self, inputs):
        return self.head(torch.relu(self.conv(inputs))).mean((2, 3))


class Scaled(nn.Module):
    """Logits are half of what the last layer gives."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 5), nn.Linear(5, 4)

    def forward(self, inputs):
        return self.head(torch.relu(self.body(inputs))) / 2


class Tied(nn.Module):
    """Two heads share one weight and answer together."""

    def __init__(self):
        super().__init__()
        self.body, self.one, self.two = nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(5, 4)
        self.two.weight = self.one.weight

    def forward(self, inputs):
        inner = torch.relu(self.body(inputs))
        return self.one(inner) + self.two(inner)


@pytest.mark.parametrize(
    ("make", "shape", "reason"),
    [
        (Pooled, (2, 6, 6), "no linear layer"),
        (Scaled, (6,), "not the logits themselves"),
        (Tied, (6,), "weight of its own"),
    ],
)
def test_a_head_that_cannot_be_fitted_is_named_and_stays(
    seeded, clouds, split, make, shape, reason
):
    model = seeded(make).double().eval()
    mixture, mended = both(model, split(*clouds(shape=shape)), 1)
    assert mended.mended is None
    (unfitted,) = [skipped for skipped in mended.skipped if skipped not in mixture.skipped]
    assert reason in unfitted.reason
    for one, two in zip(mixture.unretired.parameters(), mended.unretired.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("kept", [False, True])
def test_a_head_that_is_to_be_left_alone_is_left_alone(net, clouds, split, kept):
    batches = split(*clouds())
    head = list(dict(net.named_modules()))[-1]
    measured = damp.measure(net, batches) if kept else None
    mended = damp.forget(net, batches, forget=1, preset="mended", skip=[head], measured=measured)
    assert mended.mended is None
    assert mended.operators
    assert any(s.name == head and "`skip`" in s.reason for s in mended.skipped)
    assert torch.equal(mended.unretired.get_submodule(head).weight, net.get_submodule(head).weight)


def test_statistics_alone_are_not_enough(net, clouds, split):
    measured = damp.measure(net, split(*clouds()))
    with pytest.raises(
        BadBatches, match=r"'mended' takes the data after the cut too \(head_refit\)"
    ):
        damp.forget(net, None, forget=1, preset="mended", measured=measured)
    assert damp.forget(net, None, forget=1, preset="mixture", measured=measured).operators


def test_costs_are_those_of_the_same_cut(net, clouds, split):
    measured = damp.measure(net, split(*clouds()))
    assert damp.costs(measured, preset="mended") == damp.costs(measured, preset="mixture")
