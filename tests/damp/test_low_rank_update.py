"""The preset `rewritten`: a light cut, and a layer that writes against what it left."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

import damp
from damp.errors import BadBatches
from damp.low_rank_update import _obstacle, _usual, apply_low_rank_update
from damp.operators import find
from tests.damp.test_paper import statistics_of


class Net(nn.Module):
    """Features of two layers before a head; float64, so that references agree to many digits."""

    def __init__(self, classes=4):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 5), nn.ReLU())
        self.head = nn.Linear(5, classes)

    def forward(self, inputs):
        return self.head(self.body(inputs))


class Residual(nn.Module):
    """The head reads a skip and a branch behind a rectifier; the skip is called last."""

    def __init__(self, classes=4):
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.branch = nn.Conv2d(6, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.skip = nn.Conv2d(2, 8, 1, bias=False)
        self.head = nn.Linear(8, classes)

    def features(self, inputs):
        inner = self.norm(self.branch(torch.relu(self.stem(inputs))))
        return torch.relu(inner + self.skip(inputs)).mean((2, 3))

    def forward(self, inputs):
        return self.head(self.features(inputs))


class Normed(nn.Module):
    """A layer norm lies before the head: it takes back what moves all features alike."""

    def __init__(self, classes=4):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 8), nn.LayerNorm(8))
        self.head = nn.Linear(8, classes)

    def features(self, inputs):
        return self.body(inputs)

    def forward(self, inputs):
        return self.head(self.body(inputs))


class Identity(nn.Module):
    """A branch of two layers around the identity."""

    def __init__(self, classes=4):
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, padding=1)
        self.one, self.two = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, classes)

    def forward(self, inputs):
        x = torch.relu(self.stem(inputs))
        x = torch.relu(x + self.two(torch.relu(self.one(x))))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def net(seeded):
    return seeded(Net).double().eval()


def squared_distance(features, labels, forget):
    """s^2 of a class, worked out by constrained minimisation in numpy."""
    x, y = features.detach().double().numpy(), labels.numpy()
    kept = [label for label in np.unique(y) if label != forget]
    retain = np.stack([x[y == label].mean(0) for label in kept])
    spread = np.cov(x[y != forget].T, bias=True)
    spread += 0.01 * np.trace(spread) / len(spread) * np.eye(len(spread))
    inverse = np.linalg.inv(spread)

    def distance(weights):
        left = x[y == forget].mean(0) - weights @ retain
        return left @ inverse @ left

    share = np.full(len(kept), 1 / len(kept))
    solution = minimize(
        distance,
        share,
        bounds=[(0, 1)] * len(kept),
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    return float(solution.fun)


@pytest.mark.parametrize(("make", "shape"), [(Net, (6,)), (Residual, (2, 6, 6)), (Normed, (6,))])
def test_the_head_s_input_no_longer_tells_the_class(seeded, clouds, split, make, shape):
    model = seeded(make).double().eval()
    inputs, labels = clouds(shape=shape)
    inputs = inputs.double()
    features = model.body if make is Net else model.features
    mended, rewritten = (
        damp.forget(model, split(inputs, labels), forget=1, preset=preset)
        for preset in ("mended", "rewritten")
    )

    def left(edited):
        own = edited.unretired
        return squared_distance((own.body if make is Net else own.features)(inputs), labels, 1)

    before = squared_distance(features(inputs), labels, 1)
    assert before > 1  # there is something to forget
    assert left(rewritten) < before / 2
    assert left(rewritten) < left(mended)


def test_of_a_branch_and_its_skip_the_one_that_sees_the_class_better(seeded, clouds, split):
    model = seeded(Residual).eval()
    inputs, labels = clouds(shape=(2, 6, 6))
    edited = damp.forget(model, split(inputs.float(), labels), forget=2, preset="rewritten")
    by_name = {op.name: max(op.separability) for op in edited.operators}
    assert edited.rewritten == max(("branch", "skip"), key=by_name.__getitem__)
    assert edited.mended == "head"


def test_behind_an_identity_the_last_layer_of_the_branch(seeded, clouds, split):
    """Its first layer has as many outputs, but a rectifier and a layer lie behind it."""
    model = seeded(Identity).eval()
    inputs, labels = clouds(shape=(2, 6, 6))
    edited = damp.forget(model, split(inputs.float(), labels), forget=2, preset="rewritten")
    assert edited.rewritten == "two"


def test_a_term_of_rank_one_is_added_to_one_layer(net, clouds, split):
    """Against a light cut alone; the rewritten weight differs from it by an outer product."""
    batches = split(*clouds())
    light = damp.forget(net, batches, forget=1, preset="mixture", gain=0.1).unretired
    edited = damp.forget(net, batches, forget=1, preset="rewritten")
    assert edited.rewritten == "body.2"
    own = edited.unretired
    added = own.body[2].weight - light.body[2].weight
    sizes = torch.linalg.svdvals(added.detach())
    assert float(sizes[0]) > 1e-2
    assert float(sizes[1]) < 1e-9 * float(sizes[0])
    assert torch.equal(own.body[0].weight, light.body[0].weight)
    (entry,) = [op for op in edited.operators if op.name == "body.2"]
    before, after = net.body[2].weight.detach(), own.body[2].weight.detach()
    moved = (after - before).norm() / before.norm()
    assert entry.relative_change == pytest.approx(float(moved))


def test_the_mean_retained_input_is_answered_as_before(net, clouds, split):
    """The term is 0 at the mean of the retain prototypes of the layer's own input."""
    inputs, labels = clouds()
    batches = split(inputs, labels)
    light = damp.forget(net, batches, forget=1, preset="mixture", gain=0.1).unretired
    own = damp.forget(net, batches, forget=1, preset="rewritten").unretired
    hidden = light.body[:2](inputs)
    centre = torch.stack([hidden[labels == label].mean(0) for label in (0, 2, 3)]).mean(0)
    torch.testing.assert_close(own.body[2](centre), light.body[2](centre), atol=1e-9, rtol=0)


def test_two_classes_take_a_term_of_rank_two(net, clouds, split):
    batches = split(*clouds())
    light = damp.forget(net, batches, forget=[1, 3], preset="mixture", gain=0.1).unretired
    edited = damp.forget(net, batches, forget=[1, 3], preset="rewritten")
    assert edited.rewritten == "body.2"
    added = edited.unretired.body[2].weight - light.body[2].weight
    sizes = torch.linalg.svdvals(added.detach())
    assert float(sizes[1]) > 1e-6 * float(sizes[0])
    assert float(sizes[2]) < 1e-9 * float(sizes[0])


def test_the_same_twice_in_any_batches_and_the_original_untouched(net, clouds, split):
    inputs, labels = clouds()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    once, twice, other = (
        damp.forget(net, split(inputs, labels, size=size), forget=1, preset="rewritten").unretired
        for size in (50, 50, 64)
    )
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    for one, two, three in zip(
        once.parameters(), twice.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(one, two)
        torch.testing.assert_close(one, three, atol=1e-6, rtol=0)


class Wide(nn.Module):
    """No layer has as many outputs as the head has inputs: two are joined."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Linear(6, 3), nn.Linear(6, 4), nn.Linear(7, 4)

    def forward(self, inputs):
        return self.head(torch.relu(torch.cat([self.one(inputs), self.two(inputs)], 1)))


class Grouped(nn.Module):
    """The layer before the head is a convolution in groups."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 4)
        self.conv = nn.Conv2d(4, 6, 3, padding=1, groups=2)
        self.stem = nn.Conv2d(2, 4, 1)

    def forward(self, inputs):
        return self.head(torch.relu(self.conv(self.stem(inputs))).mean((2, 3)))


class Twice(nn.Module):
    """The layer before the head is used twice."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, inputs):
        return self.head(torch.relu(self.body(torch.relu(self.body(inputs)))))


@pytest.mark.parametrize(
    ("make", "shape", "reason"),
    [
        (Wide, (6,), "no layer has 7 outputs"),
        (Grouped, (2, 6, 6), "in groups"),
        (Twice, (6,), "more than once"),
    ],
)
def test_a_net_that_cannot_be_rewritten_is_cut_and_says_why(
    seeded, clouds, split, make, shape, reason
):
    model = seeded(make).double().eval()
    inputs, labels = clouds(shape=shape)
    batches = split(inputs.double(), labels)
    light = damp.forget(model, batches, forget=1, preset="mended", gain=0.1)
    edited = damp.forget(model, batches, forget=1, preset="rewritten")
    assert edited.rewritten is None
    (entry,) = [skipped for skipped in edited.skipped if skipped not in light.skipped]
    assert reason in entry.reason
    for one, two in zip(edited.unretired.parameters(), light.unretired.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_head_that_is_to_be_left_alone_is_not_taken_for_another(net, clouds, split):
    edited = damp.forget(net, split(*clouds()), forget=1, preset="rewritten", skip=["head"])
    assert edited.rewritten is None
    assert any("does not give the logits" in skipped.reason for skipped in edited.skipped)


def test_classes_retired_before_have_no_part_in_it(net, clouds, split):
    inputs, labels = clouds()
    first = damp.forget(net, split(inputs, labels), forget=1, preset="rewritten")
    kept = labels != 1
    one, two = (
        damp.forget(first.model, rows, forget=2, preset="rewritten")
        for rows in (split(inputs, labels), split(inputs[kept], labels[kept]))
    )
    assert one.rewritten == "body.2"
    for a, b in zip(one.unretired.parameters(), two.unretired.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_statistics_alone_are_not_enough(net, clouds, split):
    measured = damp.measure(net, split(*clouds()))
    with pytest.raises(
        BadBatches,
        match=r"'rewritten' takes the data after the cut too \(low_rank_update, head_refit\)",
    ):
        damp.forget(net, None, forget=1, preset="rewritten", measured=measured)


def test_costs_are_those_of_the_light_cut(net, clouds, split):
    measured = damp.measure(net, split(*clouds()))
    assert damp.costs(measured, preset="rewritten") == damp.costs(
        measured, preset="mixture", gain=0.1
    )


def test_three_corrections_of_half_of_what_is_left_are_enough_where_all_responds(brute, split):
    """In a linear net each one takes what it is meant to: an eighth is left of the distance, and
    a sixty-fourth of the separability, less than a twentieth."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 4)).double()
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(200) % 4
    centres = 3 * torch.randn(4, 6, generator=generator, dtype=torch.float64)
    inputs = centres[labels] + 1e-3 * torch.randn(200, 6, generator=generator, dtype=torch.float64)
    before = model[0](inputs).detach()
    operators = find(model)[0]
    name = apply_low_rank_update(
        model, operators, {"0": "0", "1": "1"}, {}, split(inputs, labels), [1], []
    )
    assert name == "0"
    after = model[0](inputs).detach()
    rows, classes = before.numpy(), labels.numpy()
    kept = brute.prototypes(rows, classes, [0, 2, 3])
    target = rows[classes == 1].mean(0)
    weights = brute.mixture_weights(target, kept, brute.covariance(rows[classes != 1]))
    residual = target - weights @ kept
    moved = after.numpy()[classes == 1].mean(0) - target
    np.testing.assert_allclose(moved, -7 / 8 * residual, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(brute.prototypes(after.numpy(), classes, [0, 2, 3]), kept, atol=1e-3)


def test_the_usual_response_is_the_median_of_what_responds_at_all():
    response = torch.tensor([[1.0, 0.0011, 0.0009, -2.0], [0.0, 0.0, 0.0, 0.0], [-1.0, -2.0, 0, 0]])
    # above a thousandth of the largest: 1 and .0011, whose lower median is .0011
    assert _usual(response).flatten().tolist() == pytest.approx([0.0011, 0.0, 0.0])
    assert _usual(torch.tensor([[3.0, 2.0, 1.0]])).tolist() == [[2.0]]
    # however little that is
    assert _usual(1e-6 * response).flatten().tolist() == pytest.approx([0.0011e-6, 0.0, 0.0])


def reads(name, **facts):
    """An operator, and a use of it that a term could be added to, but for the facts given."""
    whole = SimpleNamespace(count=None)
    given = {"groups": 1, "sharing": (), "part": whole, "outputs": 4, "input_group": name}
    given |= {"calls": 1, "bias_applied": torch.tensor([True, True])}
    return SimpleNamespace(name=name, **(given | facts))


@pytest.mark.parametrize(
    ("layer", "head", "words"),
    [
        ({}, {}, None),
        ({}, {"outputs": 3}, "does not give the logits"),
        ({"lacks": True}, {}, "does not use its weight as it is"),
        ({}, {"lacks": True}, "does not use its weight as it is"),
        ({}, {"input_group": "layer"}, "reads the very same input"),
        ({"groups": 2}, {}, "in groups"),
        ({"sharing": ("other",)}, {}, "in groups, shared"),
        ({"part": SimpleNamespace(count=3)}, {}, "part of a larger one"),
        ({"calls": 2}, {}, "more than once"),
        ({}, {"calls": 2}, "more than once"),
        ({"bias_applied": torch.tensor([True, False])}, {}, "bias is not applied"),
        ({}, {"bias_applied": torch.tensor([False])}, None),
    ],
)
def test_each_obstacle_is_one_by_itself(layer, head, words):
    both = reads("layer", **layer), reads("head", **head)
    uses = {one.name: one for one in both if not hasattr(one, "lacks")}
    collection = SimpleNamespace(uses=uses, measurement=SimpleNamespace(classes=4, statistics={}))
    reason = _obstacle(collection, *both, [1])
    assert reason is None if words is None else words in reason


def test_samples_that_are_alike_at_either_input_are_an_obstacle(clouds):
    inputs, labels = clouds()
    spread, alike = (
        statistics_of(rows.numpy(), labels.numpy()) for rows in (inputs, torch.ones_like(inputs))
    )
    both = reads("layer"), reads("head")
    for first, second in ((spread, spread), (alike, spread), (spread, alike)):
        measurement = SimpleNamespace(classes=4, statistics={"layer": first, "head": second})
        uses = {one.name: one for one in both}
        reason = _obstacle(SimpleNamespace(uses=uses, measurement=measurement), *both, [1])
        assert (reason is None) is (first is second)
        assert reason is None or "all alike" in reason
