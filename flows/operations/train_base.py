"""Base models: trained by a recipe, registered with the version of their training data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.data.dataset import Dataset, DataSpec
from flows.state.files import canonical, digest_bytes
from flows.state.paths import Home

if TYPE_CHECKING:
    from torch import nn

    from flows.models.recipes import NamedRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """A base model as it was trained and registered.

    Attributes:
        name: In the registry.
        version: In the registry.
        weights: Path of the file.
        sha256: Of the weights.
        test_accuracy: Share of the test rows that it classifies correctly.
    """

    name: str
    version: str
    weights: str
    sha256: str
    test_accuracy: float

    def to_json(self) -> dict[str, Any]:
        """The fields of `damp train --json`."""
        return asdict(self)


def base_model(
    home: Home,
    *,
    name: str,
    data: str,
    data_root: Path | None,
    recipe: str | None,
    architecture: str | None,
    seed: int,
    preprocessing: str | None = None,
) -> BaseModel:
    """Train a classifier and register it; its alias `champion` is set where the name has none."""
    from flows import models
    from flows.data import loaders, versions
    from flows.models import preprocessing_sources, recipes
    from flows.registry import registration

    applied = preprocessing_sources.of_option(preprocessing)
    chosen = recipes.get(recipe or recipes.of_data(data))
    architecture = architecture or chosen.architecture
    root = str(data_root.resolve()) if data_root else None
    dataset = loaders.load(DataSpec(name=data, root=root, preprocessing=applied))
    version = versions.version(dataset, home).version
    network = _trained(home, dataset, version, chosen, architecture, seed)
    weights = home.models / f"{name}-seed-{seed}.safetensors"
    sha256 = models.save_weights(network, weights, {"damp.seed": str(seed)})
    registered = registration.register_base(
        home,
        name=name,
        weights=weights,
        architecture=architecture,
        classes=dataset.classes,
        input_shape=dataset.input_shape,
        data_version=version,
        data_name=data.partition(":")[0],
        preprocessing=applied,
    )
    return BaseModel(
        name=registered.name,
        version=str(registered.version),
        weights=str(weights),
        sha256=sha256,
        test_accuracy=accuracy(network, dataset),
    )


def _trained(
    home: Home,
    dataset: Dataset,
    version: str,
    recipe: NamedRecipe,
    architecture: str,
    seed: int,
) -> nn.Module:
    """A classifier trained as the recipe says; a training that was killed goes on."""
    from flows.models import trainings

    regime = trainings.Regime.of(recipe)
    applied = dataset.preprocessing.digest() if dataset.preprocessing else None
    identity = [version, applied, architecture, regime.recipe.content(), regime.content(), seed]
    return trainings.run(
        regime,
        architecture=architecture,
        classes=dataset.classes,
        input_shape=dataset.input_shape,
        inputs=dataset.train_inputs,
        labels=dataset.train_labels,
        seed=seed,
        kept=home.trainings / f"base-{digest_bytes(canonical(identity))}.pt",
    )


def accuracy(network: nn.Module, dataset: Dataset) -> float:
    """Share of the test rows that it classifies correctly."""
    import torch

    from audits.images import at_once

    with torch.inference_mode():
        size = at_once(dataset.test_inputs, 1000)
        parts = zip(dataset.test_inputs.split(size), dataset.test_labels.split(size), strict=True)
        right = sum(int((network(x).argmax(1) == y).sum()) for x, y in parts)
    return right / len(dataset.test_labels)
