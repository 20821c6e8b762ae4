"""Where a network narrows to one tensor, and what lies above."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from damp.waist import Top, _alike, _candidates, features, waists


class Residual(nn.Module):
    """A stem, two blocks with identity skips, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.one, self.two = Block(), Block()
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        return self.head(self.two(self.one(self.stem(images))).mean((2, 3)))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        return functional.relu(x + self.second(functional.relu(self.norm(self.first(x)))))


class Around(nn.Module):
    """The images reach the logits by another way too."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.above = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, rows):
        return self.above(functional.relu(self.below(rows))) + rows[:, :3]


class Tied(nn.Module):
    """One weight below and above."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.two.weight = self.one.weight

    def forward(self, rows):
        return self.head(self.two(functional.relu(self.one(rows))))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))


def test_every_operator_of_a_plain_network_begins_a_waist() -> None:
    assert [w.name for w in waists(plain(), torch.randn(4, 6))] == ["0", "2", "4"]


def test_inside_a_block_with_a_skip_there_is_none() -> None:
    every = waists(Residual().eval(), torch.randn(4, 1, 5, 5))
    assert [waist.name for waist in every] == ["stem", "one", "two", "head"]
    assert every[2].operators == ("two.first", "two.second", "head")
    assert "two.norm.weight" in every[2].parameters
    assert not any(name.startswith("one.") for name in every[2].parameters)


def test_a_way_around_or_a_tied_weight_is_no_waist() -> None:
    assert waists(Around(), torch.randn(4, 6))[1:] == ()
    names = [waist.name for waist in waists(Tied(), torch.randn(4, 6))]
    assert "two" not in names
    assert "head" in names


@pytest.mark.parametrize(("make", "shape"), [(plain, (6,)), (Residual, (1, 5, 5))])
def test_the_top_on_kept_features_gives_the_networks_logits(make, shape) -> None:
    network = make().eval()
    inputs, others = torch.randn(7, *shape), torch.randn(7, *shape)
    for waist in waists(network, inputs):
        top = Top(network, waist, others).eval()
        got = top(features(network, waist.name, inputs))
        torch.testing.assert_close(got, network(inputs))


def test_training_the_top_moves_nothing_below_and_everything_above() -> None:
    network = Residual()
    waist = waists(network.eval(), torch.randn(4, 1, 5, 5))[2]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    top = Top(network, waist, torch.randn(1, 1, 5, 5)).train()
    kept = features(network, "two", torch.randn(8, 1, 5, 5))
    optimizer = torch.optim.SGD([p for p in top.parameters() if p.requires_grad], 0.1)
    functional.cross_entropy(top(kept), torch.arange(8) % 3).backward()
    optimizer.step()
    moved = {n for n, v in network.state_dict().items() if not torch.equal(v, before[n])}
    above = {n for n in before if n.startswith(("two.", "head."))}
    # a bias before a batch norm has no gradient to speak of
    assert moved <= above
    assert above - moved <= {"two.first.bias"}
    assert not network.one.norm.training


def test_looking_for_waists_leaves_the_network_as_it_was() -> None:
    network = Residual().train()
    network.stem.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    waists(network, torch.randn(4, 1, 5, 5))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
    assert network.one.norm.training
    assert not network.stem.weight.requires_grad
    assert network.head.weight.requires_grad


class Functional(nn.Module):
    """Above the waist a layer's weight is used without a call of the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.middle = nn.Linear(6, 5), nn.Linear(5, 4)
        self.hidden, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, rows):
        inner = functional.relu(self.middle(functional.relu(self.below(rows))))
        return self.head(functional.relu(functional.linear(inner, self.hidden.weight)))


def test_an_operator_above_is_one_whose_weight_the_logits_depend_on() -> None:
    by_name = {w.name: w for w in waists(Functional(), torch.randn(4, 6))}
    assert list(by_name) == ["below", "middle", "head"]
    assert by_name["middle"].operators == ("middle", "hidden", "head")
    assert by_name["middle"].layers == ("middle", "head")
    assert by_name["middle"].parameters == (
        "middle.weight",
        "middle.bias",
        "hidden.weight",
        "head.weight",
        "head.bias",
    )
    assert by_name["head"].operators == ("head",)
    assert by_name["below"].layers == ("below", "middle", "head")


class Frozen(nn.Module):
    """A weight in whole numbers is no parameter that could take gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.head = nn.Linear(6, 5), nn.Linear(5, 3)
        self.count = nn.Parameter(torch.tensor([2]), requires_grad=False)

    def forward(self, rows):
        return self.head(functional.relu(self.one(rows)) * self.count)


def test_parameters_that_are_no_floating_numbers_stay_without_gradients() -> None:
    network = Frozen()
    assert [w.name for w in waists(network, torch.randn(4, 6))] == ["one", "head"]
    assert not network.count.requires_grad


class Kept(nn.Module):
    """In evaluation mode a gain is worked out once, and kept for the passes that follow."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.middle, self.head = nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.randn(3))
        self.gain = None

    def train(self, mode: bool = True):
        self.gain = None
        return super().train(mode)

    def forward(self, rows):
        if self.training or self.gain is None:
            self.gain = self.scale.exp()
        inner = functional.relu(self.middle(functional.relu(self.below(rows))))
        return self.head(inner) * self.gain


def test_what_a_network_keeps_from_pass_to_pass_is_traced_at_every_waist() -> None:
    """Every waist's logits go through one and the same graph of the gain."""
    every = waists(Kept(), torch.randn(4, 6))
    assert [waist.name for waist in every] == ["below", "middle", "head"]
    assert all("scale" in waist.parameters for waist in every)


class Twice(nn.Module):
    """One layer is called twice, another with two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Linear(6, 4), nn.Linear(4, 4)
        self.pair, self.head = nn.Bilinear(4, 4, 4), nn.Linear(4, 3)

    def forward(self, rows):
        x = self.again(self.again(self.first(rows)))
        return self.head(self.pair(x, x))


def test_a_layer_that_is_called_twice_or_with_two_tensors_is_none() -> None:
    assert [w.name for w in waists(Twice(), torch.randn(4, 6))] == ["first", "head"]


def test_a_layer_that_reads_no_row_of_each_sample_is_none() -> None:
    """Two rows of each sample: the layer's first axis is not that of the samples."""

    class Split(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.head = nn.Linear(3, 4), nn.Linear(8, 3)

        def forward(self, rows):
            return self.head(self.inner(rows.reshape(-1, 3)).reshape(len(rows), 8))

    assert [w.name for w in waists(Split(), torch.randn(4, 6))] == ["head"]


def test_features_are_read_in_evaluation_mode_and_nothing_above_runs() -> None:
    network = nn.Sequential(nn.Linear(6, 5), nn.Dropout(0.5), nn.Linear(5, 3)).train()
    calls = []
    network[2].register_forward_hook(lambda *_: calls.append("head"))
    rows = torch.randn(3, 6)
    kept = features(network, "2", rows)
    torch.testing.assert_close(kept, network[0](rows))
    assert not kept.requires_grad
    assert calls == []
    assert network.training
    network(rows)  # no hook is left behind
    assert calls == ["head"]


@pytest.mark.parametrize(("mode", "expected"), [(True, True), (False, False)])
def test_the_top_is_trained_above_the_waist_alone(mode: bool, expected: bool) -> None:
    network = Residual()
    waist = waists(network.eval(), torch.randn(4, 1, 5, 5))[2]
    network.train(not mode)
    top = Top(network, waist, torch.randn(2, 1, 5, 5)).train(mode)
    assert top.training is expected
    assert network.two.norm.training is expected
    assert network.head.training is expected
    assert not network.stem.training
    assert not network.one.norm.training
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert trained == set(waist.parameters)
    assert top.get_buffer("row").shape == (1, 1, 5, 5)


@pytest.mark.parametrize(("apart", "alike"), [(0.9e-4, True), (1.1e-4, False)])
def test_logits_agree_up_to_rounding_in_shares_of_the_largest(apart: float, alike: bool) -> None:
    one = torch.tensor([[2.0, -20.0], [1.0, 3.0]]).double()
    other = one.clone()
    other[0, 0] += 20 * apart
    assert _alike(other, one) is alike
    assert not _alike(one[:1], one)
    assert _alike(torch.zeros(2, 2), torch.zeros(2, 2))


def test_a_layer_is_a_candidate_where_it_is_called_once_with_one_tensor() -> None:
    rows = torch.randn(4, 6)
    every = ("first", "again", "pair", "head")
    assert _candidates(Twice(), rows, every) == ["first", "head"]
    # of a container and its first layer, which read one tensor, the container
    assert _candidates(nn.Sequential(plain()), rows, ("0.0", "0.2", "0.4")) == ["0", "0.2", "0.4"]
