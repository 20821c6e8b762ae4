"""Images changed at random: as they should be, by the seed alone, and learned from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from audits import augmentation
from audits.augmentation import Augmentation
from audits.errors import BadRecipe
from audits.references import Recipe, train

BATCH = torch.arange(2 * 3 * 5 * 4, dtype=torch.float32).reshape(2, 3, 5, 4) / 120


def seeded(seed: int, settings: Augmentation, images: torch.Tensor = BATCH) -> torch.Tensor:
    torch.manual_seed(seed)
    return augmentation.changed(images, settings)


def test_a_flip_mirrors_about_half_of_the_images_and_leaves_the_others() -> None:
    images = torch.rand(1000, 1, 2, 3)
    flipped = seeded(0, Augmentation(flip=True), images)
    mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    assert ((flipped == images).flatten(1).all(1) ^ mirrored).all()
    assert 430 < int(mirrored.sum()) < 570


def test_a_crop_is_the_image_moved_with_black_where_nothing_was() -> None:
    padding = 2
    moved = seeded(1, Augmentation(crop=padding))
    padded = functional.pad(BATCH, [padding] * 4)
    every = {
        (r, c): padded[:, :, r : r + 5, c : c + 4]
        for r in range(2 * padding + 1)
        for c in range(2 * padding + 1)
    }
    for number, image in enumerate(moved):
        assert any(torch.equal(image, whole[number]) for whole in every.values())
    assert moved.shape == BATCH.shape
    assert len({int(seeded(s, Augmentation(crop=2))[0].sum() * 1000) for s in range(20)}) > 3


def test_bytes_stay_bytes() -> None:
    images = (BATCH * 120).byte()
    whole = Augmentation(flip=True, resized_crop=0.3, rand_augment=9)
    assert seeded(0, whole, images).dtype == torch.uint8
    assert seeded(0, whole, images).shape == images.shape


def test_the_seed_alone_decides() -> None:
    whole = Augmentation(flip=True, crop=1, rand_augment=9)
    assert torch.equal(seeded(3, whole), seeded(3, whole))
    assert not torch.equal(seeded(3, whole), seeded(4, whole))


@pytest.mark.parametrize("settings", [Augmentation(mixup=0.4), Augmentation(cutmix=1.0)])
def test_a_mixed_image_is_made_of_two_in_the_shares_of_its_loss(settings: Augmentation) -> None:
    images = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)])
    labels = torch.tensor([4, 7])
    for seed in range(5):
        torch.manual_seed(seed)
        batch = augmentation.mixed(images, labels, settings)
        assert batch.labels.tolist() == [4, 7]
        assert batch.others.tolist() == [7, 4]
        # the mean of the first image is the share of the other one
        assert float(batch.images[0].mean()) == pytest.approx(1 - batch.share, abs=1e-6)
        assert float(batch.images[1].mean()) == pytest.approx(batch.share, abs=1e-6)


def test_nothing_is_mixed_where_nothing_is_asked_for() -> None:
    batch = augmentation.mixed(BATCH, torch.tensor([0, 1]), Augmentation(flip=True))
    assert batch.images is BATCH
    assert batch.share == 1.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"augmentation": Augmentation(crop=-1)}, "counts pixels"),
        ({"augmentation": Augmentation(rand_augment=31)}, "from 0 to 30"),
        ({"augmentation": Augmentation(crop=1, resized_crop=0.5)}, "two ways to cut"),
        ({"augmentation": Augmentation(resized_crop=1.5)}, "share of the area"),
        ({"augmentation": Augmentation(mixup=-0.1)}, "alphas"),
        ({"warmup": 3, "schedule": "cosine", "epochs": 3}, "fewer than the 3 epochs"),
        ({"warmup": 1}, "no warm-up of its own"),
        ({"ema": 1.0}, "below 1"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRecipe, match=words):
        Recipe(**settings)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(24, 2)
    )


IMAGES = torch.rand(12, 3, 5, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 2
RICH = Recipe(
    epochs=4,
    batch_size=4,
    optimizer="sgd",
    learning_rate=0.1,
    schedule="cosine",
    warmup=1,
    ema=0.9,
    label_smoothing=0.1,
    augmentation=Augmentation(flip=True, crop=1, mixup=0.2, cutmix=1.0),
)


class Kept:
    """A checkpoint in memory, as a file would hold it."""

    def __init__(self, state: Any = None) -> None:
        self.state, self.epochs = state, 0

    def load(self) -> Any:
        return self.state

    def save(self, state: Callable[[], dict[str, Any]]) -> None:
        import io

        buffer = io.BytesIO()
        torch.save(state(), buffer)
        buffer.seek(0)
        self.state = torch.load(buffer, weights_only=True)
        self.epochs += 1


class KilledError(Exception):
    pass


def fit(recipe: Recipe, **more: Any) -> dict[str, torch.Tensor]:
    return train(network, IMAGES, LABELS, recipe=recipe, seed=7, **more).state_dict()


@pytest.mark.parametrize(
    "recipe", [RICH, Recipe(epochs=4, batch_size=4), Recipe(epochs=4, schedule="constant")]
)
@pytest.mark.parametrize("last", [1, 2, 3])
def test_a_training_that_was_killed_goes_on_to_the_same_weights(recipe: Recipe, last: int) -> None:
    whole = fit(recipe)
    kept = Kept()

    def killed(epoch: int, epochs: int, loss: float) -> None:
        if epoch == last:
            raise KilledError

    with pytest.raises(KilledError):
        fit(recipe, checkpoint=kept, progress=killed)
    assert kept.state["epoch"] == last
    rows: list[int] = []
    again = fit(recipe, checkpoint=Kept(kept.state), progress=lambda e, *rest: rows.append(e))
    assert rows == list(range(last + 1, 5))
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_keeping_a_state_changes_nothing() -> None:
    kept = Kept()
    plain, watched = fit(RICH), fit(RICH, checkpoint=kept)
    assert all(torch.equal(plain[name], watched[name]) for name in plain)
    assert kept.epochs == 3  # not after the last epoch


def test_accuracy_is_that_of_the_rows_as_they_were_learned() -> None:
    rows: list[float] = []
    fit(Recipe(epochs=60, batch_size=4), watch=lambda epoch: rows.append(epoch.accuracy))
    assert all(0 <= each <= 1 for each in rows)
    assert rows[-1] == 1.0
    mixed: list[float] = []
    fit(RICH, watch=lambda epoch: mixed.append(epoch.accuracy))
    assert all(each != each for each in mixed)


def test_a_moving_average_is_that_of_the_steps() -> None:
    """Against an average taken from outside, after every step."""
    recipe = Recipe(epochs=1, batch_size=12, schedule="constant", ema=0.75)
    averaged, plain = fit(recipe), fit(Recipe(epochs=1, batch_size=12, schedule="constant"))
    torch.manual_seed(7)
    start = network().state_dict()
    for name, value in start.items():
        if value.is_floating_point():
            expected = 0.75 * value + 0.25 * plain[name]
            torch.testing.assert_close(averaged[name], expected)


def test_cosine_is_torchs_own() -> None:
    from audits.references import _cosine

    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
    for step in range(9):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(_cosine(0, 9, step))
        optimizer.step()
        theirs.step()


def test_the_recipe_is_a_plain_script_step_by_step() -> None:
    """The same training written out in plain PyTorch gives the same weights."""
    recipe = Recipe(
        epochs=3,
        batch_size=4,
        optimizer="sgd",
        learning_rate=0.1,
        weight_decay=5e-4,
        nesterov=False,
        schedule="cosine",
        augmentation=Augmentation(flip=True, crop=1),
    )
    ours = fit(recipe)
    torch.manual_seed(7)
    model = network().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
    order = torch.Generator().manual_seed(7)
    for _ in range(3):
        for rows in torch.randperm(12, generator=order).split(4):
            images = functional.pad(IMAGES[rows], [1] * 4)
            place = torch.randint(0, 3, (2, 4))
            images = torch.stack(
                [
                    image[:, place[0, n] : place[0, n] + 5, place[1, n] : place[1, n] + 4]
                    for n, image in enumerate(images)
                ]
            )
            flips = torch.rand(4) < 0.5
            images = torch.stack(
                [i.flip(-1) if f else i for i, f in zip(images, flips, strict=True)]
            )
            optimizer.zero_grad()
            functional.cross_entropy(model(images), LABELS[rows]).backward()
            optimizer.step()
            schedule.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(ours[name], value)


def test_settings_of_before_are_named_as_before() -> None:
    assert set(Recipe(epochs=3).content()) == {
        "epochs",
        "batch_size",
        "learning_rate",
        "weight_decay",
        "optimizer",
        "schedule",
        "label_smoothing",
        "precision",
    }
    assert Recipe.of_content(RICH.content()) == RICH


@pytest.mark.parametrize(
    "settings",
    [
        Augmentation(),
        Augmentation(crop=0, rand_augment=30),
        Augmentation(rand_augment=1),
        Augmentation(resized_crop=0.99),
        Augmentation(mixup=0.0, cutmix=0.0),
        Augmentation(crop=3),
    ],
)
def test_settings_at_their_bounds_are_in_order(settings: Augmentation) -> None:
    assert list(settings.problems()) == []


@pytest.mark.parametrize(
    "settings",
    [
        Augmentation(crop=-1),
        Augmentation(rand_augment=-1),
        Augmentation(rand_augment=31),
        Augmentation(resized_crop=-0.1),
        Augmentation(resized_crop=1.0),
        Augmentation(crop=1, resized_crop=0.5),
        Augmentation(mixup=-0.1),
        Augmentation(cutmix=-0.1),
    ],
)
def test_settings_beyond_them_have_one_problem(settings: Augmentation) -> None:
    assert len(list(settings.problems())) == 1


def test_by_default_nothing_is_done() -> None:
    plain = Augmentation()
    fields = (plain.flip, plain.crop, plain.resized_crop, plain.rand_augment)
    assert (*fields, plain.mixup, plain.cutmix) == (False, 0, 0.0, 0, 0.0, 0.0)
    assert seeded(0, plain) is BATCH


def test_rows_are_read_as_they_are_or_changed() -> None:
    rows = torch.tensor([1])
    assert torch.equal(augmentation.read(BATCH, rows, None), BATCH[1:])
    torch.manual_seed(0)
    read = augmentation.read(BATCH, rows, Augmentation(crop=1))
    assert torch.equal(read, seeded(0, Augmentation(crop=1), BATCH[1:]))

    class Own:
        """Images that are changed in a way of their own."""

        def altered(self, rows: torch.Tensor, how: Augmentation) -> torch.Tensor:
            return rows + how.crop

    own: Any = Own()
    assert augmentation.read(own, rows, Augmentation(crop=4)).tolist() == [5]


def test_a_crop_reaches_every_offset_on_both_axes() -> None:
    """Up to the padding to either side, and an image of its own offset each."""
    image = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3).expand(400, 1, 3, 3)
    moved = seeded(0, Augmentation(crop=1), image)
    padded = functional.pad(image[:1], [1] * 4)
    every = {
        tuple(padded[0, 0, r : r + 3, c : c + 3].flatten().tolist())
        for r in range(3)
        for c in range(3)
    }
    assert {tuple(each.flatten().tolist()) for each in moved} == every


def test_a_flip_takes_rows_below_a_half_of_what_is_drawn() -> None:
    torch.manual_seed(5)
    drawn = torch.rand(2) < 0.5
    flipped = seeded(5, Augmentation(flip=True))
    for image, before, own in zip(flipped, BATCH, drawn, strict=True):
        assert torch.equal(image, before.flip(-1) if own else before)


def test_the_torchvision_steps_are_its_own_image_by_image() -> None:
    from torchvision.transforms import v2

    torch.manual_seed(2)
    crop = v2.RandomResizedCrop([5, 4], scale=(0.3, 1.0), antialias=True)
    expected = torch.stack([crop(image) for image in BATCH])
    assert torch.equal(seeded(2, Augmentation(resized_crop=0.3)), expected)
    images = (BATCH * 120).byte()
    torch.manual_seed(2)
    change = v2.RandAugment(magnitude=9)
    expected = torch.stack([change(image) for image in images])
    assert torch.equal(seeded(2, Augmentation(rand_augment=9), images), expected)


@pytest.mark.parametrize("seed", range(8))
def test_a_mixed_up_batch_is_a_weighted_sum_with_the_next_row(seed: int) -> None:
    torch.manual_seed(seed)
    share = float(torch.distributions.Beta(0.4, 0.4).sample())
    torch.manual_seed(seed)
    batch = augmentation.mixed(BATCH, torch.tensor([4, 7]), Augmentation(mixup=0.4))
    assert batch.share == share
    torch.testing.assert_close(batch.images, share * BATCH + (1 - share) * BATCH.flip(0))


@pytest.mark.parametrize("seed", range(12))
def test_a_box_of_the_next_image_is_pasted_where_it_is_drawn(seed: int) -> None:
    """The box by hand: its centre anywhere, its sides by the root of its share, cut at edges."""
    images = torch.rand(3, 2, 9, 12, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(seed)
    share = float(torch.distributions.Beta(1.0, 1.0).sample())
    row, column = int(torch.randint(9, ())), int(torch.randint(12, ()))
    torch.manual_seed(seed)
    batch = augmentation.mixed(images, torch.tensor([4, 7, 9]), Augmentation(cutmix=1.0))
    side = (1 - share) ** 0.5
    tall, wide = int(9 * side / 2), int(12 * side / 2)
    inside = torch.zeros(9, 12, dtype=torch.bool)
    for r in range(9):
        for c in range(12):
            inside[r, c] = row - tall <= r < row + tall and column - wide <= c < column + wide
    assert torch.equal(batch.images, torch.where(inside, images.roll(1, 0), images))
    assert batch.share == pytest.approx(1 - float(inside.float().mean()))
    assert batch.others.tolist() == [9, 4, 7]


def test_with_both_half_of_the_batches_are_cut() -> None:
    """A pasted image holds pixels of two images as they are, a mixed one hardly any."""
    images = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)])
    cut = 0
    for seed in range(200):
        torch.manual_seed(seed)
        first = float(torch.rand(())) < 0.5
        torch.manual_seed(seed)
        both = Augmentation(mixup=1.0, cutmix=1.0)
        batch = augmentation.mixed(images, torch.tensor([0, 1]), both)
        pasted = bool(((batch.images == 0) | (batch.images == 1)).all())
        assert pasted is first
        cut += pasted
    assert 70 < cut < 130


def test_a_batch_is_left_alone_without_an_alpha() -> None:
    for settings in (None, Augmentation(), Augmentation(crop=1)):
        batch = augmentation.mixed(BATCH, torch.tensor([4, 7]), settings)
        assert batch.images is BATCH
        assert batch.labels is batch.others
        assert batch.share == 1.0
