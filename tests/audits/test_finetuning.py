import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from audits import finetuning, fresh
from audits.features import observe
from audits.references import Recipe, train
from audits.tuning import Tuning
from damp.layouts import SAMPLES

FORGET = (1,)


def build():
    return nn.Sequential(nn.Linear(6, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 4))


@pytest.fixture(scope="module")
def blobs():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 4
    return torch.eye(6)[labels] * 2 + torch.randn(240, 6, generator=generator) * 0.6, labels


@pytest.fixture(scope="module")
def tuning(blobs):
    return Tuning(
        labels=blobs[1].numpy(), forget=FORGET, live=(0, 1, 2, 3), seed=3, learning_rate=3e-3
    )


@pytest.fixture(scope="module")
def models(blobs):
    recipe = Recipe(epochs=12, batch_size=32, learning_rate=1e-2)
    original = train(build, *blobs, recipe=recipe, seed=0)
    retrained = train(build, *blobs, recipe=recipe, seed=1, exclude=FORGET)
    suppressed = copy.deepcopy(original)
    with torch.no_grad():
        suppressed[3].bias[1] -= 1e9
    return {"original": original, "retrained": retrained, "suppressed": suppressed}


def observed(model, blobs, tuning):
    return observe(model, blobs[0], blobs[0], digest="d", tuning=tuning)


def test_a_model_that_knows_the_class_is_back_sooner(models, blobs, tuning):
    height = {
        name: np.nanmean(observed(model, blobs, tuning).relearned["few"], axis=(0, 2))
        for name, model in models.items()
    }
    assert (height["original"][0], height["retrained"][0]) == (0, 0)
    assert height["original"].mean() > height["retrained"].mean() + 0.1


def test_an_output_pushed_down_hides_nothing(models, blobs, tuning):
    plain, hidden = (
        observed(models[name], blobs, tuning).relearned["few"]
        for name in ("original", "suppressed")
    )
    assert np.array_equal(plain, hidden, equal_nan=True)


def test_retain_tuning_alone_does_not_bring_back_what_was_never_there(models, blobs, tuning):
    alone = observed(models["retrained"], blobs, tuning).relearned["retain_only"]
    assert alone.max() == 0
    remembering = observed(models["original"], blobs, tuning).relearned["retain_only"]
    assert remembering[:, 0].mean() > 0.9


def test_images_that_were_tuned_on_are_not_asked_about(models, blobs, tuning):
    curves = observed(models["original"], blobs, tuning).relearned
    asked, chosen = tuning.rows(), tuning.images()
    for draw in range(tuning.draws):
        used = np.isin(asked, chosen[draw])
        assert used.sum() == tuning.shots
        assert np.isnan(curves["few"][draw][:, used]).all()
        assert not np.isnan(curves["few"][draw][:, ~used]).any()


def test_the_model_stays_as_it_is_and_the_seed_decides(models, blobs, tuning):
    before = copy.deepcopy(models["original"].state_dict())
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    one, other = (observed(models["original"], blobs, tuning).relearned["few"] for _ in range(2))
    assert torch.rand(1) == expected
    assert np.array_equal(one, other, equal_nan=True)
    assert all(torch.equal(v, before[n]) for n, v in models["original"].state_dict().items())


def test_the_cost_is_counted_in_forward_passes(models, blobs, tuning):
    """Every row that goes through a copy is counted by a hook, a backward as two more."""
    passed = []
    watched = copy.deepcopy(models["original"])
    watched[0].register_forward_pre_hook(
        lambda _m, given: passed.append(len(given[0]) * (3 if given[0].requires_grad else 1))
    )
    passes = observe(watched, blobs[0], blobs[0], digest="d", tuning=tuning).passes
    rows = 2 * 240
    trained = tuning.draws * max(tuning.steps) * (40 + 30)
    asked = tuning.draws * 2 * len(tuning.steps) * 60
    assert passes["relearning"] == pytest.approx((3 * trained + asked) / rows)
    rehearsed = 2 * SAMPLES  # to find the operators
    assert sum(passed) == pytest.approx(rows + rehearsed + trained + asked, abs=4)
    assert passes["observe"] == 1


def test_no_tuning_and_too_few_rows_give_no_curve(models, blobs):
    assert observe(models["original"], *[blobs[0]] * 2, digest="d").relearned == {}
    greedy = Tuning(labels=blobs[1].numpy(), forget=FORGET, live=(0, 1, 2, 3), seed=3, shots=60)
    assert observed(models["original"], blobs, greedy).relearned == {}


def test_perturbed_images_are_other_images_of_the_same_class(real_digits):
    images, labels = real_digits
    moved = fresh.perturbed(images, seed=1)
    distance = (moved - images).flatten(1).norm(dim=1)
    assert (distance > 0).all()
    centres = torch.stack([images[labels == c].mean(0).flatten() for c in range(10)])

    def nearest(x):
        return (torch.cdist(x.flatten(1), centres).argmin(1) == labels).float().mean()

    assert nearest(moved) > nearest(images) - 0.1
    assert torch.equal(moved, fresh.perturbed(images, seed=1))
    assert not torch.equal(moved, fresh.perturbed(images, seed=2))


def test_a_shift_is_a_shift_and_no_image_leaves_its_frame():
    ramp = torch.arange(8.0).repeat(1, 1, 8, 1)
    moved = fresh._shifted(ramp, torch.Generator().manual_seed(0))
    inner = (moved - ramp)[..., 2:-2]
    assert float(inner.max() - inner.min()) < 1e-5
    assert float(inner.abs().max()) <= fresh.SHIFT + 1e-5


def test_rows_that_are_no_images_get_noise_alone(blobs):
    moved = fresh.perturbed(blobs[0], seed=1)
    assert float((moved - blobs[0]).std()) == pytest.approx(
        fresh.NOISE * float(blobs[0].std()), rel=0.1
    )


def test_the_forgotten_class_has_most_of_the_rows_to_perturb(blobs):
    labels = torch.arange(4000) % 4
    kept = fresh.choose(labels, FORGET, seed=0)
    assert torch.bincount(labels[kept]).tolist() == [133, 200, 133, 133]
    assert torch.equal(kept, kept.sort().values)


def test_gradients_of_parts_add_up_to_those_of_the_mean_loss(monkeypatch):
    """Parts of two, two and one: each weighs as many images as it has."""
    torch.manual_seed(0)
    net, images, classes = nn.Linear(4, 3), torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    monkeypatch.setattr(finetuning, "at_once", lambda images, most: 2)
    finetuning._learn(net, images, classes, [0, 1, 2])
    loss = functional.cross_entropy(net(images), classes)
    (whole,) = torch.autograd.grad(loss, [net.weight])
    torch.testing.assert_close(net.weight.grad, whole)
