"""What the record says of an edit is what was done to the weights."""

from __future__ import annotations

import torch

import damp
from flows.models import architectures
from flows.steps import edit


def test_a_head_that_was_fitted_anew_is_named() -> None:
    """Its rows for the classes to keep change as well, and no operator's line tells that."""
    torch.manual_seed(0)
    network = architectures.build("damp:cnn", 4, (1, 8, 8)).eval()
    labels = torch.arange(80) % 4
    images = torch.randn(4, 1, 8, 8)[labels] + 0.3 * torch.randn(80, 1, 8, 8)
    cut_only, fitted = (
        damp.forget(network, [(images, labels)], forget=3, preset=preset)
        for preset in ("mixture", "mended")
    )
    assert edit.describe(cut_only)["repairs"] == []
    (repair,) = edit.describe(fitted)["repairs"]
    assert repair["kind"] == "head_refit"
    named = repair["layer"]
    one, other = cut_only.unretired.state_dict(), fitted.unretired.state_dict()
    differing = {name.rpartition(".")[0] for name in one if not torch.equal(one[name], other[name])}
    assert differing == {named}
    assert not torch.isclose(one[f"{named}.weight"][:3], other[f"{named}.weight"][:3]).all()


def test_a_layer_that_was_rewritten_is_named_and_its_change_told_whole() -> None:
    torch.manual_seed(0)
    network = architectures.build("damp:cnn", 4, (1, 8, 8)).eval()
    labels = torch.arange(80) % 4
    images = torch.randn(4, 1, 8, 8)[labels] + 0.3 * torch.randn(80, 1, 8, 8)
    edited = damp.forget(network, [(images, labels)], forget=3, preset="rewritten")
    record = edit.describe(edited)
    assert record["repairs"][0] == {"kind": "low_rank_update", "layer": "fc1"}
    before, after = network.fc1.weight.detach(), edited.unretired.fc1.weight.detach()
    (line,) = [operator for operator in record["operators"] if operator["name"] == "fc1"]
    moved = float((after - before).norm() / before.norm())
    assert abs(line["relative_change"] - moved) < 1e-6


def test_goals_are_recorded_and_so_is_who_stood_in() -> None:
    torch.manual_seed(0)
    network = architectures.build("damp:cnn", 4, (1, 8, 8)).eval()
    labels = torch.arange(160) % 4
    images = torch.randn(4, 1, 8, 8)[labels] + 0.3 * torch.randn(160, 1, 8, 8)
    record = edit.describe(damp.forget(network, [(images, labels)], forget=3, preset="natural"))
    assert [goal["layers"] for goal in record["goals"]] == [["conv3"], ["fc1"]]
    for goal in record["goals"]:
        assert goal["goal"][0] < goal["before"][0]
        assert 0 < goal["noise"][0] < goal["before"][0]
        assert goal["rows"] == 160
    assert "standIn" not in record
    assert record["repairs"] == [
        {"kind": "natural_update", "layer": "conv3"},
        {"kind": "natural_update", "layer": "fc1"},
        {"kind": "head_refit", "layer": "fc2"},
    ]
    few = (labels != 3) | (torch.arange(160) < 40)
    rows = [(images[few], labels[few])]
    record = edit.describe(damp.forget(network, rows, forget=3, preset="natural"))
    assert record["standIn"]["preset"] == "mended"
    assert "too few" in record["standIn"]["reason"]
    assert "goals" not in record
