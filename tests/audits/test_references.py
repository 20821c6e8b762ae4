import copy

import pytest
import torch
from torch import nn

from audits.errors import BadRecipe
from audits.references import Recipe, shares_weights, train

QUICK = Recipe(epochs=8, batch_size=16, learning_rate=1e-2)


def build():
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


@pytest.fixture(scope="module")
def blobs():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    return torch.eye(4)[labels] * 3 + torch.randn(120, 4, generator=generator) * 0.5, labels


def test_a_model_learns_what_it_is_shown_and_nothing_of_what_it_is_not(blobs):
    inputs, labels = blobs
    model = train(build, inputs, labels, recipe=QUICK, seed=1, exclude=[2])
    with torch.inference_mode():
        chosen = model(inputs).argmax(1)
    assert (chosen[labels != 2] == labels[labels != 2]).float().mean() > 0.95
    assert not (chosen == 2).any()
    assert not model.training


def test_rows_of_an_excluded_class_change_nothing(blobs):
    """Not even through the order of the others or a running statistic."""
    inputs, labels = blobs
    garbage = inputs.clone()
    garbage[labels == 2] = 1e6
    one, other = (
        train(build, x, labels, recipe=QUICK, seed=1, exclude=[2]).state_dict()
        for x in (inputs, garbage)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_seed_gives_the_same_bytes_and_leaves_the_callers_state(blobs):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, other, third = (
        train(build, *blobs, recipe=QUICK, seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert torch.rand(1) == expected
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["0.weight"], third["0.weight"])


def test_two_trainings_share_no_weight(blobs):
    a, b = (train(build, *blobs, recipe=QUICK, seed=seed) for seed in (1, 2))
    assert shares_weights(a, b) == []


def test_a_reset_loop_that_resets_little_is_caught(blobs):
    """The published mistake: "retrained" models of which most was never re-initialised."""
    original = train(build, *blobs, recipe=QUICK, seed=1)
    false = copy.deepcopy(original)
    false[3].reset_parameters()
    assert shares_weights(original, false) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_untrained_constants_are_no_shared_weight():
    a, b = build(), build()
    assert shares_weights(a, b) == []


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["onecycle", "constant"])
def test_every_recipe_trains(blobs, optimizer, schedule):
    recipe = Recipe(epochs=8, batch_size=16, optimizer=optimizer, schedule=schedule)
    reported = []
    model = train(
        build, *blobs, recipe=recipe, seed=0, progress=lambda *facts: reported.append(facts)
    )
    assert [(epoch, epochs) for epoch, epochs, _ in reported] == [(n, 8) for n in range(1, 9)]
    assert reported[-1][2] < reported[0][2]
    assert (model(blobs[0]).argmax(1) == blobs[1]).float().mean() > 0.9


def test_half_precision_trains_images_and_leaves_whole_weights(real_digits):
    images, labels = real_digits
    recipe = Recipe(epochs=6, batch_size=64, learning_rate=5e-3, precision="bfloat16")

    def small():
        return nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)
        )

    one, other = (train(small, images[:600], labels[:600], recipe=recipe, seed=1) for _ in range(2))
    assert {value.dtype for value in one.parameters()} == {torch.float32}
    assert one[0].weight.is_contiguous()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    with torch.no_grad():
        assert (one(images[600:]).argmax(1) == labels[600:]).float().mean() > 0.8


def test_every_mistake_in_a_recipe_is_told_at_once():
    with pytest.raises(BadRecipe) as caught:
        Recipe(
            epochs=0,
            learning_rate=0.0,
            optimizer="lion",
            schedule="sawtooth",
            label_smoothing=1,
            precision="fp8",
        )
    for words in (
        "0 epochs",
        "learning rate",
        "'lion'",
        "'sawtooth'",
        "Label smoothing is 1",
        "'fp8'",
    ):
        assert words in str(caught.value)


def test_data_that_cannot_be_trained_on_are_refused(blobs):
    inputs, labels = blobs
    with pytest.raises(BadRecipe, match="120 rows have 119 labels"):
        train(build, inputs, labels[1:], recipe=QUICK, seed=0)
    with pytest.raises(BadRecipe, match="exclude fewer"):
        train(build, inputs, labels, recipe=QUICK, seed=0, exclude=[0, 1, 2])
    with pytest.raises(BadRecipe, match="The loss is nan in epoch 1"):
        train(build, inputs * float("nan"), labels, recipe=QUICK, seed=0)


def test_the_loss_that_is_reported_is_the_mean_over_the_epochs_batches(blobs):
    """At a rate of next to nothing it is that of the fresh network; batches are of one size."""
    inputs, labels = blobs
    reports, epochs = [], []

    def plain():
        torch.manual_seed(5)
        return nn.Linear(4, 3)

    still = Recipe(epochs=2, batch_size=30, learning_rate=1e-12, weight_decay=0.0)
    train(
        plain,
        inputs,
        labels,
        recipe=still,
        seed=0,
        progress=lambda *facts: reports.append(facts),
        watch=epochs.append,
    )
    with torch.inference_mode():
        answers = plain()(inputs)
        expected = float(nn.functional.cross_entropy(answers, labels))
        right = float((answers.argmax(1) == labels).float().mean())
    assert [(epoch, of) for epoch, of, _ in reports] == [(1, 2), (2, 2)]
    assert [loss for *_, loss in reports] == pytest.approx([expected] * 2, rel=1e-4)
    assert [(e.number, e.of) for e in epochs] == [(1, 2), (2, 2)]
    assert [e.loss for e in epochs] == pytest.approx([expected] * 2, rel=1e-4)
    assert [e.accuracy for e in epochs] == pytest.approx([right] * 2)


def test_sgd_without_momentum_is_not_nesterovs() -> None:
    """torch refuses the two together; a recipe says Nesterov's by default."""
    net, batch, labels = nn.Linear(4, 3), torch.randn(8, 4), torch.arange(8) % 3
    recipe = Recipe(epochs=1, optimizer="sgd", momentum=0.0)
    assert recipe.nesterov
    trained = train(lambda: net, batch, labels, recipe=recipe, seed=0)
    assert bool(torch.isfinite(trained.weight).all())
