"""Writing behind gates: the sum after it, what is held, and where it stops."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from damp import gated_writing
from damp.gated_writing import find_gated_writing, fold_gated_writing, patches_of
from damp.natural_share import RowGeometry
from damp.sum_writers import SumRows, alternate, find_writing, middle_inputs
from damp.sums import with_writers
from tests.damp.test_sum_writers import captured, net, pictures, structure

__all__ = ["net", "pictures"]


def written(net, pictures, which):
    """A sum with its writers, z, and what the writers read."""
    images, _ = pictures
    head, uses, sums = structure(net, images)
    place = with_writers(net, sums[which], head, uses, images)
    values, inputs = captured(net, place, images)
    return place, values, [inputs[writer.operator.name] for writer in place.writers]


def separability(place, values, labels, forget):
    return RowGeometry.from_rows(place.pooled(values), labels, forget).separability


@pytest.mark.parametrize("which", [1, 2])
@pytest.mark.parametrize("forget", [[1], [0, 2]])
@pytest.mark.parametrize("whole", [True, False])
def test_the_sum_after_it_is_the_edited_networks_own(
    net, pictures, which, forget, whole, monkeypatch
):
    images, labels = pictures
    place, values, inputs = written(net, pictures, which)
    if not whole:  # what all kernel positions of these layers take is too much
        monkeypatch.setattr(gated_writing, "MOST_OPERATIONS", len(labels) * 40**2 * 8)
    patches = patches_of(place, inputs)
    assert patches.whole == whole
    goals = 0.5 * separability(place, values, labels, forget)
    writing = find_gated_writing(place, values, patches, labels, forget, goals)
    assert writing.rounds > 0
    fold_gated_writing(place.writers, writing)
    after, _ = captured(net, place, images)
    torch.testing.assert_close(after, writing.values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("forget", [[1], [0, 2]])
def test_classes_come_near_their_goals_and_the_others_stay(net, pictures, forget):
    _, labels = pictures
    place, values, inputs = written(net, pictures, 2)
    before = separability(place, values, labels, forget)
    goals = 0.5 * before
    patches = patches_of(place, inputs)
    writing = find_gated_writing(place, values, patches, labels, forget, goals)
    reached = separability(place, writing.values, labels, forget)
    assert bool((reached < 0.5 * (before + goals)).all())
    assert bool((writing.after > 0.6 * goals).all())
    kept = [label for label in range(4) if label not in forget]
    chosen = alternate(labels)  # whose class means are conditions
    middle = tuple(
        middle_inputs(writer.operator.layer, given)
        for writer, given in zip(place.writers, inputs, strict=True)
    )
    rows = SumRows(values=values, inputs=middle, labels=labels)
    by_one_term = find_writing(place, rows, forget, goals).values

    def dragged(after):
        """How far the classes to keep move, as a share of how far the others do."""
        moved = (place.pooled(after) - place.pooled(values))[chosen]
        sizes = [float(moved[labels[chosen] == label].mean(0).norm()) for label in range(4)]
        return max(sizes[label] for label in kept) / min(sizes[label] for label in forget)

    assert dragged(writing.values) < 0.5
    assert dragged(writing.values) < 0.7 * dragged(by_one_term)


class Chosen:
    """The rows that choose a change of the last sum, and its problem, with class 1 to forget."""

    def __init__(self, net, pictures, side):
        place, self.values, inputs = written(net, pictures, 2)
        self.place, self.side = replace(place, side=side), side
        self.chosen = alternate(pictures[1])
        self.labels = pictures[1][self.chosen]
        self.joint = patches_of(self.place, inputs).joint[self.chosen]
        self.z = self.values.flatten(2)[self.chosen]
        cells = gated_writing._cells(self.values.shape[2:], side)
        self.problem = gated_writing._Problem.of(
            self.place, cells, self.z, self.joint, self.labels, [1]
        )
        self.pooled = self.place.pooled(self.values[self.chosen])  # (n, C q)

    def gated(self, channel):
        """G by brute force, (n, q, D + 1)."""
        maps = (self.joint * (self.z[:, None, channel] > 0)).unflatten(2, self.values.shape[2:])
        half = self.values.shape[2] // self.side
        corners = [(y * half, x * half) for y in range(self.side) for x in range(self.side)]
        return torch.stack(
            [maps[:, :, y : y + half, x : x + half].mean((2, 3)) for y, x in corners], 1
        )

    def means(self, g):
        """Conditions: of class 1, then of the others."""
        return torch.cat([g[self.labels == label].mean(0) for label in (1, 0, 2, 3)])

    def loss_of(self, g, wanted):
        """What a change of one channel is to keep small; `wanted` of class 1, (n_1 q,)."""
        mine = g[self.labels == 1]
        rows, around = len(mine), (mine - mine.mean(0)).flatten(0, 1)
        retain = g[self.labels != 1].flatten(0, 1)
        size = int((self.labels != 1).sum())
        moments = retain.T @ retain / size + gated_writing.HELD * around.T @ around / rows
        ridge = gated_writing.RIDGE * moments.diagonal().mean()

        def loss(change):
            missed = (around @ change - wanted).square().sum() / rows
            moved = (retain @ change).square().sum() / size
            return float(moved + gated_writing.HELD * missed + ridge * change.square().sum())

        return loss

    def is_least(self, change, g, wanted):
        """Whether random changes that keep the conditions are all worse."""
        means, loss = self.means(g), self.loss_of(g, wanted)
        generator = torch.Generator().manual_seed(0)
        null = torch.linalg.svd(means, full_matrices=True).Vh[len(means) :]
        asides = torch.randn(20, len(null), generator=generator).double() @ null
        size = 0.01 * float(change.norm())
        return all(loss(change + size * aside) > loss(change) for aside in asides)


@pytest.mark.parametrize("side", [1, 2])
def test_one_step_solves_the_conditions_and_a_random_change_is_no_better(net, pictures, side):
    """Held against the problem as it is written, solved once more by its optimality conditions."""
    chosen = Chosen(net, pictures, side)
    step = chosen.problem.step(chosen.z, torch.tensor([0.5]).double())
    d = RowGeometry.from_rows(chosen.pooled, chosen.labels, [1]).residuals[0]
    d = d.reshape(chosen.z.shape[1], side**2)  # (C, q)
    channel = int(d.norm(dim=1).argmax())
    g = chosen.gated(channel)
    torch.testing.assert_close(
        chosen.means(g) @ step[channel],
        torch.cat([-0.5 * d[channel], torch.zeros(3 * side**2).double()]),
        rtol=0.02,
        atol=0.02 * float(d[channel].norm()),
    )
    assert chosen.is_least(step[channel], g, torch.zeros(()))


@pytest.mark.parametrize("side", [1, 2])
def test_scattering_solves_its_problem_and_moves_no_class_mean(net, pictures, side):
    """Towards places that are drawn here, held against the problem by brute force."""
    chosen = Chosen(net, pictures, side)
    mine = chosen.pooled[chosen.labels == 1]
    generator = torch.Generator().manual_seed(1)
    places = mine + 0.3 * torch.randn(mine.shape, generator=generator).double()
    change = chosen.problem.scatter(chosen.z, chosen.joint, [places])
    around, now = places - places.mean(0), mine - mine.mean(0)
    wanted = gated_writing.SCATTERED * (around - now)
    wanted = wanted.reshape(len(mine), chosen.z.shape[1], side**2)  # (n_1, C, q)
    channel = int(change.norm(dim=1).argmax())
    g = chosen.gated(channel)
    own = g[chosen.labels == 1]
    moved = ((own - own.mean(0)) @ change[channel]).flatten()
    aim = wanted[:, channel].flatten()
    assert float(moved @ aim / aim.square().sum()) > 0.1
    assert float((chosen.means(g) @ change[channel]).abs().max()) < 0.02 * float(moved.abs().max())
    assert chosen.is_least(change[channel], g, aim)


def test_samples_come_nearer_to_where_they_are_predicted_and_classes_to_their_goals(net, pictures):
    """The places are those of a network that differs by one shared map of the features."""
    _, labels = pictures
    place, values, inputs = written(net, pictures, 2)
    patches = patches_of(place, inputs)
    pooled = place.pooled(values)
    mine = pooled[labels == 1]
    generator = torch.Generator().manual_seed(2)
    turn = torch.eye(mine.shape[1]).double()
    turn += 0.5 * torch.randn(turn.shape, generator=generator).double() / len(turn) ** 0.5
    places = (mine - mine.mean(0)) @ turn + mine.mean(0)
    goals = 0.5 * separability(place, values, labels, [1])

    def off(writing):
        """Distance of the samples around their mean to those places, as a share of the first."""
        after = place.pooled(writing.values)[labels == 1]
        now, before = ((x - x.mean(0)) - (places - places.mean(0)) for x in (after, mine))
        return float(now.norm() / before.norm())

    stays = find_gated_writing(place, values, patches, labels, [1], goals)
    moves = find_gated_writing(place, values, patches, labels, [1], goals, [places])
    assert off(moves) < off(stays) - 0.02
    assert float(moves.after) == pytest.approx(float(stays.after), rel=0.1)
    torch.testing.assert_close(moves.before, stays.before)


def test_a_class_that_is_at_its_goal_is_left_where_it_is(net, pictures):
    _, labels = pictures
    place, values, inputs = written(net, pictures, 2)
    goals = torch.tensor([1e9]).double()
    patches = patches_of(place, inputs)
    writing = find_gated_writing(place, values, patches, labels, [1], goals)
    assert writing.rounds == 0
    assert not bool(writing.change.any())
    assert torch.equal(writing.values, values)


def test_a_channel_that_is_never_open_is_left_alone(net, pictures):
    _, labels = pictures
    net = copy.deepcopy(net)
    with torch.no_grad():
        net.blocks[2].bn.bias[3] = -1e3
    place, values, inputs = written(net, pictures, 2)
    patches = patches_of(place, inputs)
    goals = 0.5 * separability(place, values, labels, [1])
    writing = find_gated_writing(place, values, patches, labels, [1], goals)
    assert not bool(writing.change[3].any())
    assert bool(torch.isfinite(writing.change).all())
    assert bool(writing.change.any())


def test_what_cannot_be_afforded_has_no_patches(net, pictures, monkeypatch):
    place, _, inputs = written(net, pictures, 2)
    monkeypatch.setattr(gated_writing, "MOST_OPERATIONS", 1)
    assert patches_of(place, inputs) is None
    monkeypatch.undo()
    monkeypatch.setattr(gated_writing, "MOST_BYTES", 1)
    assert patches_of(place, inputs) is None


@pytest.mark.parametrize("bound", ["MOST_OPERATIONS", "MOST_BYTES"])
def test_patches_of_all_kernel_positions_are_taken_up_to_the_bound(
    net, pictures, monkeypatch, bound
):
    place, _, inputs = written(net, pictures, 2)
    count, width, positions = patches_of(place, inputs).joint.shape
    assert width == sum(w.operator.layer.weight[0].numel() for w in place.writers) + 1
    most = {
        # second moments of one mean per row, of every channel; float32
        "MOST_OPERATIONS": count * width**2 * place.channels,
        "MOST_BYTES": 4 * count * width * positions,
    }
    monkeypatch.setattr(gated_writing, bound, most[bound])
    assert patches_of(place, inputs).whole
    monkeypatch.setattr(gated_writing, bound, most[bound] - 1)
    assert not patches_of(place, inputs).whole


def test_what_is_read_in_cells_moves_cell_by_cell(net, pictures):
    """As a linear layer reads a flattened map: s of all cells together comes to its goal."""
    images, labels = pictures
    place, values, inputs = written(net, pictures, 2)
    place = replace(place, side=2)
    patches = patches_of(place, inputs)
    now = gated_writing.separability_of(place, values, labels, [1])
    writing = find_gated_writing(place, values, patches, labels, [1], 0.6 * now)
    assert float(writing.after) == pytest.approx(0.6 * float(now), rel=0.15)
    fold_gated_writing(place.writers, writing)
    after, _ = captured(net, place, images)
    torch.testing.assert_close(after, writing.values, rtol=1e-6, atol=1e-6)
    reached = gated_writing.separability_of(place, after, labels, [1])
    torch.testing.assert_close(reached, writing.after, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_patches_are_what_the_kernel_reads(mode):
    layer = nn.Conv2d(3, 5, 3, 2, 1, bias=False, padding_mode=mode).double()
    images = torch.randn(4, 3, 7, 7).double()
    read = gated_writing._unfolded(layer, images)  # (n, D, P)
    written = torch.einsum("od,ndp->nop", layer.weight.flatten(1), read)
    torch.testing.assert_close(written, layer(images).flatten(2))
