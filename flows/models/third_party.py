"""Architectures of timm and of Hugging Face's transformers, each an optional extra.

Only the architecture is theirs: weights come from a safetensors file, as for every other model.
Nothing is downloaded, and no code that comes with a model is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.formats import files, strict_json
from compliance.formats.errors import JsonError
from flows.state.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]

LARGEST_NUMBER = 2**20
"""Of a configuration: no classifier of images has a wider layer or a larger image."""
DEEPEST = 1000
"""Layers at most: building a million of them would take for ever, whatever their size."""
PARAMETERS = 2**31
"""At most, 8 GiB of them: counted before any memory is taken."""
SHOWN = 200
"""Characters of another library's words in a message."""


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
            f"timm cannot build '{name}' for images of {_in_words(input_shape)} ({problem}). Give "
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
            of an image classifier, it does not fit the images, or it asks for a network beyond
            any classifier's size.
    """
    import torch

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
    _refuse_giants(path, settings)
    try:
        config = library.AutoConfig.for_model(**settings)
        with torch.device("meta"):  # shapes without memory
            outline = library.AutoModelForImageClassification.from_config(config)
        size = sum(parameter.numel() for parameter in outline.parameters())
        if size > PARAMETERS:
            raise ValueError(f"{size} parameters, {PARAMETERS} is the most that is built")
        network: nn.Module = library.AutoModelForImageClassification.from_config(config)
    except Exception as problem:  # a configuration can break any part of transformers
        reason = " ".join(str(problem).split())[:SHOWN]
        raise ModelError(
            f"{path} is no image classifier that transformers can build for images of "
            f"{_in_words(input_shape)} ({reason}). Check model_type, architectures and sizes in "
            "its config.json."
        ) from problem
    network.register_forward_hook(_only_logits)
    return network


def _refuse_giants(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse sizes and depths that would fill the memory."""
    for key, number in _numbers(settings):
        deep = "layer" in key or "depth" in key or "block" in key
        if number > (DEEPEST if deep else LARGEST_NUMBER):
            raise ModelError(
                f"{folder / 'config.json'} says {key}: {number:.3g}, which no classifier of images "
                "has. Fetch the file again from where it came from."
            )


def _numbers(settings: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a configuration, with the name that it stands under."""
    if isinstance(settings, dict):
        for name, value in settings.items():
            yield from _numbers(value, name)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from _numbers(value, key)
    elif isinstance(settings, int | float) and not isinstance(settings, bool):
        yield key, settings


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
        settings = strict_json.loads(files.read(file), str(file))
    except (OSError, JsonError) as problem:
        raise ModelError(
            f"Cannot read {file}: {problem}. Name the folder of a Hugging Face model as hf:FOLDER; "
            "damp downloads none."
        ) from problem
    if not isinstance(settings, dict):
        raise ModelError(f"{file} holds no configuration. Fetch it again.")
    return settings


def _fitting(settings: dict[str, Any], input_shape: Shape) -> dict[str, Any]:
    """The sizes of the images, in the form that the configuration has them."""
    channels, height, width = input_shape
    single = not isinstance(settings.get("image_size"), list | tuple) and height == width
    return {"num_channels": channels, "image_size": height if single else [height, width]}


def _only_logits(network: nn.Module, inputs: Any, output: Any) -> Any:
    """A forward hook: the logits of an output object."""
    return output.logits


def _in_words(shape: Shape) -> str:
    return "x".join(map(str, shape))
