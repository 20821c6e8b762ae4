"""Every model that the validity study trains, each once, kept by what decides it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import nn

from audits.references import Recipe, train
from benchmarks.validity import data
from benchmarks.validity.data import CACHE
from flows.data.dataset import Dataset
from flows.models import architectures, weights
from flows.models.small_nets import SmallCNN

WIDE = "benchmarks.validity.nets:wide"
REFERENCES = tuple(range(1000, 1005))
HONEST = tuple(range(2000, 2003))
"""Retrained models that are candidates: they must pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A data set, a network and how it is trained.

    Attributes:
        name: Short, part of an event's name.
        data: Function of `data` that gives the data set.
        unseen: Function that gives rows of classes nobody trained on, where there are some.
        architecture: As a request names it.
        recipe: How to train.
        scopes: Classes to forget, one event each (for each seed).
        seeds: Of the original models.
        small: Whether its images are, so that copies can be fine-tuned of every candidate.
    """

    name: str
    data: str
    unseen: str | None = None
    architecture: str = "damp:cnn"
    recipe: Recipe
    scopes: tuple[tuple[int, ...], ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    small: bool = True

    def dataset(self) -> Dataset:
        """The data set, kept in memory by its own module."""
        made: Dataset = getattr(data, self.data)()
        return made

    def build(self) -> nn.Module:
        """A fresh network."""
        dataset = self.dataset()
        return architectures.build(self.architecture, dataset.classes, dataset.input_shape)


DIGITS = Recipe(epochs=30, learning_rate=5e-3)
MNIST = Recipe(epochs=6, batch_size=128, learning_rate=5e-3, precision="bfloat16")
SETTINGS = (
    Setting(
        name="digits", data="digits", recipe=DIGITS, scopes=((3,), (8,), (0,), (5,), (1,), (3, 8))
    ),
    Setting(
        name="digits7",
        data="digits_seven",
        unseen="digits_unseen",
        recipe=DIGITS,
        scopes=((3,), (8,), (0,), (5,)),
    ),
    Setting(
        name="digitsvit",
        data="digits",
        architecture="damp:vit",
        recipe=Recipe(epochs=40, learning_rate=3e-3),
        scopes=((3,), (8,)),
        seeds=(0, 1),
    ),
    Setting(
        name="mnist",
        data="mnist",
        recipe=MNIST,
        scopes=((3,), (8,), (0,)),
        seeds=(0, 1),
        small=False,
    ),
    Setting(
        name="cifar",
        data="cifar",
        unseen="cifar_unseen",
        recipe=Recipe(epochs=8, batch_size=128, learning_rate=5e-3, precision="bfloat16"),
        scopes=((3,),),
        seeds=(0, 1),
        small=False,
    ),
)


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
        told = [
            self.setting.data,
            self.architecture or self.setting.architecture,
            {k: v for k, v in asdict(self.recipe).items() if v != "float32"},
            self.seed,
            sorted(self.exclude),
        ]
        key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:20]
        return CACHE / "models" / f"{self.setting.name}-{key}.safetensors"

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
    """The yardstick of an event."""
    return [Training(setting=setting, seed=seed, exclude=scope) for seed in REFERENCES]


def honest(setting: Setting, scope: tuple[int, ...]) -> dict[str, Training]:
    """Candidates that never saw the class: other seeds, other lengths."""
    found = {
        f"retrained_{seed}": Training(setting=setting, seed=seed, exclude=scope) for seed in HONEST
    }
    for seed, (word, share) in enumerate((("shorter", 0.67), ("longer", 1.5)), start=2100):
        epochs = max(1, round(setting.recipe.epochs * share))
        found[f"retrained_{word}"] = Training(
            setting=setting, seed=seed, exclude=scope, epochs=epochs
        )
    return found


def stranger(setting: Setting, scope: tuple[int, ...]) -> Training:
    """A model of another architecture that never saw the class."""
    return Training(setting=setting, seed=3000, exclude=scope, architecture=WIDE)


def wide(classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """The small network, half as wide again."""
    return SmallCNN(input_shape[0], classes, width=24)


def everything() -> Iterator[Training]:
    """All trainings of the study: originals first, then what each scope needs."""
    for setting in SETTINGS:
        yield from (original(setting, seed) for seed in setting.seeds)
        for scope in setting.scopes:
            yield from references(setting, scope)
            yield from honest(setting, scope).values()
            yield stranger(setting, scope)


def main() -> None:
    """Train what is not there yet."""
    jobs = list(everything())
    for number, job in enumerate(jobs, 1):
        if not job.path.exists():
            print(f"[{number}/{len(jobs)}] {job.setting.name} seed {job.seed}", flush=True)
            job.model()


if __name__ == "__main__":
    main()
