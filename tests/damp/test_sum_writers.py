"""Sums before rectifiers, the layers that write them, and terms that are known without a pass."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from damp import sum_writers
from damp.natural_share import RowGeometry
from damp.operators import find
from damp.sum_writers import (
    SumRows,
    alternate,
    approach,
    class_held,
    find_writing,
    fold_writing,
    middle_inputs,
    middle_position,
    missed_by,
    slopes,
    spread_term,
    weak_channels,
)
from damp.sums import Rectifiers, Sum, Writer, find_sums, with_writers
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


def scalar_sum(values, factor):
    """A step moves every value by itself, and the values are what is separable."""
    return approach(
        torch.tensor(values).double(),
        torch.zeros(len(values)).double(),
        torch.ones(len(values)).double(),
        step_from=lambda z, share: -factor * share * z,
        written=lambda z, step: z + step,
        separability=lambda z: z,
        rounds=8,
    )


def test_a_correction_moves_each_class_by_its_share_and_is_kept_where_it_helps():
    """s of 4 and .5 at a goal of 1: shares 3/4 and 0, one step to 1 and nothing more."""
    way = scalar_sum([4.0, 0.5], 1.0)
    assert way.before.tolist() == [4.0, 0.5]
    assert way.after.tolist() == pytest.approx([1.0, 0.5])
    assert way.change.tolist() == pytest.approx([-3.0, 0.0])
    assert way.values.tolist() == pytest.approx([1.0, 0.5])
    assert way.rounds == 1


def test_a_correction_that_leads_too_far_is_halved_and_tried_again():
    """Of 4 a step of thrice the share goes to -5, of half of that to -.5, of a quarter to 1.75;
    from there a quarter of thrice the share of 3/7 takes 9/16 off, and so on."""
    way = scalar_sum([4.0], 3.0)
    z, length, kept = 4.0, 1.0, 0
    for _ in range(8):
        share = max(0.0, 1 - 1 / z)
        if share < 0.03:
            break
        new = z - 3 * length * share * z
        if abs(math.log(max(new, 1e-6))) < abs(math.log(z)):
            z, kept = new, kept + 1
        else:
            length /= 2
    assert way.after.tolist() == pytest.approx([z])
    assert way.rounds == kept > 1
    assert way.change.tolist() == pytest.approx([z - 4.0])


@pytest.mark.parametrize(("start", "moves"), [(1.035, True), (1.025, False), (1.0, False)])
def test_a_class_within_three_per_cent_above_its_goal_is_there(start, moves):
    way = scalar_sum([start], 1.0)
    assert (way.rounds > 0) is moves
    assert way.after.tolist() == pytest.approx([1.0 if moves else start])


def test_no_more_corrections_than_are_allowed_are_tried():
    tried = []
    approach(
        torch.tensor([100.0]),
        torch.zeros(1),
        torch.ones(1),
        step_from=lambda z, share: tried.append(float(share[0])) or -0.1 * z,
        written=lambda z, step: z + step,
        separability=lambda z: z,
        rounds=5,
    )
    assert len(tried) == 5
    assert tried[0] == pytest.approx(0.99)
    assert tried[1] == pytest.approx(1 - 1 / 90)


def test_as_far_above_counts_as_far_below():
    goals = torch.tensor([1.0, 2.0, 4.0])
    reached = torch.tensor([2.0, 1.0, 4.0])
    assert missed_by(reached, goals) == pytest.approx(2 * math.log(2))
    # a separability of nothing is a millionth
    assert missed_by(torch.zeros(1), torch.ones(1)) == pytest.approx(math.log(1e6), rel=1e-5)
    assert missed_by(torch.zeros(1), torch.zeros(1)) == 0.0


def test_channels_below_a_thousandth_of_the_usual_factor_are_weak():
    one = Writer(operator=None, factor=torch.tensor([1.0, -2.0, 0.0021, -0.0019, 3.0]))
    other = Writer(operator=None, factor=torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0]))
    # the medians of the sizes are 1 and 1
    assert weak_channels([one]).tolist() == [False] * 5
    assert weak_channels([other]).tolist() == [True, False, False, False, False]
    low = Writer(operator=None, factor=torch.tensor([1.0, -2.0, 0.0011, -0.0009, 3.0]))
    assert weak_channels([low]).tolist() == [False, False, False, True, False]
    assert weak_channels([low, other]).tolist() == [True, False, False, True, False]
    # of a usual factor of 100 a thousandth is .1
    strong = Writer(operator=None, factor=torch.tensor([100.0, -100.0, 0.11, 0.09, 300.0]))
    assert weak_channels([strong]).tolist() == [False, False, False, True, False]


def rectified(channels, side=1):
    return Sum(place=0, rectifier=torch.relu, channels=channels, side=side)


def test_slopes_are_those_of_the_rectifier():
    values = torch.tensor([[-1.0, 2.0], [3.0, -4.0]]).double()
    open_at = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double()
    torch.testing.assert_close(slopes(rectified(2), values), open_at)
    square = Sum(place=0, rectifier=torch.square, channels=2)
    torch.testing.assert_close(slopes(square, values), 2 * values)
    assert torch.isfinite(slopes(rectified(2), torch.zeros(2, 2).double())).all()


@pytest.mark.parametrize("positions", [(), (2,)])
def test_a_feature_follows_by_its_mean_slope_and_never_below_half_the_median(positions):
    """Four channels whose gates are open for all, half, a quarter and none of four rows."""
    open_for = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]).T
    values = (2.0 * open_for - 1).double()
    if positions:
        values = values[..., None].expand(4, 4, 2)
    held = torch.full((4, 2 if positions else 1), 0.8).double()
    follow = sum_writers._follow(rectified(4), values, held)
    # .8, .4, .2 of those that move: the median is .4, and half of it the floor
    assert follow.tolist() == pytest.approx([0.8, 0.4, 0.2, 0.2])
    closed = sum_writers._follow(rectified(4), -values.abs(), held)
    assert closed.tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("kernel", "settings"),
    [
        (3, {"padding": 1}),
        (3, {"padding": 1, "stride": 2}),
        (3, {"padding": 2, "dilation": 2}),
        ((1, 3), {"stride": (2, 1)}),
        (5, {}),
        (2, {}),
        (3, {"padding": 1, "padding_mode": "reflect"}),
        (3, {"padding": "same"}),
    ],
)
def test_the_middle_of_a_kernel_reads_what_a_kernel_of_its_middle_alone_gives(kernel, settings):
    layer = nn.Conv2d(2, 2, kernel, bias=False, **settings)
    with torch.no_grad():
        layer.weight.zero_()
        middle = middle_position(layer)
        for channel in (0, 1):
            layer.weight.flatten(2)[channel, channel, middle] = 1.0
    images = torch.randn(3, 2, 9, 8)
    torch.testing.assert_close(middle_inputs(layer, images), layer(images).flatten(2).detach())
    assert torch.equal(middle_inputs(nn.Linear(2, 2), images[..., 0, 0]), images[..., :1, 0])


def test_what_a_class_holds_is_read_about_the_reference_at_each_position():
    rng = torch.Generator().manual_seed(0)
    parts = [torch.randn(5, d, 3, generator=rng).double() for d in (2, 4)]
    reads = torch.randn(6, 2, generator=rng).double()
    reference = torch.randn(6, generator=rng).double()
    joint = torch.cat(parts, 1)
    expected = torch.einsum("ndp,df->nfp", joint - reference[:, None], reads)
    torch.testing.assert_close(class_held(parts, reads, reference), expected)
    writes = torch.randn(4, 2, generator=rng).double()
    like = torch.zeros(5, 4, 1, 3)
    term = spread_term(writes, expected, like)
    assert term.shape == like.shape
    torch.testing.assert_close(term[2, 3, 0, 1], writes[3] @ expected[2, :, 1])


def test_a_separability_of_nothing_counts_as_a_billionth_of_a_thousandth():
    """At half of that a class has half of its residual to lose, however little there is."""
    shares = []
    approach(
        torch.zeros(1).double(),
        torch.zeros(1).double(),
        torch.tensor([5e-13]).double(),
        step_from=lambda z, share: shares.append(float(share[0])) or 0 * z,
        written=lambda z, step: z,
        separability=lambda z: z,
        rounds=1,
    )
    assert shares == pytest.approx([0.5])


def test_a_term_is_folded_into_the_middle_of_each_kernel_and_the_first_bias():
    """By hand for two writers; a channel that one of them cannot move is written nothing."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 3, (1, 3), bias=False), nn.Conv2d(4, 3, 1)).double()
    operators = find(layers)[0]
    factors = torch.tensor([[2.0, 0.0, 1.0], [1.0, -4.0, 0.5]]).double()
    writers = [
        Writer(operator=operator, factor=factor)
        for operator, factor in zip(operators, factors, strict=True)
    ]
    writes, reads = torch.randn(3, 2).double(), torch.randn(6, 2).double()
    writes[1] = 0.0  # left alone
    reference = torch.randn(6).double()
    before = [layer.weight.detach().clone() for layer in layers]
    other = layers[1].bias.detach().clone()
    writing = SimpleNamespace(writes=writes, reads=reads, reference=reference)
    with torch.no_grad():
        fold_writing(writers, writing)
    for number, (layer, own) in enumerate(zip(layers, before, strict=True)):
        columns = reads[:2] if number == 0 else reads[2:]
        expected = own.clone()
        middle = own[:, :, 0, 1] if number == 0 else own[:, :, 0, 0]
        changed = middle.clone()
        for channel in (0, 2):
            share = writes[channel] / factors[number][channel]
            changed[channel] -= columns @ share
        expected[:, :, 0, 1 if number == 0 else 0] = changed
        torch.testing.assert_close(layer.weight.detach(), expected)
    gained = torch.zeros(3).double()
    for channel in (0, 2):
        gained[channel] = writes[channel] @ (reads.T @ reference) / factors[0][channel]
    torch.testing.assert_close(layers[0].bias.detach(), gained)
    assert torch.equal(layers[1].bias, other)
