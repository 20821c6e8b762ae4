"""Recipes by name: each builds its network for its data, and digits are learned in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from audits.references import Recipe, train
from flows.data import loaders
from flows.data.dataset import DataSpec
from flows.models import architectures, recipes
from flows.state.errors import RecipeError

SHAPES = {
    "digits": (10, (1, 8, 8)),
    "digits-vit": (10, (1, 8, 8)),
    "mnist": (10, (1, 28, 28)),
    "mnist5k": (10, (1, 28, 28)),
    "cifar10": (10, (3, 32, 32)),
    "cifar100": (100, (3, 32, 32)),
    "tiny-imagenet": (200, (3, 64, 64)),
    "default": (3, (3, 50, 40)),
}


def test_every_recipe_is_tested_here() -> None:
    assert set(SHAPES) == set(recipes.RECIPES)


@pytest.mark.parametrize("name", SHAPES)
def test_a_recipe_builds_a_network_for_its_images(name: str) -> None:
    recipe, (classes, shape) = recipes.get(name), SHAPES[name]
    network = architectures.build(recipe.architecture, classes, shape).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, *shape)).shape == (2, classes)


@pytest.mark.parametrize("name", SHAPES)
def test_the_bench_takes_a_recipe_as_it_is_written(name: str) -> None:
    recipe = recipes.get(name)
    assert recipe.training == Recipe(
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )


@pytest.mark.parametrize("name", sorted(loaders.LOADERS))
def test_every_named_data_set_has_a_recipe_of_its_own(name: str) -> None:
    assert recipes.of_data(name) == name


@pytest.mark.parametrize("name", ["imagefolder:pictures", "shop.data:load"])
def test_data_of_the_users_own_takes_the_default(name: str) -> None:
    assert recipes.of_data(name) == "default"


def test_an_unknown_recipe_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(
        RecipeError, match=r"'digit' is no recipe. Name one of digits, .*default, or a file"
    ):
        recipes.get("digit")


def test_digits_are_learned_to_98_in_100() -> None:
    data, recipe = loaders.load(DataSpec(name="digits")), recipes.get("digits")
    network = train(
        lambda: architectures.build(recipe.architecture, data.classes, data.input_shape),
        data.train_inputs,
        data.train_labels,
        recipe=recipe.training,
        seed=0,
    )
    with torch.inference_mode():
        right = network(data.test_inputs).argmax(1) == data.test_labels
    assert right.float().mean() >= 0.98


FILE = """\
apiVersion: damp/v1
kind: Recipe
architecture: shop:network
epochs: 7
optimizer: sgd
label_smoothing: 0.1
"""


def test_a_recipe_of_ones_own_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(FILE)
    recipe = recipes.get(str(path))
    assert recipe.architecture == "shop:network"
    assert recipe.training == Recipe(
        epochs=7,
        batch_size=64,
        learning_rate=5e-3,
        weight_decay=1e-2,
        optimizer="sgd",
        label_smoothing=0.1,
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("epochs: 7", ["line 4, ", "epochs", "greater than 0"]),
        ("optimizer: sgd", ["line 5, ", "optimizer", "'adamw' or 'sgd'"]),
        ("label_smoothing: 0.1", ["line 6, ", "label_smoothing"]),
        ("kind: Recipe", ["line 2, ", "kind"]),
    ],
)
def test_a_recipe_file_is_refused_with_line_and_key(
    tmp_path: Path, line: str, words: list[str]
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(FILE.replace(line, f"{line.split(':')[0]}: -3"))
    with pytest.raises(RecipeError) as caught:
        recipes.get(str(path))
    assert all(word in str(caught.value) for word in ["recipe.yaml", *words])


def test_an_unknown_key_of_a_recipe_file_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(FILE.replace("epochs", "epoch"))
    with pytest.raises(RecipeError, match="Did you mean `epochs`"):
        recipes.get(str(path))


def test_a_recipe_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        recipes.get(str(tmp_path / "recipe.yaml"))
