"""The preset `natural`, as a whole."""

from __future__ import annotations

import copy
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import damp
from damp import gated_writing, natural, natural_edit
from damp.catalogue import PRESETS
from damp.natural_edit import NaturalDepth
from damp.natural_share import RowGeometry, discriminability
from damp.operators import find
from flows.models.small_nets import SmallCNN
from tests.damp.test_sum_writers import Residual


def same(first, second):
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@pytest.fixture
def trained(seeded, clouds):
    """Trains a net for a moment on four classes of pictures; gives it with its batches."""
    inputs, labels = clouds(0, 4, (2, 8, 8), 60, 4.0)
    inputs = inputs.float()

    def train(make):
        model = make()
        optimiser = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(40):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimiser.step()
        return model.eval()

    batches = list(zip(inputs.split(32), labels.split(32), strict=True))
    return lambda make: (seeded(lambda: train(make)), batches)


@pytest.fixture
def residual(trained):
    return trained(Residual)


@pytest.fixture
def plain(trained):
    """Its linear layer reads the last map in cells."""
    return trained(lambda: SmallCNN(2, 4, width=4))


@pytest.mark.parametrize("forget", [[3], [1, 6]])
def test_a_dense_net_forgets_at_its_goal_and_keeps_the_others(digits, digit_net, split, forget):
    (inputs, labels), (tests, answers) = digits
    edited = damp.forget(digit_net, split(inputs, labels, 100), forget=forget, preset="natural")
    assert edited.stand_in is None
    (depth,) = edited.natural.depths
    assert depth.layers == ("9",)
    for before, goal, after in zip(depth.before, depth.goal, depth.after, strict=True):
        assert goal < before
        assert after == pytest.approx(goal, rel=0.35)
    gone = torch.isin(answers, torch.tensor(forget))
    was, now = digit_net(tests), edited.unretired(tests)
    assert float((now.argmax(1) == answers)[gone].float().mean()) < 0.1
    was[:, forget] = now[:, forget] = -torch.inf
    kept = [(logits.argmax(1) == answers)[~gone].float().mean() for logits in (was, now)]
    assert kept[1] > kept[0] - 0.02
    assert edited.repairs == (("natural_update", "9"), ("head_refit", "11"))


@pytest.mark.parametrize("forget", [[1], [0, 2]])
def test_a_plain_net_is_written_where_its_linear_layer_reads(plain, forget):
    model, batches = plain
    edited = damp.forget(model, batches, forget=forget, preset="natural")
    earlier, last = edited.natural.depths
    assert (earlier.layers, last.layers) == (("conv3",), ("fc1",))
    for depth in (earlier, last):
        for before, goal, after in zip(depth.before, depth.goal, depth.after, strict=True):
            assert abs(after - goal) <= abs(before - goal)
    inputs = torch.cat([rows for rows, _ in batches])
    labels = torch.cat([own for _, own in batches])
    kept = [c for c in range(4) if c not in forget]
    rows = torch.isin(labels, torch.tensor(kept))
    answers = edited.unretired(inputs)[rows][:, kept].argmax(1)
    assert (
        float((answers == torch.searchsorted(torch.tensor(kept), labels[rows])).float().mean())
        > 0.9
    )
    before, after = model.state_dict(), edited.unretired.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"conv3", "fc1", "fc2"}


def test_what_cannot_be_written_in_cells_is_left_and_the_last_layer_moves_alone(plain, monkeypatch):
    model, batches = plain
    monkeypatch.setattr(gated_writing, "MOST_OPERATIONS", 1)
    edited = damp.forget(model, batches, forget=1, preset="natural")
    assert [depth.layers for depth in edited.natural.depths] == [("fc1",)]


def test_where_the_whole_move_of_the_last_layer_stops_short_it_is_written_against(
    plain, monkeypatch
):
    model, batches = plain
    monkeypatch.setattr(natural, "_share", lambda excess: 0.0)  # the move does nothing at all
    edited = damp.forget(model, batches, forget=1, preset="natural")
    assert edited.stand_in is None
    last = edited.natural.depths[-1]
    assert last.layers == ("fc1",)
    assert last.after[0] < (last.before[0] + last.goal[0]) / 2


def test_the_heads_rows_are_cut_behind_a_linear_layer_alone(plain, residual, monkeypatch):
    cuts, fit = [], natural._fit_head

    def noted(*given, cut):
        cuts.append(cut)
        fit(*given, cut=cut)

    monkeypatch.setattr(natural, "_fit_head", noted)
    for model, batches in (residual, plain):
        damp.forget(model, batches, forget=1, preset="natural")
    behind_a_sum, behind_a_layer = cuts
    assert behind_a_sum == 0.0
    assert 0.0 < behind_a_layer <= natural.HEAD_CUT


@pytest.mark.parametrize("forget", [[1], [0, 2]])
def test_a_residual_net_is_written_inside_its_last_branch_and_behind_it(residual, forget):
    model, batches = residual
    edited = damp.forget(model, batches, forget=forget, preset="natural")
    assert [depth.layers for depth in edited.natural.depths] == [
        ("blocks.2.conv1",),
        ("blocks.2.conv2",),
    ]
    for depth in edited.natural.depths:
        for before, goal, after in zip(depth.before, depth.goal, depth.after, strict=True):
            assert abs(after - goal) <= abs(before - goal)
    # a depth that an earlier one has brought to its goal stays as it is
    changed = [name for depth in edited.natural.depths if depth.changed for name in depth.layers]
    assert "blocks.2.conv1" in changed
    assert [operator.name for operator in edited.operators] == [*changed, "head"]
    assert all(operator.relative_change > 0 for operator in edited.operators)
    last = edited.natural.depths[-1]
    # s^2 of the last depth, and the share of s that is gone
    assert edited.operators[-1].separability == pytest.approx([s**2 for s in last.before])
    assert edited.operators[-1].strength == pytest.approx(
        [1 - after / before for before, after in zip(last.before, last.after, strict=True)]
    )
    assert edited.repairs == (
        *(("natural_update", name) for name in changed),
        ("head_refit", "head"),
    )
    untouched = ("stem.weight", "blocks.0.conv1.weight", "blocks.1.conv2.weight")
    before, after = model.state_dict(), edited.unretired.state_dict()
    assert {name for name in untouched if not torch.equal(before[name], after[name])} == set()


def test_the_passes_are_those_of_its_row(residual):
    model, batches = residual

    class Counted(list):
        passes = 0

        def __iter__(self):
            self.passes += 1
            return super().__iter__()

    counted = Counted(batches)
    edited = damp.forget(model, counted, forget=1, preset="natural")
    # the statistics and the first capped rows share one
    assert counted.passes == PRESETS["natural"].passes - 1 == 2
    assert edited.natural.passes == 2
    counted.passes = 0
    damp.forget(model, counted, forget=1, preset="natural", measured=damp.measure(model, batches))
    assert counted.passes == 2


def test_the_noise_that_rows_leave_falls_with_their_root(digits, digit_net, split):
    (inputs, labels), _ = digits
    noises = []
    for count in (30, 120):
        few = torch.cat([(labels == c).nonzero().flatten()[:count] for c in labels.unique()])
        batches = split(inputs[few], labels[few], 100)
        edited = damp.forget(digit_net, batches, forget=3, preset="natural")
        assert edited.natural.rows == len(few)
        (depth,) = edited.natural.depths
        noises.append(depth.noise[0])
    # sqrt(tr(S^-1 S_f) / n_f): twice as small for four times as many, as far as S is known
    assert noises[0] / noises[1] == pytest.approx(2, rel=0.3)


def test_rows_that_are_kept_beside_the_statistics_are_those_of_a_pass_of_their_own(residual):
    model, batches = residual
    measured = damp.measure(model, batches)
    one = damp.forget(model, batches, forget=1, preset="natural")
    other = damp.forget(model, batches, forget=1, preset="natural", measured=measured)
    assert one.natural.rows == other.natural.rows
    pairs = zip(one.unretired.parameters(), other.unretired.parameters(), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_batches_in_another_order_each_time_are_answered_by_the_original(residual):
    """The logits are those of the very rows, though a shuffled loader gives others each time."""
    model, batches = residual

    class Shuffled(list):
        turn = 0

        def __iter__(self):
            self.turn += 1
            return iter(self[self.turn % len(self) :] + self[: self.turn % len(self)])

    edited = damp.forget(model, Shuffled(batches), forget=1, preset="natural")
    plain = damp.forget(model, batches, forget=1, preset="natural")
    inputs = torch.cat([images for images, _ in batches])
    answers = [each.unretired(inputs).argmax(1) for each in (edited, plain)]
    assert float((answers[0] == answers[1]).float().mean()) > 0.9


def test_the_same_bits_twice_and_in_other_batches(residual, split):
    model, batches = residual
    one = damp.forget(model, batches, forget=1, preset="natural").unretired
    other = damp.forget(model, batches, forget=1, preset="natural").unretired
    assert same(one, other)
    inputs, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    third = damp.forget(model, split(inputs, labels, 60), forget=1, preset="natural").unretired
    for (name, a), b in zip(one.state_dict().items(), third.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, msg=name)


def test_batches_that_come_in_another_order_each_time_do_no_harm(residual):
    """Rows of a later pass are others, and are held against the original's own logits of them."""
    model, batches = residual
    inputs, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))

    class Shuffled(list):
        generator = torch.Generator().manual_seed(5)

        def __iter__(self):
            order = torch.randperm(len(labels), generator=self.generator)
            pairs = zip(inputs[order].split(32), labels[order].split(32), strict=True)
            return iter(list(pairs))

    kept = labels != 1
    for given in (batches, Shuffled([0])):
        edited = damp.forget(model, given, forget=1, preset="natural").unretired
        before, after = model(inputs)[kept], edited(inputs)[kept]
        before[:, 1] = after[:, 1] = -torch.inf
        assert float((before.argmax(1) == after.argmax(1)).float().mean()) > 0.9


def test_the_model_that_is_passed_stays_bit_identical(residual):
    model, batches = residual
    before = copy.deepcopy(model)
    damp.forget(model, batches, forget=1, preset="natural")
    assert same(model, before)


def test_a_second_request_works_on_what_the_first_one_made(residual):
    model, batches = residual
    first = damp.forget(model, batches, forget=1, preset="natural")
    second = damp.forget(first.model, batches, forget=2, preset="natural")
    assert second.stand_in is None
    # rows of the class that went before have no part in it
    assert second.natural.rows == 3 * 60
    assert bool(second.model(batches[0][0])[:, [1, 2]].isneginf().all())


def between_precisions(net):
    """Of each tensor: how far float32 ends from float64, and how far from where it was."""
    model, batches = net
    wide = [(inputs.double(), labels) for inputs, labels in batches]
    one = damp.forget(model, batches, forget=1, preset="natural").unretired
    other = damp.forget(copy.deepcopy(model).double(), wide, forget=1, preset="natural").unretired
    before, wanted = model.state_dict(), other.state_dict()
    for name, a in one.state_dict().items():
        changed = (a - before.get(name, torch.zeros_like(a))).double()  # some biases are new
        yield name, float((a.double() - wanted[name]).norm()), float(changed.norm())


@pytest.mark.parametrize(("scattered", "apart"), [(0.0, 0.005), (None, 0.03)])
def test_float32_and_float64_agree_beside_what_was_changed(residual, monkeypatch, scattered, apart):
    """Less where samples scatter: a gate that hangs on the last digit opens for a row or does not,
    and which of them do differs from processor to processor, as the training before does."""
    if scattered is not None:
        monkeypatch.setattr(gated_writing, "SCATTERED", scattered)
    for name, difference, changed in between_precisions(residual):
        assert difference <= apart * changed + 1e-6, name


@pytest.mark.parametrize("net", ["plain", "digit_net"])
def test_a_linear_layer_is_moved_and_written_against_in_float64_too(net, request, split):
    """Rows are of the network's own type there, and so is what is worked out on them."""
    if net == "plain":
        model, batches = request.getfixturevalue("plain")
    else:
        model = request.getfixturevalue("digit_net")
        batches = split(*request.getfixturevalue("digits")[0])
    for name, difference, changed in between_precisions((model, batches)):
        assert difference <= 0.03 * changed + 1e-5, name


def stood_in(model, batches, reason, **options):
    """What another preset makes in its place is what that preset makes by itself, bit for bit."""
    edited = damp.forget(model, batches, forget=1, preset="natural", **options)
    assert edited.stand_in == PRESETS["natural"].stand_in == "mended"
    assert reason in edited.stand_in_reason
    assert edited.preset == "natural"
    assert edited.natural is None
    other = damp.forget(model, batches, forget=1, preset="mended", **options)
    assert same(edited.unretired, other.unretired)
    assert [asdict(op) for op in edited.operators] == [asdict(op) for op in other.operators]
    assert edited.repairs == other.repairs


class Pooled(nn.Module):
    """A convolution, a rectifier, and a head over pooled features: one sum only."""

    def __init__(self, width=8, classes=4):
        super().__init__()
        self.conv = nn.Conv2d(2, width, 3, padding=1)
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        return self.head(torch.relu(self.conv(images)).mean((2, 3)))


class Deeper(Pooled):
    """Another convolution before it."""

    def __init__(self, width=8, classes=4):
        super().__init__(width, classes)
        self.stem = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, images):
        return super().forward(torch.relu(self.stem(images)))


class Scaled(Deeper):
    """A head whose outputs are not the logits themselves."""

    def forward(self, images):
        return 2 * super().forward(images)


class Standardised(nn.Conv2d):
    """A convolution whose weight is standardised in each forward pass."""

    def forward(self, inputs):
        weight = self.weight
        axes = (1, 2, 3)
        weight = (weight - weight.mean(axes, keepdim=True)) / weight.std(axes, keepdim=True)
        return self._conv_forward(inputs, weight, self.bias)


class WeightStandardised(Deeper):
    def __init__(self):
        super().__init__()
        self.conv = Standardised(2, 8, 3, padding=1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Pooled, "one sum only"),
        (lambda: Deeper(width=3), "fewer than"),
        (Scaled, "not the logits"),
        (WeightStandardised, "no layer of its own"),
    ],
)
def test_another_preset_stands_in_where_it_cannot_work(seeded, clouds, split, make, reason):
    inputs, labels = clouds(0, 4, (2, 8, 8), 60)
    stood_in(seeded(make).eval(), split(inputs.float(), labels), reason)


def test_another_preset_stands_in_for_a_head_that_reads_no_pooled_rectifier(cnn, batches):
    stood_in(cnn(), batches, "does not read the pooled output of one rectifier")


def test_another_preset_stands_in_where_a_class_has_too_few_rows(seeded, clouds, split):
    inputs, labels = clouds(0, 4, (2, 8, 8), 60)
    kept = (labels != 1) | (torch.arange(len(labels)) < 40)
    stood_in(seeded(Deeper).eval(), split(inputs[kept].float(), labels[kept]), "too few")


def test_another_preset_stands_in_where_a_class_is_not_separable(seeded, split):
    generator = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(240, 2, 8, 8, generator=generator), torch.arange(240) % 4
    edited = damp.forget(seeded(Deeper).eval(), split(inputs, labels), forget=1, preset="natural")
    assert edited.stand_in == "mended"
    assert "not separable beyond noise" in edited.stand_in_reason


def test_another_preset_stands_in_where_the_least_rows_would_not_fit(residual, monkeypatch):
    monkeypatch.setattr(natural, "MOST_MEMORY", 0)
    stood_in(*residual, "20 rows of each class to keep would take 0.0 GiB")


def test_a_skipped_head_or_writer_is_left_alone(residual):
    model, batches = residual
    stood_in(model, batches, "named in `skip`", skip=["head"])
    stood_in(model, batches, "no layer of its own", skip=["blocks.2.conv2"])


def test_no_class_to_forget_leaves_every_bit(residual):
    model, batches = residual
    edited = damp.forget(model, batches, forget=[], preset="natural")
    assert same(edited.unretired, model)
    assert edited.stand_in is None


@pytest.mark.parametrize(
    ("before", "goal", "after", "reached"),
    [
        (10.0, 4.0, 4.5, True),
        (10.0, 4.0, 9.0, False),
        (10.0, 4.0, 2.0, True),  # beyond the goal is no reason to do something coarser
        (4.1, 4.0, 4.3, True),  # near from the first: within a tenth is as good as noise
        (4.1, 4.0, 4.6, False),
    ],
)
def test_a_goal_that_is_not_nearly_reached_is_said_not_to_be(before, goal, after, reached):
    depth = natural_edit.NaturalDepth(
        layers=("fc",),
        before=(before,),
        goal=(goal,),
        after=(after,),
        noise=(0.1,),
        residual=0.5,
        changed=True,
    )
    reason = natural._missed(depth, (7,))
    assert (reason is None) == reached
    assert reached or "class 7 could not be brought near" in reason


def depth_of(before, goal, after):
    return NaturalDepth(
        layers=("a",),
        before=before,
        goal=goal,
        after=after,
        noise=(0.0,) * len(goal),
        residual=0.5,
        changed=True,
    )


@pytest.mark.parametrize(
    ("before", "goal", "after", "near"),
    [
        (9.0, 1.0, 5.0, True),  # half of the way from 9 to 1
        (9.0, 1.0, 5.001, False),
        (9.0, 1.0, 0.5, True),
        (10.5, 10.0, 11.0, True),  # within a tenth of the goal
        (10.5, 10.0, 11.001, False),
        (1.0, 10.0, 10.99, True),
    ],
)
def test_a_class_must_come_nearer_to_its_goal_than_to_where_it_was(before, goal, after, near):
    depth = depth_of((1.0, before), (1.0, goal), (1.0, after))
    missed = natural._missed(depth, (3, 7))
    assert (missed is None) is near
    assert near or missed.startswith("class 7 could not be brought near")


@pytest.mark.parametrize(("before", "noise", "clear"), [(2.0, 1.0, True), (1.0, 1.0, False)])
def test_a_class_must_be_separable_beyond_noise(before, noise, clear):
    goal = SimpleNamespace(before=torch.tensor([9.0, before]), noise=torch.tensor([1.0, noise]))
    reason = natural._goal_obstacle(goal, (3, 7))
    assert (reason is None) is clear
    assert clear or reason.startswith("class 7 is not separable beyond noise")


@pytest.mark.parametrize("zero", [0.3, 0.72])
def test_the_share_of_a_move_is_where_nothing_is_left_above(zero):
    tried = []

    def excess(share):
        tried.append(share)
        return zero - share

    share = natural._share(excess)
    assert share == pytest.approx(zero, abs=2**-13)
    assert len(tried) == 13
    assert natural._share(lambda share: 2 - share) == 1.0
    assert natural._share(lambda share: 1 - share) == 1.0
    assert natural._share(lambda share: -1.0) == pytest.approx(0, abs=2**-12)
    # at the goal to the last bit is there: no larger share is needed
    assert natural._share(lambda share: 0.5 - share) < 0.5


def test_the_heads_cut_is_a_share_of_what_was_learnt():
    assert natural.head_cut(0.5) == pytest.approx(0.5 * natural.HEAD_CUT)
    assert natural.head_cut(0.0) == 0.0


def rows_and_case(counts, *, spread=1.0, bias=True, offset=0.0):
    """Rows of so many of each class before a head; the first class is to go."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    features = offset + spread * torch.randn(len(labels), 3, generator=generator)
    head = nn.Linear(3, len(counts), bias=bias)
    with torch.no_grad():
        logits = head(features)
    place = SimpleNamespace(place=4, pooled=lambda values: values)
    rows = SimpleNamespace(labels=labels, places=[2, 4], sums=[None, features], logits=logits)
    case = SimpleNamespace(
        forget=(0,),
        last=place,
        model=head,
        head=SimpleNamespace(operator=SimpleNamespace(layer=head)),
    )
    return case, rows


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((24, 12, 12), None),
        ((23, 12, 12), "class 0 has 23 rows"),
        ((24, 12, 11), "the classes to keep have 23 rows"),
        ((24, 2, 22), None),
        ((24, 1, 30), "the classes to keep have 31 rows"),
    ],
)
def test_rows_are_enough_from_a_number_of_each_kind_on(counts, words):
    with torch.no_grad():
        reason = natural._rows_obstacle(*rows_and_case(counts))
    assert reason is None if words is None else reason.startswith(words)


@pytest.mark.parametrize("bias", [True, False])
def test_a_head_that_gives_other_numbers_is_none(bias):
    case, rows = rows_and_case((24, 20, 20), bias=bias)
    with torch.no_grad():
        assert natural._rows_obstacle(case, rows) is None
        scale = float(rows.logits.std())
        near = SimpleNamespace(**{**vars(rows), "logits": rows.logits + 0.5e-3 * scale})
        assert natural._rows_obstacle(case, near) is None
        far = SimpleNamespace(**{**vars(rows), "logits": rows.logits + 20e-3 * scale})
        reason = natural._rows_obstacle(case, far)
    assert reason == "what its last layer gives are not the logits themselves"


@pytest.mark.parametrize(("spread", "alike"), [(1e-4, False), (1e-7, True), (0.0, True)])
def test_samples_that_differ_by_rounding_are_alike(spread, alike):
    """A variance of a ten-thousand-millionth of the mean square: a spread of 1e-5."""
    case, rows = rows_and_case((24, 20, 20), offset=1.0)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(64, 3, generator=generator).double()
    rows.sums[1] = 1.0 + spread * noise
    with torch.no_grad():
        case.model.double()
        rows.logits = case.model(rows.sums[1])
        reason = natural._rows_obstacle(case, rows)
    said = "the samples to keep are all alike before the last layer"
    assert (reason == said) is alike


def standardised_layers():
    """A norm lies between the layer that is moved and its rectifier: it adds to what is moved."""
    body = (nn.Flatten(), nn.Linear(128, 24), nn.ReLU(), nn.Linear(24, 12), nn.BatchNorm1d(12))
    return nn.Sequential(*body, nn.ReLU(), nn.Linear(12, 4))


@pytest.mark.parametrize("make", [standardised_layers, Residual, lambda: SmallCNN(2, 4, width=4)])
@pytest.mark.parametrize("forget", [[1], [0, 2]])
def test_what_is_told_of_the_last_depth_is_what_the_edited_network_shows(trained, make, forget):
    """Its features before the head, of all rows that were kept, by hooks of the test's own."""
    model, batches = trained(make)
    edited = damp.forget(model, batches, forget=forget, preset="natural")
    inputs, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert edited.natural.rows == len(labels)
    shown = []
    for network in (model, edited.unretired):
        head = network.get_submodule(edited.mended)
        kept = []
        handle = head.register_forward_pre_hook(lambda _, given, kept=kept: kept.append(given[0]))
        with torch.no_grad():
            network(inputs)
        handle.remove()
        shown.append(RowGeometry.from_rows(kept[0].double(), labels, forget).separability)
    last = edited.natural.depths[-1]
    assert last.before == pytest.approx(shown[0].tolist(), rel=1e-3)
    # cells of a map stand for its positions: what is told there is near
    near = 1e-3 if len(last.layers) == 1 and "conv" not in last.layers[0] else 0.15
    assert last.after == pytest.approx(shown[1].tolist(), rel=near, abs=1e-3)


@pytest.mark.parametrize(
    ("dense", "share", "stay"),
    [
        (False, (0.5, 0.9), False),
        (False, (1.0, 0.96), False),
        (False, (1.0, 1 - natural.ENOUGH), True),
        (True, (0.5, 0.9), True),
    ],
)
def test_rows_are_scattered_where_a_class_is_not_natural_and_no_layer_is_moved(dense, share, stay):
    """Within three per cent is natural."""
    places = (torch.ones(2, 3), torch.zeros(2, 3))
    goal = SimpleNamespace(share=torch.tensor(share, dtype=torch.float64), places=places)
    chosen = natural._places(SimpleNamespace(dense=dense), goal)
    assert chosen is (None if stay else places)


@pytest.mark.parametrize(
    ("own", "use", "skip", "words"),
    [
        ({}, {}, (), None),
        ({}, {}, ("fc",), "its last layer is named in `skip`"),
        ({}, {}, ("f",), None),
        ({"layer": nn.Conv2d(4, 4, 1)}, {}, (), "no linear map of its own"),
        ({"sharing": ("other",)}, {}, (), "no linear map of its own"),
        ({}, {"calls": 2}, (), "no linear map of its own"),
        ({}, {"bias_applied": torch.tensor([True, False])}, (), "not applied unmodified"),
        ({"features": natural.WIDEST}, {}, (), None),
        ({"features": natural.WIDEST + 1}, {}, (), f"above {natural.WIDEST}"),
        ({"outputs": 8}, {}, (), None),
        ({"outputs": 9}, {}, (), "reads 8 features, fewer than the 9 classes"),
    ],
)
def test_a_head_is_a_linear_layer_of_its_own_that_is_neither_too_wide_nor_too_narrow(
    own, use, skip, words
):
    operator = {"name": "fc", "layer": nn.Linear(8, 4), "sharing": (), "features": 8, "outputs": 4}
    given = {"calls": 1, "bias_applied": torch.tensor([True, True])} | use
    head = SimpleNamespace(operator=SimpleNamespace(**operator | own), **given)
    reason = natural._head_obstacle(head, skip)
    assert reason is None if words is None else words in reason


@pytest.mark.parametrize("cut", [0.0, 0.6])
@pytest.mark.parametrize("bias", [True, False])
def test_the_head_is_fitted_to_the_logits_of_the_rows_to_keep_and_cut(clouds, brute, cut, bias):
    """By least squares in numpy; rows that are to go answer with the mean of those that stay."""
    rows, labels = clouds(3, 6, (7,), 40)
    head = nn.Linear(7, 6, bias=bias).double()
    logits = rows @ torch.randn(7, 6).double() + torch.randn(6).double()
    before = copy.deepcopy(head)
    (operator,) = find(head)[0]
    case = SimpleNamespace(
        head=SimpleNamespace(operator=operator), forget=(4, 1), retired=(2,), model=head
    )
    with torch.no_grad():
        natural._fit_head(case, rows, labels, logits, cut=cut)
    x, y = rows.numpy(), labels.numpy()
    inside = ~np.isin(y, (4, 1))
    first, shift = before.weight.detach().numpy(), 0.0
    if bias:
        shift = before.bias.detach().numpy()
    lacks = logits.numpy()[inside] - (x[inside] @ first.T + shift)
    centred = x[inside] - x[inside].mean(0)
    ridge = 1e-3 * np.mean(centred.var(0)) * len(centred)
    more = np.linalg.solve(
        centred.T @ centred + ridge * np.eye(7), centred.T @ (lacks - lacks.mean(0))
    ).T
    weight = first + more
    shift = shift + lacks.mean(0) - more @ x[inside].mean(0)
    kept = [0, 3, 5]
    own, own_shift = weight[kept].mean(0), shift[kept].mean(0)
    projector, reference = brute.mixture(x, y, [4, 1], strength=cut)
    weight, shift = weight - weight @ projector, shift + weight @ projector @ reference
    weight[[1, 4]], shift[[1, 4]] = own, own_shift
    weight[2] = first[2]  # left before: as it was
    shift[2] = before.bias.detach().numpy()[2] if bias else 0.0
    np.testing.assert_allclose(head.weight.detach().numpy(), weight, atol=1e-6)
    np.testing.assert_allclose(head.bias.detach().numpy(), shift, atol=1e-6)


def test_a_class_is_as_far_above_its_goal_as_the_larger_of_two_measures_says(clouds):
    rows, labels = clouds(3, 5, (4,), 60)
    separability = RowGeometry.from_rows(rows, labels, [1, 3]).separability
    apart = discriminability(rows, labels, [1, 3])
    goal = SimpleNamespace(goal=separability / torch.tensor([2.0, 0.5]), apart=apart / 1.5)
    expected = (np.log(2.0) + np.log(1.5)) / 2
    assert natural._excess(rows, labels, [1, 3], goal) == pytest.approx(expected)
    # a goal of nothing counts as a millionth
    nothing = SimpleNamespace(goal=0 * separability, apart=0 * apart)
    largest = torch.maximum(separability, apart)
    expected = float(np.log(largest.numpy() * 1e6).mean())
    assert natural._excess(rows, labels, [1, 3], nothing) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("make", "places", "last", "earlier", "dense", "first"),
    [
        # the stem's rectifier, two in each block: those of the block sums are 2, 4 and 6
        (Residual, [2, 4, 6], ["blocks.2.conv2"], (5, ["blocks.2.conv1"], 1), False, [2, 4, 6, 5]),
        (lambda: SmallCNN(2, 4, width=4), None, ["fc1"], None, True, None),
    ],
)
def test_what_is_written_and_where_follows_from_the_network(
    trained, make, places, last, earlier, dense, first
):
    model, batches = trained(make)
    case = natural.plan_naturally(model, model, batches, batches[0][0], [1], [3])
    assert [writer.operator.name for writer in case.last.writers] == last
    assert (case.forget, case.retired, case.dense) == ((1,), (3,), dense)
    keeper = case.first_keeper()
    assert keeper.caps.tolist()[3] == 0
    written = case.earlier or case.last
    assert [op.name for op in keeper.operators] == [w.operator.name for w in written.writers]
    if places is not None:
        assert [place.place for place in case.sums] == places
        assert (case.earlier.place, [w.operator.name for w in case.earlier.writers]) == earlier[:2]
        assert case.earlier.side == earlier[2]
        assert list(keeper.places) == first
    again = case.keeper([case.last], case.last)
    assert again.places == (case.last.place,)
    assert [op.name for op in again.operators] == last
    assert sum(len(labels) for _, labels in case.read()) == 180
    spared = natural.plan_naturally(model, model, batches, batches[0][0], [1], [], last)
    assert "no layer of its own weight and bias" in spared
