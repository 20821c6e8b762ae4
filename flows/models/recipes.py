"""How models are trained, by name or by file: base models, and every retrained reference.

apiVersion: damp/v1
kind: Recipe
architecture: shop:network      # damp:cnn, torchvision:NAME, package.module:callable
epochs: 30
batch_size: 64
learning_rate: 0.005
schedule: cosine
warmup: 2
augmentation: {flip: true, crop: 4}
start: pretrained.safetensors   # or none: from random weights
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from compliance.formats.validation import Strict
from flows.state import import_path
from flows.state.errors import RecipeError, RecipeFileError

if TYPE_CHECKING:
    from audits.references import Recipe

ENDINGS = (".yaml", ".yml")


def _safe_start(given: str) -> str:
    if not given.endswith(".safetensors"):
        raise ValueError("only .safetensors files are read: a pickle can run code")
    return given


def _importable(given: str) -> str:
    if not import_path.is_import_path(given):
        raise ValueError("a trainer of your own is named as package.module:callable")
    return given


class AugmentationKeys(Strict):
    """What is done to images at random; `audits.augmentation.Augmentation` explains the keys."""

    flip: bool = False
    crop: Annotated[int, Field(ge=0)] = 0
    resized_crop: Annotated[float, Field(ge=0, lt=1)] = 0.0
    rand_augment: Annotated[int, Field(ge=0, le=30)] = 0
    mixup: Annotated[float, Field(ge=0)] = 0.0
    cutmix: Annotated[float, Field(ge=0)] = 0.0


class NamedRecipe(Strict):
    """An architecture and how it is trained; `audits.references.Recipe` explains the settings.

    `start` (a safetensors file), `freeze` (patterns of parameters' names) and `train` (the user's
    own trainer) are those of `flows.models.trainings`.
    """

    architecture: Annotated[str, Field(min_length=1)]
    epochs: Annotated[int, Field(gt=0)]
    batch_size: Annotated[int, Field(gt=1)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 5e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    optimizer: Literal["adamw", "sgd"] = "adamw"
    schedule: Literal["onecycle", "constant", "cosine"] = "onecycle"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = True
    warmup: Annotated[int, Field(ge=0)] = 0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augmentation: AugmentationKeys | None = None
    start: Annotated[str, AfterValidator(_safe_start)] | None = None
    freeze: Annotated[tuple[str, ...], Field(strict=False)] = ()
    train: Annotated[str, AfterValidator(_importable)] | None = None

    @property
    def training(self) -> Recipe:
        """The settings without the architecture, as the audits' trainer takes them."""
        from audits.references import Recipe

        settings = {field.name for field in fields(Recipe)}
        return Recipe.of_content(self.model_dump(include=settings))


class RecipeFile(NamedRecipe):
    """A recipe as a user writes it."""

    apiVersion: Literal["damp/v1"]  # noqa: N815 - the key in the file
    kind: Literal["Recipe"]


_resnet = partial(NamedRecipe, architecture="torchvision:resnet18", batch_size=128)

RECIPES: Mapping[str, NamedRecipe] = {
    "digits": NamedRecipe(architecture="damp:cnn", epochs=30),
    "digits-vit": NamedRecipe(architecture="damp:vit", epochs=60, learning_rate=3e-3),
    "mnist5k": NamedRecipe(architecture="damp:cnn", epochs=15),
    "mnist": NamedRecipe(architecture="damp:cnn", epochs=4, batch_size=128),
    "cifar10": _resnet(epochs=20),
    "cifar100": _resnet(epochs=40),
    "tiny-imagenet": _resnet(epochs=40),
    "default": NamedRecipe(architecture="damp:cnn", epochs=20),
}
"""Recipes that a request can name, one entry each; one of the user's own is a YAML file."""


def get(name: str) -> NamedRecipe:
    """The recipe of that name, or in that file.

    Raises:
        RecipeError: There is none, or the file has mistakes: all of them, with line and key.
    """
    if is_file(name):
        return _read(Path(name))
    if name not in RECIPES:
        raise RecipeError(
            f"'{name}' is no recipe. Name one of {', '.join(RECIPES)}, or a file of your own that "
            "ends in .yaml."
        )
    return RECIPES[name]


def is_file(name: str) -> bool:
    """Whether a recipe's name is that of a file.

    >>> is_file("digits"), is_file("shop/recipe.yaml")
    (False, True)
    """
    return name.endswith(ENDINGS)


def code_of(name: str) -> list[str]:
    """What a recipe names that may be somebody's code: its architecture and its trainer."""
    recipe = get(name)
    return [recipe.architecture, *([recipe.train] if recipe.train else [])]


def of_data(data: str) -> str:
    """The recipe that belongs to a data set: the one of its name, else `default`."""
    return data if data in RECIPES else "default"


def _read(path: Path) -> NamedRecipe:
    from audits.errors import BadRecipe
    from compliance.formats import yaml_reader
    from compliance.formats.validation import check

    recipe = check(RecipeFile, yaml_reader.read(path, RecipeFileError), RecipeFileError)
    try:
        _ = recipe.training  # the trainer has rules of its own
    except BadRecipe as error:
        raise RecipeError(f"{path}: {error}") from error
    if recipe.start is None:
        return recipe
    # from the recipe's folder: whoever reads it may work in another
    start = str((path.parent / recipe.start).resolve())
    return recipe.model_copy(update={"start": start})
