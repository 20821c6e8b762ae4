"""Sums before rectifiers, the layers that write them, and terms that are known without a pass."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from damp.natural_share import RowGeometry
from damp.operators import find
from damp.sum_writers import (
    SumRows,
    alternate,
    class_held,
    find_writing,
    fold_writing,
    middle_inputs,
    spread_term,
)
from damp.sums import Rectifiers, find_sums, with_writers
from damp.tracing import trace


class Block(nn.Module):
    """Two convolutions around a skip: a convolution, or the identity."""

    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(outside)
        self.skip = nn.Identity()
        if inside != outside or stride != 1:
            self.skip = nn.Conv2d(inside, outside, 1, stride, bias=False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.bn(self.conv2(torch.relu(self.conv1(x)))) + self.skip(x))


class Residual(nn.Module):
    """A stem and three blocks, the second halving the map, the third around the identity."""

    def __init__(self, classes=4):
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.blocks = nn.Sequential(Block(6, 6, 1), Block(6, 8, 2), Block(8, 8, 1))
        self.head = nn.Linear(8, classes)

    def forward(self, images):
        return self.head(self.blocks(torch.relu(self.stem(images))).mean((2, 3)))


@pytest.fixture
def net(seeded):
    model = seeded(Residual).double()
    generator = torch.Generator().manual_seed(3)
    for _ in range(5):  # batch norms that scale
        model(2 * torch.randn(16, 2, 8, 8, generator=generator).double() + 0.3)
    return model.eval()


@pytest.fixture
def pictures(clouds):
    return clouds(0, 4, (2, 8, 8), 60)


def structure(model, inputs, count=3):
    uses = trace(model, find(model)[0], inputs).uses
    head = next(reversed(uses.values()))
    return head, uses, find_sums(model, head, inputs, count)


def captured(model, place, images):
    """z and the writers' inputs, by hooks of the test's own."""
    inputs = {}
    handles = [
        writer.operator.layer.register_forward_pre_hook(
            lambda _, args, name=writer.operator.name: inputs.update({name: args[0].clone()})
        )
        for writer in place.writers
    ]
    with Rectifiers([place.place]) as calls, torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    return calls.calls[place.place].values, inputs


def test_block_sums_are_what_all_passes_through(net, pictures):
    head, uses, sums = structure(net, pictures[0], 5)
    written = [with_writers(net, place, head, uses, pictures[0]) for place in sums]
    names = [[writer.operator.name for writer in place.writers] for place in written]
    # the rectifiers inside branches are passed by the skip: they are no such sums
    assert names == [
        ["stem"],
        ["blocks.0.conv2"],
        ["blocks.1.conv2", "blocks.1.skip"],
        ["blocks.2.conv2"],
    ]


@pytest.mark.parametrize(("pool", "side"), [(nn.AdaptiveAvgPool2d(2), 2), (nn.AvgPool2d(4), 2)])
def test_a_layer_that_reads_a_map_in_cells_has_a_sum_where_cells_are_asked_for(pool, side):
    net = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), pool, nn.Flatten())
    net = nn.Sequential(net, nn.Linear(6 * side**2, 5)).double()
    images = torch.randn(20, 2, 8, 8).double()
    head = next(iter(reversed(trace(net, find(net)[0], images).uses.values())))
    (place,) = find_sums(net, head, images, 1, in_cells=True)
    assert place.side == side
    values, _ = captured(net, place, images)
    torch.testing.assert_close(place.pooled(values), net[0](images))
    assert isinstance(find_sums(net, head, images, 1), str)


def test_the_largest_of_each_cell_is_no_mean_of_it():
    body = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten())
    net = nn.Sequential(body, nn.Linear(24, 5)).double()
    images = torch.randn(20, 2, 8, 8).double()
    head = next(iter(reversed(trace(net, find(net)[0], images).uses.values())))
    assert isinstance(find_sums(net, head, images, 1, in_cells=True), str)


def test_a_factor_is_that_of_the_norm_in_between(net, pictures):
    head, uses, sums = structure(net, pictures[0])
    branch, skip = with_writers(net, sums[1], head, uses, pictures[0]).writers
    norm = net.blocks[1].bn
    expected = norm.weight / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(branch.factor, expected.detach(), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(skip.factor, torch.ones(8).double(), rtol=1e-6, atol=1e-9)


def test_looking_leaves_the_model_as_it_was(net, pictures):
    before = copy.deepcopy(net.state_dict())
    head, uses, sums = structure(net, pictures[0])
    with_writers(net, sums[-1], head, uses, pictures[0])
    assert list(net.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    "body", [nn.Sequential(nn.Linear(6, 5)), nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5))]
)
def test_a_head_behind_no_rectifier_has_no_sum(body):
    model = nn.Sequential(body, nn.Linear(5, 3)).double()
    _, _, reason = structure(model, torch.randn(20, 6).double())
    assert isinstance(reason, str)
    assert "rectifier" in reason


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_middle_of_a_kernel_reads_what_a_unit_kernel_does(stride, kernel):
    layer = nn.Conv2d(3, 3, kernel, stride, kernel // 2, bias=False).double()
    nn.init.zeros_(layer.weight)
    for channel in range(3):
        layer.weight.data[channel, channel, kernel // 2, kernel // 2] = 1
    inputs = torch.randn(4, 3, 7, 7).double()
    torch.testing.assert_close(middle_inputs(layer, inputs), layer(inputs).flatten(2).detach())


@pytest.mark.parametrize("which", [1, 2])
@pytest.mark.parametrize("forget", [[1], [0, 2]])
def test_the_sum_after_the_term_is_the_edited_networks_own(net, pictures, which, forget):
    images, labels = pictures
    head, uses, sums = structure(net, images)
    place = with_writers(net, sums[which], head, uses, images)
    values, inputs = captured(net, place, images)
    middle = tuple(middle_inputs(w.operator.layer, inputs[w.operator.name]) for w in place.writers)
    rows = SumRows(values=values, inputs=middle, labels=labels)
    before = RowGeometry.from_rows(place.pooled(values), labels, forget).separability
    writing = find_writing(place, rows, forget, 0.5 * before)
    assert writing.rounds > 0
    fold_writing(place.writers, writing)
    after, _ = captured(net, place, images)
    torch.testing.assert_close(after, writing.values, rtol=1e-6, atol=1e-6)
    # z + D (r'm - r'h), written out once more
    held = class_held(middle, writing.reads, writing.reference)
    torch.testing.assert_close(
        after, values - spread_term(writing.writes, held, values), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("forget", [[1], [0, 2]])
def test_what_is_read_is_one_for_a_class_and_nothing_for_the_others(net, pictures, forget):
    images, labels = pictures
    head, uses, sums = structure(net, images)
    place = with_writers(net, sums[1], head, uses, images)
    values, inputs = captured(net, place, images)
    middle = tuple(middle_inputs(w.operator.layer, inputs[w.operator.name]) for w in place.writers)
    goals = torch.zeros(len(forget)).double()
    rows = SumRows(values=values, inputs=middle, labels=labels)
    writing = find_writing(place, rows, forget, goals)
    chosen = alternate(labels)
    joint = torch.cat([part.mean(2) for part in middle], 1)[chosen]
    means = torch.stack([joint[labels[chosen] == label].mean(0) for label in range(4)])
    read = (means - writing.reference) @ writing.reads  # (4, f)
    torch.testing.assert_close(read[forget], torch.eye(len(forget)).double())
    kept = [label for label in range(4) if label not in forget]
    torch.testing.assert_close(read[kept].mean(0), torch.zeros(len(forget)).double())


def test_a_class_that_is_at_its_goal_is_left_where_it_is(net, pictures):
    images, labels = pictures
    head, uses, sums = structure(net, images)
    place = with_writers(net, sums[2], head, uses, images)
    values, inputs = captured(net, place, images)
    middle = tuple(middle_inputs(w.operator.layer, inputs[w.operator.name]) for w in place.writers)
    rows = SumRows(values=values, inputs=middle, labels=labels)
    writing = find_writing(place, rows, [1], torch.tensor([1e9]).double())
    assert writing.rounds == 0
    assert not bool(writing.writes.any())
    assert torch.equal(writing.values, values)


def test_each_class_stops_on_its_own_goal(net, pictures):
    images, labels = pictures
    head, uses, sums = structure(net, images)
    place = with_writers(net, sums[2], head, uses, images)
    values, inputs = captured(net, place, images)
    middle = tuple(middle_inputs(w.operator.layer, inputs[w.operator.name]) for w in place.writers)
    rows = SumRows(values=values, inputs=middle, labels=labels)
    held = ~alternate(labels)
    before = RowGeometry.from_rows(place.pooled(values[held]), labels[held], [0, 2]).separability
    writing = find_writing(place, rows, [0, 2], torch.stack([before[0] * 0.5, before[1]]))
    assert float(writing.after[0]) < 0.75 * float(before[0])
    assert float(writing.after[1]) > 0.75 * float(before[1])
