"""Weights whose names a wrapper or a tool has changed: taken where they mean one thing only."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file, save_model
from torch import Tensor, nn

from flows import models
from flows.models import held_tensors
from flows.state.errors import ModelError

Refusal = Callable[..., AbstractContextManager[None]]
SHAPE = (3, 32, 32)
RESNET = "torchvision:resnet18"
Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return models.build(RESNET, 4, SHAPE)


@pytest.fixture
def tensors(network: nn.Module) -> Tensors:
    return dict(held_tensors.of(network))


def loaded(file: Path, architecture: str = RESNET, shape: tuple[int, ...] = SHAPE) -> nn.Module:
    return models.load_weights(file, architecture=architecture, classes=4, input_shape=shape)[0]


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "model.", "ema.", "module._orig_mod.", "model.module.", "ema_model."],
)
def test_a_prefix_that_all_names_share_is_understood(
    network: nn.Module, tensors: Tensors, tmp_path: Path, prefix: str
) -> None:
    save_file({prefix + name: value for name, value in tensors.items()}, tmp_path / "w.safetensors")
    assert held_tensors.digest(loaded(tmp_path / "w.safetensors")) == held_tensors.digest(network)


def test_an_average_of_torchs_is_understood(network: nn.Module, tmp_path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(network)
    save_file(dict(averaged.state_dict()), tmp_path / "w.safetensors")
    again = loaded(tmp_path / "w.safetensors")
    assert held_tensors.digest(again) == held_tensors.digest(averaged.module)


def test_counts_of_batches_may_be_missing_and_nothing_else(
    network: nn.Module, tensors: Tensors, tmp_path: Path, refused: Refusal
) -> None:
    whole = {n: v for n, v in tensors.items() if not n.endswith("num_batches_tracked")}
    save_file(whole, tmp_path / "w.safetensors")
    assert held_tensors.digest(loaded(tmp_path / "w.safetensors")) == held_tensors.digest(network)
    del whole["bn1.running_var"]
    save_file(whole, tmp_path / "less.safetensors")
    with refused(ModelError, "lacks bn1.running_var"):
        loaded(tmp_path / "less.safetensors")


TIED = """
from torch import nn


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.a, self.b = nn.Linear(64, 64), nn.Linear(64, 64)
        self.b.weight = self.a.weight
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        return self.fc(self.b(self.a(x.flatten(1)).relu()).relu())


def build(classes, input_shape):
    return Net(classes)
"""


def test_a_tied_tensor_that_save_model_drops_is_the_one_that_it_is_tied_to(
    users_module: Callable[[str], str], tmp_path: Path, refused: Refusal
) -> None:
    architecture = f"{users_module(TIED)}:build"
    tied = models.build(architecture, 4, (1, 8, 8))
    save_model(tied, str(tmp_path / "w.safetensors"))
    assert "b.weight" not in load_file(tmp_path / "w.safetensors")
    again = loaded(tmp_path / "w.safetensors", architecture, (1, 8, 8))
    assert held_tensors.digest(again) == held_tensors.digest(tied)
    other = dict(held_tensors.of(tied))
    other["b.weight"] = other["b.weight"] + 1  # of two values for one tensor only one can run
    save_file(other, tmp_path / "two.safetensors")
    with refused(ModelError, "other tensors than the file", "a.weight"):
        loaded(tmp_path / "two.safetensors", architecture, (1, 8, 8))


def test_two_networks_in_one_file_are_refused_with_what_to_do(
    tensors: Tensors, tmp_path: Path, refused: Refusal
) -> None:
    both = {f"{p}{n}": v.clone() for p in ("model.", "ema.") for n, v in tensors.items()}
    save_file(both, tmp_path / "w.safetensors")
    with refused(ModelError, "under each of model., ema.", "alone, without its prefix"):
        loaded(tmp_path / "w.safetensors")


def test_names_under_an_unknown_prefix_are_refused(
    tensors: Tensors, tmp_path: Path, refused: Refusal
) -> None:
    save_file({f"backbone.{n}": v for n, v in tensors.items()}, tmp_path / "w.safetensors")
    with refused(ModelError, "backbone.", "too many", "Check the architecture"):
        loaded(tmp_path / "w.safetensors")
