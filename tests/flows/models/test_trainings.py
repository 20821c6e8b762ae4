"""A training as its recipe says: its start, what stays frozen, whose trainer, and kills."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from flows.data import loaders
from flows.data.dataset import Dataset, DataSpec
from flows.models import architectures, recipes, trainings
from flows.state.errors import ModelError, RecipeError
from flows.state.paths import Home
from flows.steps import references
from flows.steps.references import Training

Write = Callable[[str], str]
SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return loaders.load(DataSpec(name="digits"))


def recipe(folder: Path, **keys: Any) -> str:
    content = {
        "apiVersion": "damp/v1",
        "kind": "Recipe",
        "architecture": "damp:cnn",
        "epochs": 1,
        **keys,
    }
    file = folder / "recipe.yaml"
    file.write_text(json.dumps(content))
    return str(file)


def regime(folder: Path, **keys: Any) -> trainings.Regime:
    return trainings.Regime.of(recipes.get(recipe(folder, **keys)))


def run(how: trainings.Regime, data: Dataset, seed: int = 0, **more: Any) -> torch.nn.Module:
    return trainings.run(
        how,
        architecture="damp:cnn",
        classes=10,
        input_shape=SHAPE,
        inputs=data.train_inputs[:200],
        labels=data.train_labels[:200],
        seed=seed,
        **more,
    )


def pretrained(folder: Path, classes: int = 4, shape: tuple[int, ...] = SHAPE) -> Path:
    torch.manual_seed(99)
    network = architectures.build("damp:cnn", classes, shape)
    save_file(network.state_dict(), folder / "pretrained.safetensors")
    return folder / "pretrained.safetensors"


def test_a_start_gives_every_weight_but_those_of_another_head(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    held = load_file(pretrained(tmp_path))
    network = architectures.build("damp:cnn", 10, SHAPE)
    how = regime(tmp_path, start="pretrained.safetensors")
    assert how.start is not None
    trainings.load_start(network, how.start, "damp:cnn")
    state = network.state_dict()
    same = {name for name in held if torch.equal(held[name], state[name])}
    assert set(held) - same == {"fc2.weight", "fc2.bias"}


def test_a_start_of_as_many_classes_gives_its_head_too(tmp_path: Path) -> None:
    pretrained(tmp_path, classes=10)
    network = architectures.build("damp:cnn", 10, SHAPE)
    how = regime(tmp_path, start="pretrained.safetensors")
    assert how.start is not None
    before = network.state_dict()["fc2.weight"].clone()
    trainings.load_start(network, how.start, "damp:cnn")
    assert not torch.equal(network.state_dict()["fc2.weight"], before)


def test_a_frozen_part_stays_as_it_started(tmp_path: Path, digits: Dataset) -> None:
    from safetensors.torch import load_file

    held = load_file(pretrained(tmp_path))
    how = regime(tmp_path, start="pretrained.safetensors", freeze=["conv*", "bn*"])
    state = run(how, digits).state_dict()
    assert torch.equal(state["conv1.weight"], held["conv1.weight"])
    assert torch.equal(state["bn1.weight"], held["bn1.weight"])
    assert not torch.equal(state["fc1.weight"], held["fc1.weight"])


def _unsafe(folder: Path) -> None:
    (folder / "pretrained.safetensors").write_bytes(b"\x80\x04pickle")


def _cut(folder: Path) -> None:
    file = pretrained(folder)
    file.write_bytes(file.read_bytes()[:-100])


def _infinite(folder: Path) -> None:
    network = architectures.build("damp:cnn", 10, SHAPE)
    state = network.state_dict()
    state["conv1.weight"] = state["conv1.weight"] * float("inf")
    save_file(state, folder / "pretrained.safetensors")


BAD_START: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another architecture": (
        lambda folder: save_file(
            architectures.build("damp:vit", 10, SHAPE).state_dict(),
            folder / "pretrained.safetensors",
        ),
        "is no start for damp:cnn",
    ),
    "another number of channels": (
        lambda folder: pretrained(folder, shape=(3, 8, 8)),
        "is no start for damp:cnn: conv1.weight",
    ),
    "a pickle": (_unsafe, "pickle"),
    "a file that is cut short": (_cut, "damaged"),
    "values that are not finite": (_infinite, "not finite"),
}


@pytest.mark.parametrize("name", BAD_START)
def test_a_file_that_is_no_start_is_refused(name: str, tmp_path: Path, digits: Dataset) -> None:
    make, words = BAD_START[name]
    make(tmp_path)
    with pytest.raises(ModelError, match=words):
        run(regime(tmp_path, start="pretrained.safetensors"), digits)


def test_a_start_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="not there"):
        regime(tmp_path, start="none.safetensors")


def test_a_start_that_changed_since_is_refused(tmp_path: Path, digits: Dataset) -> None:
    pretrained(tmp_path)
    how = regime(tmp_path, start="pretrained.safetensors")
    pretrained(tmp_path, classes=5)
    with pytest.raises(ModelError, match="has changed since"):
        run(how, digits)


@pytest.mark.parametrize(
    ("freeze", "words"), [(["backbone.*"], "no such parameter"), (["*"], "every parameter")]
)
def test_patterns_that_freeze_nothing_or_all_are_refused(
    freeze: list[str], words: str, tmp_path: Path, digits: Dataset
) -> None:
    with pytest.raises(RecipeError, match=words):
        run(regime(tmp_path, freeze=freeze), digits)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"start": "model.pt"}, "pickle"),
        ({"train": "shop trainer"}, "package.module:callable"),
        ({"augmentation": {"flp": True}}, "Did you mean `flip`"),
        ({"warmup": 1}, "no warm-up of its own"),
        ({"schedule": "cosin"}, "cosine"),
    ],
)
def test_mistakes_of_a_recipe_are_named(keys: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=words):
        recipes.get(recipe(tmp_path, **keys))


TRAINER = """
import torch
from torch.utils.data import DataLoader

def fit(network, rows, seed, device, progress):
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    order = torch.Generator().manual_seed(seed)
    for images, labels in DataLoader(rows, batch_size=50, shuffle=True, generator=order):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    progress(1, 1, 0.5)
"""


def test_a_trainer_of_ones_own_trains_the_network_that_it_is_given(
    tmp_path: Path, digits: Dataset, users_module: Write
) -> None:
    how = regime(tmp_path, train=f"{users_module(TRAINER)}:fit")
    one, same, other = (run(how, digits, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["fc1.weight"], other["fc1.weight"])


def test_excluded_rows_do_not_reach_the_trainer(
    tmp_path: Path, digits: Dataset, users_module: Write
) -> None:
    text = TRAINER.replace(
        "    network.train()",
        "    assert 3 not in rows.labels and len(rows) > 150\n    network.train()",
    )
    run(regime(tmp_path, train=f"{users_module(text)}:fit"), digits, exclude=[3])


BAD_TRAINER = {
    "raises": (TRAINER.replace("network.train()", "raise KeyError('lost')"), "lost"),
    "ends the process": (TRAINER.replace("network.train()", "exit(3)"), "sys.exit"),
    "takes other parameters": (TRAINER.replace("seed, device", "device"), "these parameters"),
    "returns no network": (TRAINER + "    return 'done'\n", "returned a str"),
    "returns other classes": (
        TRAINER + "    network.fc2 = torch.nn.Linear(64, 3)\n",
        "its 10 outputs",
    ),
    "learns nothing finite": (
        TRAINER + "    network.fc2.bias.data.fill_(float('nan'))\n",
        "10 finite outputs",
    ),
}


@pytest.mark.parametrize("name", BAD_TRAINER)
def test_a_trainer_that_fails_is_refused(
    name: str, tmp_path: Path, digits: Dataset, users_module: Write
) -> None:
    text, words = BAD_TRAINER[name]
    with pytest.raises(RecipeError, match=words):
        run(regime(tmp_path, train=f"{users_module(text)}:fit"), digits)


def training(named: str) -> Training:
    return Training(
        spec=DataSpec(name="digits"),
        data_version="0" * 32 + ".dir",
        classes=10,
        architecture="damp:cnn",
        recipe=named,
        forget=(3,),
        retired=(),
    )


def test_a_trainer_that_ignores_its_seed_is_refused(
    home: Home, tmp_path: Path, users_module: Write
) -> None:
    text = TRAINER.replace("network.train()", "torch.manual_seed(0)").replace(
        "optimizer = ",
        "[p.data.fill_(0.01) for p in network.parameters()]\n    optimizer = ",
    )
    text = text.replace("manual_seed(seed)", "manual_seed(0)")
    named = recipe(tmp_path, train=f"{users_module(text)}:fit")
    with pytest.raises(RecipeError, match=r"seeds 1000 and 1001 .* ignores its seed"):
        references.train(home, training(named), references=2)


def test_models_are_named_by_all_that_decides_them(home: Home, tmp_path: Path) -> None:
    pretrained(tmp_path)
    names = []
    for keys in (
        {},
        {"start": "pretrained.safetensors"},
        {"freeze": ["conv1*"]},
        {"augmentation": {"flip": True}},
        {"ema": 0.9},
    ):
        names.append(training(recipe(tmp_path, **keys)).reference(home, 1000).path.name)
    assert len(set(names)) == len(names)


def test_a_model_of_a_recipe_of_before_keeps_its_name(home: Home) -> None:
    """Keys of what names it, as the version before wrote them."""
    job = training("digits").reference(home, 1000)
    assert job.content() == {
        "architecture": "damp:cnn",
        "classes": 10,
        "exclude": [3],
        "data": "0" * 32 + ".dir",
        "recipe": {
            "epochs": 30,
            "batch_size": 64,
            "learning_rate": 5e-3,
            "weight_decay": 1e-2,
            "optimizer": "adamw",
            "schedule": "onecycle",
            "label_smoothing": 0.0,
            "precision": "float32",
        },
        "seed": 1000,
    }


def test_a_kill_costs_one_epoch_and_no_byte(
    tmp_path: Path, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainings, "KEPT_EVERY", 0.0)
    how, kept = regime(tmp_path, epochs=4), tmp_path / "kept.pt"
    whole = run(how, digits).state_dict()

    class Killed(BaseException):
        pass

    epochs: list[int] = []
    show = trainings._Shown.__call__

    def dies(self: Any, epoch: Any) -> None:
        epochs.append(epoch.number)
        if len(epochs) == 2:
            raise Killed
        show(self, epoch)

    monkeypatch.setattr(trainings._Shown, "__call__", dies)
    with pytest.raises(Killed):
        run(how, digits, kept=kept)
    assert kept.exists()
    again = run(how, digits, kept=kept).state_dict()
    assert epochs == [1, 2, 3, 4]
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert not kept.exists()


def test_a_damaged_state_costs_time_and_nothing_else(tmp_path: Path, digits: Dataset) -> None:
    how, kept = regime(tmp_path, epochs=2), tmp_path / "kept.pt"
    kept.write_bytes(b"PK half a state")
    whole, again = run(how, digits).state_dict(), run(how, digits, kept=kept).state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_state_that_holds_code_is_not_run(tmp_path: Path, digits: Dataset) -> None:
    import os

    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    kept = tmp_path / "kept.pt"
    torch.save({"epoch": Evil()}, kept)
    run(regime(tmp_path, epochs=1), digits, kept=kept)
    assert not (tmp_path / "ran").exists()


def test_progress_says_epoch_accuracy_and_time_left(
    tmp_path: Path, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.state import progress

    lines: list[tuple[str, int, int]] = []

    class Lines(progress.Silent):
        def advance(self, text: str, done: int, total: int) -> None:
            lines.append((text, done, total))

    with progress.reporting_to(Lines()):
        run(regime(tmp_path, epochs=2), digits, what="seed 1000")
    text, done, total = lines[0]
    assert (done, total) == (1, 2)
    for word in ("seed 1000, epoch 1", "loss", "accuracy", "s left"):
        assert word in text
