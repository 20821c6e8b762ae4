"""Architectures of timm and of Hugging Face's transformers, each an optional extra.

Only the architecture is theirs: weights come from a safetensors file, as for every other model.
Nothing is downloaded, and no code that comes with a model is run.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]


def timm(name: str, classes: int, input_shape: Shape) -> nn.Module:
    """A classifier of timm's by its name, "resnet18", with random weights.

    Raises:
        ModelError: timm is not installed, has no such model, or cannot build it for such images.
    """
    library = _library("timm", "timm")
    if name not in library.list_models():
        raise ModelError(
            f"timm has no model '{name}'. `timm.list_models()` lists them; resnet18 and "
            "vit_tiny_patch16_224 are small ones."
        )
    sized = {"img_size": tuple(input_shape[1:])} if input_shape[1:] != (224, 224) else {}
    options = {"pretrained": False, "num_classes": classes, "in_chans": input_shape[0]}
    try:
        try:
            network: nn.Module = library.create_model(name, **options, **sized)
        except TypeError:  # a network that takes images of any size, and no size
            network = library.create_model(name, **options)
    except (RuntimeError, AssertionError, ValueError, TypeError) as problem:
        raise ModelError(
            f"timm cannot build '{name}' for images of {_told(input_shape)} ({problem}). Give "
            "images of another size, or another model."
        ) from problem
    return network


def hugging_face(folder: str, classes: int, input_shape: Shape) -> nn.Module:
    """The image classifier of a folder with a `config.json`, with random weights.

    The network gives plain logits. Its parameters have the names that this version of transformers
    gives them, which need not be those of a `model.safetensors` that an older one has written:
    docs/tutorial-own-model.md shows how to save it anew.

    Raises:
        ModelError: transformers is not installed, the folder has no configuration, it is not one
            of an image classifier, or it does not fit the images.
    """
    library = _library("transformers", "hf")
    path = Path(folder).expanduser()
    settings = _settings(path)
    if "model_type" not in settings or settings.get("auto_map"):
        raise ModelError(
            f"{path / 'config.json'} names no model type that transformers itself has: damp runs "
            "no code that comes with a model. Name the architecture as package.module:callable."
        )
    settings |= {"num_labels": classes, "id2label": None, "label2id": None}
    settings |= {k: v for k, v in _fitting(settings, input_shape).items() if k in settings}
    settings = {key: value for key, value in settings.items() if value is not None}
    try:
        config = library.AutoConfig.for_model(**settings)
        network: nn.Module = library.AutoModelForImageClassification.from_config(config)
    except (ValueError, KeyError, TypeError, RuntimeError) as problem:
        raise ModelError(
            f"{path} is no image classifier that transformers can build for images of "
            f"{_told(input_shape)} ({problem}). Check model_type and architectures in its "
            "config.json."
        ) from problem
    network.register_forward_hook(_only_logits)
    return network


def _library(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ImportError as problem:
        raise ModelError(
            f"'{extra}:...' needs {name}, which is not installed ({problem}): "
            f"pip install 'damp-unlearning[{extra}]'."
        ) from problem


def _settings(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        told = json.loads(file.read_text())
    except (OSError, ValueError) as problem:
        raise ModelError(
            f"Cannot read {file}: {problem}. Name the folder of a Hugging Face model as hf:FOLDER; "
            "damp downloads none."
        ) from problem
    if not isinstance(told, dict):
        raise ModelError(f"{file} holds no configuration. Fetch it again.")
    return told


def _fitting(settings: dict[str, Any], input_shape: Shape) -> dict[str, Any]:
    """The sizes of the images, in the form that the configuration has them."""
    channels, height, width = input_shape
    single = not isinstance(settings.get("image_size"), list | tuple) and height == width
    return {"num_channels": channels, "image_size": height if single else [height, width]}


def _only_logits(network: nn.Module, given: Any, output: Any) -> Any:
    """A forward hook: the logits of an output object."""
    return output.logits


def _told(shape: Shape) -> str:
    return "x".join(map(str, shape))
