"""A top that starts afresh: what it is made from, what it never sees, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from audits.references import Recipe, train
from flows.data.dataset import Dataset
from flows.models import renewal
from flows.models.small_nets import SmallCNN, SmallViT
from flows.state.errors import ModelError

FORGET = (2,)
RECIPE = Recipe(epochs=3, batch_size=16, learning_rate=5e-3)
BUILD = partial(SmallCNN, 1, 4, width=4)


def images(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Four classes, each a bright quarter in noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    rows = 0.5 * torch.randn(count, 1, 8, 8, generator=generator)
    for label in range(4):
        top, left = 4 * (label // 2), 4 * (label % 2)
        rows[labels == label, :, top : top + 4, left : left + 4] += 2
    return rows, labels


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    (train_inputs, train_labels), (test_inputs, test_labels) = images(160, 0), images(80, 1)
    return Dataset(
        name="quarters",
        train_inputs=train_inputs,
        train_labels=train_labels,
        test_inputs=test_inputs,
        test_labels=test_labels,
        classes=4,
        description="four quarters",
    )


@pytest.fixture(scope="module")
def network(dataset: Dataset) -> nn.Module:
    return train(BUILD, dataset.train_inputs, dataset.train_labels, recipe=RECIPE, seed=0)


def renewed(network: nn.Module, dataset: Dataset, folder: Path, **changed: object):
    settings = {"build": BUILD, "recipe": RECIPE, "seed": 3001, "folder": folder} | changed
    return renewal.renew(network, dataset, FORGET, **settings)


def same(one: nn.Module, other: nn.Module) -> set[str]:
    others = other.state_dict()
    return {name for name, value in one.state_dict().items() if torch.equal(value, others[name])}


def test_the_first_layer_stays_and_all_above_is_new(network, dataset, tmp_path) -> None:
    after = renewed(network, dataset, tmp_path)
    kept = same(network, after.network)
    assert {"conv1.weight", "conv1.bias", "bn1.weight"} <= kept
    assert not {n for n in kept if n.startswith(("conv2", "bn2.r", "conv3", "fc1", "fc2"))}
    first, second = after.record.trainings
    assert (first.start, first.epochs) == ("conv2", 1)
    assert (second.start, second.epochs) == ("fc1", 3)
    assert after.record.recalibrated == ("bn1",)
    assert after.record.rows == 120


def test_it_learns_what_stays(network, dataset, tmp_path) -> None:
    recipe = replace(RECIPE, epochs=9)
    after = renewed(network, dataset, tmp_path, recipe=recipe)
    stays = ~torch.isin(dataset.test_labels, torch.tensor(FORGET))
    with torch.no_grad():
        answers = after.network(dataset.test_inputs).argmax(1)
    assert (answers == dataset.test_labels)[stays].float().mean() > 0.9
    assert after.record.accuracy[1] > 0.9


def test_the_pixels_of_rows_to_forget_change_no_weight(network, dataset, tmp_path) -> None:
    gone = torch.isin(dataset.train_labels, torch.tensor(FORGET))
    inputs = dataset.train_inputs.clone()
    inputs[gone] = 100 * torch.randn_like(inputs[gone])
    other = replace(dataset, train_inputs=inputs)
    one, two = (renewed(network, each, tmp_path).network for each in (dataset, other))
    assert same(one, two) == set(one.state_dict())
    # the control: a pixel of a row that stays does change them
    inputs = dataset.train_inputs.clone()
    inputs[(~gone).nonzero()[0, 0], 0, 0, 0] += 1
    three = renewed(network, replace(dataset, train_inputs=inputs), tmp_path).network
    assert same(one, three) != set(one.state_dict())


def test_one_seed_one_digest_and_no_other(network, dataset, tmp_path) -> None:
    one, two = (renewed(network, dataset, tmp_path).network for _ in range(2))
    assert same(one, two) == set(one.state_dict())
    other = renewed(network, dataset, tmp_path, seed=3002).network
    assert "conv2.weight" not in same(one, other)


def test_the_original_and_the_random_state_stay(network, dataset, tmp_path) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    renewed(network, dataset, tmp_path)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_features_in_a_mapped_file_give_the_same_weights(
    network, dataset, tmp_path, monkeypatch
) -> None:
    inside = renewed(network, dataset, tmp_path).network
    monkeypatch.setattr(renewal, "IN_MEMORY", 0)
    mapped = renewed(network, dataset, tmp_path).network
    assert same(inside, mapped) == set(inside.state_dict())
    assert list(tmp_path.iterdir()) == []


def test_the_cost_is_counted_beside_a_whole_training(network, dataset, tmp_path) -> None:
    record = renewed(network, dataset, tmp_path).record
    # three epochs of forward and two backward passes, no gradient of the images: by hand
    maps = {"conv1": 64 * 4 * 9, "conv2": 64 * 8 * 4 * 9, "conv3": 16 * 16 * 8 * 9}
    linear = 64 * 64 + 64 * 4
    step = 2 * maps["conv1"] + 3 * (maps["conv2"] + maps["conv3"] + linear)
    assert record.retraining == pytest.approx(120 * 3 * step, rel=1e-6)
    below = maps["conv1"]
    first = 120 * (below + 2 * maps["conv2"] + 3 * (maps["conv3"] + linear))
    assert record.trainings[0].operations == pytest.approx(first, rel=0.05)
    # two passes without a gradient: rows to keep are answered, batch norms read all of them
    passes = (120 + len(dataset.train_labels)) * (sum(maps.values()) + linear)
    trained = sum(training.operations for training in record.trainings)
    assert record.operations - trained == pytest.approx(passes, rel=1e-6)
    assert record.share == record.operations / record.retraining


def test_several_classes_and_an_edited_model(network, dataset, tmp_path) -> None:
    import damp

    batches = [(dataset.train_inputs, dataset.train_labels)]
    edited = damp.forget(network, batches, forget=0).unretired
    rest = dataset.without((0,))
    after = renewal.renew(
        edited, rest, (1, 2), build=BUILD, recipe=RECIPE, seed=3001, folder=tmp_path
    )
    assert after.record.rows == 40
    assert torch.equal(after.network.conv1.weight, edited.conv1.weight)


def test_where_the_recipe_has_not_settled_less_starts_afresh_for_longer(
    network, dataset, tmp_path
) -> None:
    settled = renewal.start_of(network, dataset.train_inputs[:8])
    start = renewal.start_of(network, dataset.train_inputs[:8], settled=False)
    assert (settled.waist.name, settled.share) == ("conv2", 1 / 3)
    assert (start.waist.name, start.share) == ("conv3", 1 / 2)
    assert start.last is not None
    assert settled.last is not None
    assert start.last.name == settled.last.name == "fc1"
    # the network of four quarters is right about all rows: with labels turned, about none
    assert renewed(network, dataset, tmp_path).record.trainings[0].start == "conv2"
    turned = replace(dataset, train_labels=(dataset.train_labels + 1) % 4)
    assert renewed(network, turned, tmp_path).record.trainings[0].start == "conv3"


def test_with_skips_the_whole_recipe_runs_above_two_thirds_or_less_of_one_that_goes_on(
    dataset,
) -> None:
    build = partial(SmallViT, 1, 4, 8, dim=16, heads=2)
    start = renewal.start_of(build(), dataset.train_inputs[:8])
    assert start.skips
    assert (start.waist.name, start.share, start.last) == ("blocks.1", 1.0, None)
    going_on = renewal.start_of(build(), dataset.train_inputs[:8], settled=False)
    assert (going_on.waist.name, going_on.share) == (start.waist.name, 5 / 8)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 64)
        self.two.weight = self.one.weight
        self.three, self.head = nn.Linear(64, 16), nn.Linear(16, 4)

    def forward(self, rows: Tensor) -> Tensor:
        below = self.two(self.one(rows.flatten(1)).relu()).relu()
        return self.head(self.three(below).relu())


class OneBlock(nn.Module):
    """Nearly all operations lie in one block with a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(64, 8), nn.Linear(8, 4)
        self.block = nn.Sequential(nn.Linear(8, 512), nn.ReLU(), nn.Linear(512, 8))

    def forward(self, rows: Tensor) -> Tensor:
        below = self.stem(rows.flatten(1))
        return self.head(below + self.block(below))


def test_layers_that_share_a_weight_stay_below_together(dataset) -> None:
    start = renewal.start_of(Tied().eval(), dataset.train_inputs[:8])
    assert (start.waist.name, start.waist.operators) == ("three", ("three", "head"))


class TwoLayers(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 4))


class Around(nn.Module):
    """Every layer reads the image."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 4) for _ in range(3))

    def forward(self, rows: Tensor) -> Tensor:
        return sum(layer(rows.flatten(1)) for layer in self.layers)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (TwoLayers, "2 layers that mix features"),
        (Around, "no layer through which all of an image must pass"),
        (OneBlock, "renewed top would cost about what retraining costs"),
    ],
)
def test_a_model_without_such_a_place_is_refused_with_words(make, words, dataset) -> None:
    with pytest.raises(ModelError, match=words) as refusal:
        renewal.start_of(make().eval(), dataset.train_inputs[:8])
    assert "Ask for a preset of the surgery, or for `retrain`." in str(refusal.value)
