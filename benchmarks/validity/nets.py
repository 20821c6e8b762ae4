"""Every model that the validity study trains, each once, kept by what decides it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from audits.references import Recipe, train
from benchmarks.validity import data
from compliance.documents.policy import Policy, load_policy
from flows.data.dataset import Dataset
from flows.models import architectures, weights

RESIDUAL = "benchmarks.validity.nets:residual"
CNN = "damp:cnn"
FIRST_REFERENCE = 1000
"""Seed of the first reference; the policy says how many there are."""
SMALL_POLICY, POLICY = "demo-v3", "default-v5"
"""By the number of held-out images of a class: the sets of 8x8 digits have some ninety."""
MANY = 300
"""Held-out images of a class from which `POLICY` is made for a data set."""
HONEST = (2000, 2001)
"""Retrained models that are candidates: they must pass."""


def singles(*classes: int) -> tuple[tuple[int, ...], ...]:
    """Scopes of one class each."""
    return tuple((c,) for c in classes)


SEEN = (
    *("cifar10-0-seed0", "cifar10-residual-2-seed0"),
    *("cifar100-0-seed0", "cifar100-residual-1-seed0"),
    *("tiny-0-seed0", "tiny-residual-1-seed0"),
    *("cifar10-1-seed1", "cifar100-2-seed1"),
    *("cifar10-residual-f32-4-seed0", "tiny-residual-f32-8-seed0"),
    *("cifar10-f32-6-seed0", "cifar100-f32-3-seed1", "tiny-f32-7-seed3"),
)
"""Events that were measured before the policies or the presets of today were chosen: they cannot
confirm these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A data set, a network and how it is trained.

    Attributes:
        name: Short, part of an event's name.
        data: Function of `data` that gives the data set.
        unseen: Function that gives rows of classes nobody trained on, where there are some.
        architecture: As a request names it.
        recipe: How to train.
        other: An architecture of honest candidates that differs from the original's.
        scopes: Classes to forget, one event each, each with an original of its own.
        choice: Whether margins were set on this data; such sets are counted apart.
        small: Whether its images are, so that copies can be fine-tuned of every candidate.
    """

    name: str
    data: str
    unseen: str | None = None
    architecture: str = "damp:cnn"
    recipe: Recipe
    other: str = RESIDUAL
    scopes: tuple[tuple[int, ...], ...]
    choice: bool = False
    small: bool = False

    def dataset(self) -> Dataset:
        """The data set, kept in memory by its own module."""
        dataset: Dataset = getattr(data, self.data)()
        return dataset

    @property
    def images(self) -> int:
        """Held-out images of the class that has fewest."""
        counts = self.dataset().test_labels.bincount()
        return int(counts[counts > 0].min())

    @property
    def policy(self) -> Policy:
        """The policy in force for data of this size."""
        return load_policy(POLICY if self.images >= MANY else SMALL_POLICY)

    def build(self) -> nn.Module:
        """A fresh network."""
        dataset = self.dataset()
        return architectures.build(self.architecture, dataset.classes, dataset.input_shape)


DIGITS = Recipe(epochs=30, learning_rate=5e-3)
MNIST = Recipe(epochs=6, batch_size=128, learning_rate=5e-3, precision="bfloat16")
PHOTOGRAPHS = Recipe(epochs=8, batch_size=64, learning_rate=5e-3, precision="bfloat16")
SINGLE_PRECISION = replace(PHOTOGRAPHS, precision="float32")
"""For processors that compute bfloat16 in software, twenty times as slowly. Its models are others:
such events have names and scopes of their own."""
SETTINGS = (
    Setting(
        name="cifar10",
        data="cifar10",
        recipe=PHOTOGRAPHS,
        scopes=singles(0, 1, 3, 5, 7, 8, 2, 4, 6, 9),
    ),
    Setting(
        name="cifar10-residual",
        data="cifar10",
        architecture=RESIDUAL,
        other=CNN,
        recipe=PHOTOGRAPHS,
        scopes=singles(2, 4, 6, 8, 9, 0, 1, 3),
    ),
    Setting(name="cifar100", data="cifar100", recipe=PHOTOGRAPHS, scopes=singles(0, 2, 4, 6, 8, 9)),
    Setting(
        name="cifar100-residual",
        data="cifar100",
        architecture=RESIDUAL,
        other=CNN,
        recipe=PHOTOGRAPHS,
        scopes=singles(1, 3, 5, 7, 9),
    ),
    Setting(name="tiny", data="tiny", recipe=PHOTOGRAPHS, scopes=singles(0, 2, 4, 6, 8)),
    Setting(
        name="tiny-residual",
        data="tiny",
        architecture=RESIDUAL,
        other=CNN,
        recipe=PHOTOGRAPHS,
        scopes=singles(1, 3, 5, 7, 9),
    ),
    Setting(name="tiny-f32", data="tiny", recipe=SINGLE_PRECISION, scopes=singles(1, 3, 5, 7)),
    Setting(
        name="tiny-residual-f32",
        data="tiny",
        architecture=RESIDUAL,
        other=CNN,
        recipe=SINGLE_PRECISION,
        scopes=singles(8, 0, 2, 4),
    ),
    Setting(
        name="cifar10-residual-f32",
        data="cifar10",
        architecture=RESIDUAL,
        other=CNN,
        recipe=SINGLE_PRECISION,
        scopes=singles(4, 5, 7),
    ),
    Setting(
        name="cifar100-residual-f32",
        data="cifar100",
        architecture=RESIDUAL,
        other=CNN,
        recipe=SINGLE_PRECISION,
        scopes=singles(0, 2),
    ),
    Setting(name="cifar100-f32", data="cifar100", recipe=SINGLE_PRECISION, scopes=singles(1, 3)),
    Setting(name="cifar10-f32", data="cifar10", recipe=SINGLE_PRECISION, scopes=singles(6)),
    Setting(
        name="digits",
        data="digits",
        recipe=DIGITS,
        scopes=(*singles(3, 8, 0, 5, 1), (3, 8)),
        choice=True,
        small=True,
    ),
    Setting(
        name="digits7",
        data="digits_seven",
        unseen="digits_unseen",
        recipe=DIGITS,
        scopes=singles(3, 8, 0, 5),
        choice=True,
        small=True,
    ),
    Setting(
        name="digitsvit",
        data="digits",
        architecture="damp:vit",
        other=CNN,
        recipe=Recipe(epochs=40, learning_rate=3e-3),
        scopes=singles(3, 8),
        choice=True,
        small=True,
    ),
    Setting(name="mnist", data="mnist", recipe=MNIST, scopes=singles(3, 8, 0), choice=True),
)
CLAIMED = Setting(
    name="cifar",
    data="cifar",
    unseen="cifar_unseen",
    recipe=Recipe(epochs=8, batch_size=128, learning_rate=5e-3, precision="bfloat16"),
    scopes=singles(3),
)
"""Of `benchmarks.claim`: what a claim audit costs is measured on the same nets as before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One model to train.

    Attributes:
        setting: Data, network, recipe.
        seed: Of initialisation and order.
        exclude: Classes left out.
        epochs: Instead of the recipe's.
        architecture: Instead of the setting's.
    """

    setting: Setting
    seed: int
    exclude: tuple[int, ...] = ()
    epochs: int | None = None
    architecture: str | None = None

    def build(self) -> nn.Module:
        """A fresh network."""
        dataset = self.setting.dataset()
        named = self.architecture or self.setting.architecture
        return architectures.build(named, dataset.classes, dataset.input_shape)

    @property
    def recipe(self) -> Recipe:
        recipe = self.setting.recipe
        return replace(recipe, epochs=self.epochs) if self.epochs else recipe

    @property
    def path(self) -> Path:
        identity = [
            self.setting.data,
            self.architecture or self.setting.architecture,
            {k: v for k, v in asdict(self.recipe).items() if v != "float32"},
            self.seed,
            sorted(self.exclude),
        ]
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:20]
        return data.cache() / "models" / f"{self.setting.name}-{key}.safetensors"

    def model(self) -> nn.Module:
        """The trained model, from the cache or made now."""
        dataset = self.setting.dataset()
        if not self.path.exists():
            trained = train(
                self.build,
                dataset.train_inputs,
                dataset.train_labels,
                recipe=self.recipe,
                seed=self.seed,
                exclude=self.exclude,
            )
            weights.save_weights(trained, self.path, {})
        network, _ = weights.load_weights(
            self.path,
            architecture=self.architecture or self.setting.architecture,
            classes=dataset.classes,
            input_shape=dataset.input_shape,
        )
        return network.eval()


def original(setting: Setting, seed: int) -> Training:
    """The model before."""
    return Training(setting=setting, seed=seed)


def references(setting: Setting, scope: tuple[int, ...]) -> list[Training]:
    """The yardstick of an event, as many as its policy asks for."""
    seeds = range(FIRST_REFERENCE, FIRST_REFERENCE + setting.policy.references)
    return [Training(setting=setting, seed=seed, exclude=scope) for seed in seeds]


def honest(setting: Setting, scope: tuple[int, ...]) -> dict[str, Training]:
    """Candidates that never saw the class: other seeds, other lengths."""
    trainings = {
        f"retrained_{seed}": Training(setting=setting, seed=seed, exclude=scope) for seed in HONEST
    }
    trainings["retrained_longer"] = Training(
        setting=setting, seed=2100, exclude=scope, epochs=round(1.5 * setting.recipe.epochs)
    )
    trainings["retrained_elsewhere"] = Training(
        setting=setting, seed=3000, exclude=scope, architecture=setting.other
    )
    return trainings


class Residual(nn.Module):
    """A residual network of three blocks and a pooled last map, for images from 8x8 to 64x64.

    Args:
        channels: Of the images.
        classes: Outputs.
        width: Channels of the first block; the others have twice and four times as many.
    """

    def __init__(self, channels: int, classes: int, *, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.block1 = ResidualBlock(width, width)
        self.block2 = ResidualBlock(width, 2 * width)
        self.block3 = ResidualBlock(2 * width, 4 * width)
        self.head = nn.Linear(4 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, (B, classes), of images, (B, channels, height, width)."""
        x = functional.relu(self.norm(self.stem(images)))
        if images.shape[-1] > 16:
            x = functional.max_pool2d(x, 2)
        return self.head(self.block3(self.block2(self.block1(x))).mean((2, 3)))


class ResidualBlock(nn.Module):
    """Two convolutions with batch norm around a skip; half the size where the width grows."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        stride = 1 if inside == outside else 2
        self.conv1 = nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outside)
        self.skip = nn.Conv2d(inside, outside, 1, stride=stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, outside, h, w) of (B, inside, h', w')."""
        inner = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.skip(x) + self.norm2(self.conv2(inner)))


def residual(classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """A small residual network, as a request or claim can name it."""
    return Residual(input_shape[0], classes)
