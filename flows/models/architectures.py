"""Architectures by name: ours, torchvision's, timm's, Hugging Face's, or a user's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.state import import_path, users_calls
from flows.state.errors import ModelError

if TYPE_CHECKING:
    from torch import nn


def build(architecture: str, classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """A fresh network with random weights.

    Args:
        architecture: `damp:cnn`, `damp:vit`, `torchvision:NAME`, `timm:NAME`, `hf:FOLDER` (a
            Hugging Face image classifier's, with its config.json), or `package.module:callable`,
            which is called with `classes` and `input_shape`.
        classes: Outputs, C.
        input_shape: (channels, height, width).

    Raises:
        ModelError: No such architecture, or it does not take such images; or code of the user's
            raises, ends the process, or gives no logits.
    """
    family, _, name = architecture.partition(":")
    if family == "damp":
        return _own(name, classes, input_shape)
    if family == "torchvision":
        return _torchvision(name, classes, input_shape)
    if family in ("timm", "hf"):
        from flows.models import third_party

        make = third_party.timm if family == "timm" else third_party.hugging_face
        return make(name, classes, input_shape)
    if import_path.is_import_path(architecture):
        return _users(architecture, classes, input_shape)
    raise ModelError(
        f"'{architecture}' is no architecture. Name damp:cnn, damp:vit, torchvision:NAME such as "
        "torchvision:resnet18, timm:NAME, hf:FOLDER, or a function of your own as "
        "package.module:callable."
    )


def _own(name: str, classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    from flows.models import small_nets

    channels, height, width = input_shape
    if name == "cnn":
        return small_nets.SmallCNN(channels, classes)
    if name != "vit":
        raise ModelError(f"'damp:{name}' is no architecture: there are damp:cnn and damp:vit.")
    if height != width or height % 4:
        raise ModelError(
            f"damp:vit cuts images into square patches; these are {height}x{width}. Give square "
            "images with a side that 4 divides, or use damp:cnn."
        )
    return small_nets.SmallViT(channels, classes, height)


def _torchvision(name: str, classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    from torchvision import models as zoo

    if name not in zoo.list_models(module=zoo):
        raise ModelError(
            f"torchvision has no classifier '{name}'. `torchvision.models.list_models()` lists "
            "them; resnet18 and mobilenet_v3_small are small ones."
        )
    if input_shape[0] != 3:
        raise ModelError(
            f"torchvision:{name} takes images with 3 channels, these have {input_shape[0]}. Repeat "
            "the channel in a data set of your own, or use damp:cnn."
        )
    from flows.models import users_networks

    network: nn.Module = zoo.get_model(name, weights=None, num_classes=classes)
    return users_networks.read_alike(network, f"torchvision:{name}")  # some return more than logits


def _users(architecture: str, classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    from flows.models import users_networks

    network = users_calls.call(architecture, ModelError, classes=classes, input_shape=input_shape)
    return users_networks.completed(network, architecture, classes, input_shape)
