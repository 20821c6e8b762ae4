"""How models are trained, by name: the base model of the demo, and every retrained reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.errors import RecipeError

if TYPE_CHECKING:
    from audits.references import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRecipe:
    """An architecture and how it is trained."""

    architecture: str
    epochs: int
    batch_size: int = 64
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2

    @property
    def training(self) -> Recipe:
        """The recipe as the bench takes it."""
        from audits.references import Recipe

        return Recipe(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )


RECIPES: Mapping[str, NamedRecipe] = {
    "digits": NamedRecipe(architecture="damp:cnn", epochs=30),
    "digits-vit": NamedRecipe(architecture="damp:vit", epochs=60, learning_rate=3e-3),
    "mnist5k": NamedRecipe(architecture="damp:cnn", epochs=15),
    "mnist": NamedRecipe(architecture="damp:cnn", epochs=4, batch_size=128),
    "cifar10": NamedRecipe(architecture="torchvision:resnet18", epochs=20, batch_size=128),
    "cifar100": NamedRecipe(architecture="torchvision:resnet18", epochs=40, batch_size=128),
    "tiny-imagenet": NamedRecipe(architecture="torchvision:resnet18", epochs=40, batch_size=128),
    "default": NamedRecipe(architecture="damp:cnn", epochs=20),
}
"""A recipe of one's own is a line here; a request names it."""


def get(name: str) -> NamedRecipe:
    """The recipe of that name.

    Raises:
        RecipeError: There is none.
    """
    if name not in RECIPES:
        raise RecipeError(f"'{name}' is no recipe. Name one of {', '.join(RECIPES)}.")
    return RECIPES[name]


def of_data(data: str) -> str:
    """The recipe that belongs to a data set: the one of its name, else `default`."""
    return data if data in RECIPES else "default"
