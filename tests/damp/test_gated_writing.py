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


@pytest.mark.parametrize("side", [1, 2])
def test_one_step_solves_the_conditions_and_a_random_change_is_no_better(net, pictures, side):
    """Held against the problem as it is written, solved once more by its optimality conditions."""
    _, labels = pictures
    forget = [1]
    place, values, inputs = written(net, pictures, 2)
    place = replace(place, side=side)
    joint = patches_of(place, inputs).joint
    chosen = alternate(labels)
    z = values.flatten(2)[chosen]
    cells = gated_writing._cells(values.shape[2:], place.side)
    problem = gated_writing._Problem.of(place, cells, z, joint[chosen], labels[chosen], forget)
    share = torch.tensor([0.5]).double()
    step = problem.step(z, share)
    own, kept = labels[chosen], [0, 2, 3]
    d = RowGeometry.from_rows(place.pooled(values[chosen]), own, forget).residuals[0]
    d = d.reshape(z.shape[1], side**2)  # (C, q)
    channel = int(d.norm(dim=1).argmax())
    open_patches = joint[chosen] * (z[:, None, channel] > 0)  # (n, D + 1, P)
    maps = open_patches.unflatten(2, values.shape[2:])
    half = values.shape[2] // side
    corners = [(row * half, column * half) for row in range(side) for column in range(side)]
    g = torch.stack(  # brute force, (n, q, D + 1)
        [maps[:, :, y : y + half, x : x + half].mean((2, 3)) for y, x in corners], 1
    )
    means = torch.cat([g[own == label].mean(0) for label in (1, *kept)])
    torch.testing.assert_close(
        means @ step[channel],
        torch.cat([-0.5 * d[channel], torch.zeros(3 * side**2).double()]),
        rtol=0.02,
        atol=0.02 * float(d[channel].norm()),
    )
    retain, mine = g[own != 1], g[own == 1] - g[own == 1].mean(0)
    rows, size = len(mine), len(retain)
    retain, mine = retain.flatten(0, 1), mine.flatten(0, 1)
    moments = retain.T @ retain / size + gated_writing.HELD * mine.T @ mine / rows
    moments += gated_writing.RIDGE * moments.diagonal().mean() * torch.eye(len(moments))

    def loss(change):
        return float(change @ moments @ change)

    generator = torch.Generator().manual_seed(0)
    null = torch.linalg.svd(means, full_matrices=True).Vh[len(means) :]  # keeps the conditions
    for _ in range(20):
        weights = torch.randn(len(null), generator=generator).double()
        aside = step[channel] + 0.01 * float(step[channel].norm()) * (weights @ null)
        assert loss(aside) > loss(step[channel])


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
