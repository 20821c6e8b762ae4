"""Where a network narrows to one tensor, and what lies above."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from damp.waist import Top, features, waists


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
