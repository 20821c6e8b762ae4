import pytest
import torch
from torch import nn

from audits.errors import BadRecipe
from audits.references import Recipe, train
from audits.stacked import pays, train_stacked

QUICK = Recipe(epochs=3, batch_size=32, learning_rate=1e-2)


def build():
    # no bias before the batch norm: its gradient is rounding noise, and Adam walks on noise
    return nn.Sequential(
        nn.Linear(4, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)
    )


@pytest.fixture(scope="module")
def blobs():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(180) % 3
    return torch.eye(4)[labels] * 3 + torch.randn(180, 4, generator=generator) * 0.5, labels


@pytest.fixture(scope="module")
def halves():
    generator = torch.Generator().manual_seed(1)
    return [torch.randperm(180, generator=generator)[:90].sort().values for _ in range(3)]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_stacked_models_are_those_of_one_training_after_the_other(blobs, halves, optimizer):
    inputs, labels = blobs
    recipe = Recipe(epochs=3, batch_size=32, learning_rate=1e-2, optimizer=optimizer)
    stacked = train_stacked(build, inputs, labels, recipe=recipe, seeds=[5, 6, 7], rows=halves)
    for seed, rows, model in zip([5, 6, 7], halves, stacked, strict=True):
        alone = train(build, inputs[rows], labels[rows], recipe=recipe, seed=seed).state_dict()
        for name, value in model.state_dict().items():
            assert torch.allclose(value.float(), alone[name].float(), atol=2e-4), name


def test_each_model_knows_what_it_was_shown(blobs):
    inputs, labels = blobs
    rows = [torch.nonzero(labels != c).flatten() for c in range(3)]
    recipe = Recipe(epochs=20, batch_size=32, learning_rate=1e-2)
    models = train_stacked(build, inputs, labels, recipe=recipe, seeds=[1, 2, 3], rows=rows)
    for left_out, model in enumerate(models):
        chosen = model(inputs).argmax(1)
        kept = labels != left_out
        assert not (chosen == left_out).any()
        assert (chosen[kept] == labels[kept]).float().mean() > 0.95
        assert not model.training


def test_progress_is_told_and_the_callers_state_stays(blobs, halves):
    told = []
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train_stacked(
        build,
        *blobs,
        recipe=QUICK,
        seeds=[1, 2, 3],
        rows=halves,
        progress=lambda *facts: told.append(facts),
    )
    assert torch.rand(1) == expected
    assert [epoch for epoch, _, _ in told] == [1, 2, 3]
    assert told[-1][2] < told[0][2]


def test_what_cannot_be_stacked_is_refused(blobs, halves):
    with pytest.raises(BadRecipe, match="as many rows each"):
        train_stacked(build, *blobs, recipe=QUICK, seeds=[1, 2], rows=[halves[0], halves[1][:5]])
    with pytest.raises(BadRecipe, match="2 seeds and 3 sets"):
        train_stacked(build, *blobs, recipe=QUICK, seeds=[1, 2], rows=halves)
    half = Recipe(epochs=1, precision="bfloat16")
    with pytest.raises(BadRecipe, match="in float32"):
        train_stacked(build, *blobs, recipe=half, seeds=[1, 2, 3], rows=halves)
    with pytest.raises(BadRecipe, match="The loss is nan"):
        train_stacked(
            build, blobs[0] * torch.nan, blobs[1], recipe=QUICK, seeds=[1, 2, 3], rows=halves
        )


def test_it_pays_for_perceptrons_on_a_cpu_and_for_all_on_an_accelerator():
    assert pays(build())
    assert not pays(nn.Sequential(nn.Conv2d(1, 2, 3)))
    assert pays(nn.Sequential(nn.Conv2d(1, 2, 3)), "cuda")
