"""A class kept in the arrangement of features alone: planted, clean, and read off a network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from audits import feature_map, linear_probe, spatial_pattern
from audits.equivalence import equivalence
from audits.errors import BadEvidence
from audits.estimates import compare
from audits.features import from_arrays, observe, to_arrays

ROW = "spatial_pattern.dprime@feature_map"


def with_pattern(world, model, strength: float):
    """More on the left and less on the right on the class's images, the same on average."""
    cells = model.cells.copy()
    own = world.test_labels == 2
    cells[own, 0, :, 0] += strength
    cells[own, 0, :, 1] -= strength
    return replace(model, digest=f"{model.digest} {strength}", cells=cells)


def test_a_class_written_left_and_right_is_seen_and_a_retrained_model_is_not(world, figures, judge):
    model = world.model("retrained", knows=False)
    hidden = with_pattern(world, model, 3.0)
    assert hidden.cells.mean((2, 3)) == pytest.approx(model.cells.mean((2, 3)))
    clean, planted = (
        figures(spatial_pattern.audit(world.evidence(candidate)))[ROW]
        for candidate in (model, hidden)
    )
    spread = float(np.std(planted.null, ddof=1))
    assert abs(clean.difference) < 3.5 * spread
    assert judge(planted, 1e9, 5 * spread) == "outside"
    linear = figures(linear_probe.audit(world.evidence(hidden)))
    assert judge(linear["linear_probe.dprime@penultimate"], 1.0, 1.0) == "within"


def test_what_pooling_keeps_is_not_read():
    cells = np.random.default_rng(0).normal(size=(20, 3, 2, 2))
    lifted = cells + np.random.default_rng(1).normal(size=(20, 3, 1, 1))
    assert spatial_pattern.arrangement(lifted) == pytest.approx(spatial_pattern.arrangement(cells))


def test_a_network_without_a_map_is_not_run_with_its_reason(world):
    flat = replace(world.model("retrained", knows=False), digest="flat", cells=None)
    finding = spatial_pattern.audit(world.evidence(flat))
    assert finding.status == "NOT_RUN"
    assert "no map of features over the image was observed" in finding.reason


def test_constant_cells_are_left_out_with_their_reason(world):
    model = world.model("retrained", knows=False)
    flat = replace(model, digest="constant", cells=np.ones_like(model.cells))
    assert "the same for every image" in spatial_pattern.audit(world.evidence(flat)).reason


def test_cells_of_other_rows_are_refused(world):
    model = world.model("retrained", knows=False)
    short = replace(model, digest="short", cells=model.cells[:100])
    with pytest.raises(BadEvidence, match="cells of the candidate"):
        world.evidence(short)


class Convolutional(nn.Module):
    """A map that is pooled by a layer; dropout and the head come after."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 5, 3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(5, 3)

    def forward(self, images):
        maps = self.relu(self.conv2(self.relu(self.conv1(images))))
        return self.head(self.pool(maps).flatten(1))


def test_the_cells_are_those_of_the_last_map_before_pooling():
    torch.manual_seed(0)
    net, images = Convolutional().eval(), torch.randn(11, 1, 9, 9)
    observation = observe(net, images, images, digest="d", batch_size=4)
    with torch.inference_mode():
        maps = net.relu(net.conv2(net.relu(net.conv1(images))))
    by_hand = maps.reshape(11, 5, 3, 3, 3, 3).mean((3, 5)).numpy()
    assert observation.cells == pytest.approx(by_hand, abs=1e-6)
    assert observation.cells.mean((2, 3)) == pytest.approx(
        observation.features["penultimate"], abs=1e-6
    )
    assert from_arrays(*to_arrays(observation)).cells == pytest.approx(observation.cells)
    assert not any(module._forward_hooks for module in net.modules())


def test_a_network_of_plain_layers_has_no_cells():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    images = torch.randn(5, 1, 2, 2)
    observation = observe(net, images, images, digest="d")
    assert observation.cells is None
    assert from_arrays(*to_arrays(observation)).cells is None


def test_many_channels_have_fewer_cells():
    assert feature_map.means(torch.ones(1, 256, 8, 8)).shape == (1, 256, 3, 3)
    assert feature_map.means(torch.ones(1, 257, 8, 8)).shape == (1, 257, 2, 2)


def test_which_models_are_the_baseline_lets_no_model_at_the_margin_pass(world):
    """On one set of images, the baseline drawn anew from sixteen retrained models."""
    evidence = world.evidence()
    retrained = [world.model(f"pool {i}", knows=False) for i in range(16)]
    knowing = [with_pattern(world, world.model(f"at {i}", knows=False), 0.6) for i in range(6)]
    settings = {"folds": 5, "rows": 2000}
    pool, candidates = (
        [spatial_pattern.arranged(evidence, model, **settings)[ROW] for model in models]
        for models in (retrained, knowing)
    )
    everybody = float(np.mean([estimate.value for estimate in pool]))
    rng = np.random.default_rng(5)
    outcomes = []
    for candidate in candidates:
        margin = candidate.value - everybody
        for _ in range(40):
            comparison = compare(candidate, [pool[i] for i in rng.permutation(16)[:5]])
            figures = (
                comparison.difference,
                comparison.standard_error,
                comparison.degrees_of_freedom,
            )
            outcomes.append(margin > 0 and equivalence(*figures, 1e9, margin) == "within")
    assert np.mean(outcomes) <= 0.06


class Ends(nn.Module):
    """A map, what averages it in a layer of its own, and a head."""

    def __init__(self, pool):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Sequential(nn.Tanh(), pool))
        self.head = nn.Linear(3, 2)

    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))


@pytest.mark.parametrize("pool", [nn.AvgPool2d(3), nn.AdaptiveMaxPool2d(2), nn.LPPool2d(2, 2)])
def test_cells_are_of_the_last_map_that_nothing_has_averaged(pool):
    net, images = Ends(pool), torch.randn(5, 1, 6, 6)
    with feature_map.watching(net) as cells, torch.no_grad():
        net(images[:2])
        net(images[2:])
        last = torch.tanh(net.body[0](images))
    expected = last.reshape(5, 3, 3, 2, 3, 2).mean((3, 5)).numpy()
    np.testing.assert_allclose(cells.all(), expected, atol=1e-6)
    assert not any(module._forward_hooks for module in net.modules())


def test_one_batch_without_a_map_leaves_none():
    net = Ends(nn.AvgPool2d(2))
    with feature_map.watching(net) as cells, torch.no_grad():
        assert cells.all() is None
        net(torch.randn(2, 1, 6, 6))
        assert cells.all().shape == (2, 3, 3, 3)
        net(torch.randn(2, 1, 2, 2))  # smaller maps have fewer cells
    assert [part.shape for part in cells._batches] == [(2, 3, 3, 3), (2, 3, 2, 2)]
    flat = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with feature_map.watching(flat) as cells, torch.no_grad():
        flat(torch.randn(2, 1, 2, 2))
    assert cells.all() is None


@pytest.mark.parametrize(("channels", "side"), [(256, 3), (257, 2)])
def test_wide_maps_have_fewer_cells(channels, side):
    assert feature_map.means(torch.ones(1, channels, 8, 8)).shape == (1, channels, side, side)
