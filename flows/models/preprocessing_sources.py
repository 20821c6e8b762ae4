"""Where a model's preprocessing comes from: torchvision's weights, timm's data configuration,
Hugging Face's preprocessor configuration, or the request's own words.

Whatever the source says that damp would not do is refused by name: an image must be seen as the
model saw it, or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from compliance.documents.preprocessing import SOURCES, Preprocessing
from compliance.formats import files, strict_json, yaml_reader
from compliance.formats.errors import JsonError
from compliance.formats.validation import check
from flows.state.errors import ModelError, PreprocessingError

LARGEST = 1 << 20
"""Bytes of a configuration at most."""
FILE_OF_HF = "preprocessor_config.json"
RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of its filters, by which Hugging Face names them."""
DONE = {"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"}
"""What a Hugging Face processor may do that damp does too."""


def resolve(named: Preprocessing | str | None, origin: Path) -> Preprocessing | None:
    """The preprocessing that a request names; files are looked for from its folder.

    Raises:
        ModelError: There is no such source, it cannot be read, or it does what damp does not.
    """
    if not isinstance(named, str):
        return named
    source, _, rest = named.partition(":")
    if source == "torchvision":
        return _of_weights(rest)
    path = (origin / Path(rest).expanduser()).resolve()
    if source == "timm":
        return _of_timm(named, _read(named, path))
    return _of_hugging_face(named, _read(named, path / FILE_OF_HF if path.is_dir() else path))


def of_option(text: str | None) -> Preprocessing | None:
    """The preprocessing that a command line names: a source, or a YAML file of its keys.

    Raises:
        ModelError: There is no such source, or the file has mistakes.
    """
    if text is None:
        return None
    if text.startswith(SOURCES):
        return resolve(text, Path.cwd())
    if not text.endswith((".yaml", ".yml")):
        raise ModelError(
            f"'{text}' is no preprocessing. Name torchvision:WEIGHTS, timm:FILE.json, "
            "hf:preprocessor_config.json, or a file of its keys that ends in .yaml."
        )
    return check(
        Preprocessing, yaml_reader.read(Path(text), PreprocessingError), PreprocessingError
    )


def _of_weights(name: str) -> Preprocessing:
    """What torchvision's own transforms of these weights do; nothing is downloaded."""
    from torchvision import models as zoo

    try:
        transforms = zoo.get_weight(name).transforms()
        return Preprocessing(
            resize=_plain(transforms.resize_size),
            crop=_plain(transforms.crop_size),
            interpolation=transforms.interpolation.value,
            mean=tuple(transforms.mean),
            std=tuple(transforms.std),
        )
    except (ValueError, AttributeError, KeyError) as problem:
        raise ModelError(
            f"torchvision has no image classifier's weights '{name}' ({problem}). Name them as in "
            "torchvision:ResNet18_Weights.IMAGENET1K_V1."
        ) from problem


def _plain(sides: Any) -> int | tuple[int, int]:
    """torchvision's list of one side or two."""
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def _read(named: str, path: Path) -> Mapping[str, Any]:
    try:
        content = strict_json.loads(files.read(path, LARGEST), str(path))
    except (OSError, JsonError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise ModelError(
            f"The preprocessing '{named}' cannot be read from {path}: {reason}. Name a JSON file "
            "that is there, or write its keys out."
        ) from problem
    if not isinstance(content, Mapping):
        raise ModelError(f"{path} holds no keys: '{named}' needs a JSON object.")
    return content


def _of_timm(named: str, content: Mapping[str, Any]) -> Preprocessing:
    """timm's evaluation transform: the shorter side at size / crop_pct, then a centre crop."""
    config = content.get("pretrained_cfg", content)
    try:
        channels, height, width = config["input_size"]
        mode, share = config.get("crop_mode", "center"), float(config.get("crop_pct", 0.875))
        if mode not in ("center", "squash"):
            raise ValueError(f"crop_mode {mode!r} is not known here")
        if mode == "center" and height != width:
            raise ValueError("images that are not square are cropped by rules of timm's own")
        sides = tuple(math.floor(side / share) for side in (height, width))
        return Preprocessing(
            resize=sides if mode == "squash" else sides[0],
            crop=(height, width),
            interpolation=config.get("interpolation", "bilinear"),
            channels=channels,
            mean=tuple(map(float, config["mean"])),
            std=tuple(map(float, config["std"])),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as problem:
        raise _unfit(named, problem) from problem


def _of_hugging_face(named: str, content: Mapping[str, Any]) -> Preprocessing:
    """A Hugging Face image processor: resize, centre crop, rescale, normalise."""
    try:
        active = {key for key, on in content.items() if key.startswith("do_") and on}
        if more := sorted(active - DONE):
            raise ValueError(f"it sets {', '.join(more)}, which damp does not do")
        if not content.get("do_rescale", True) or not math.isclose(
            float(content.get("rescale_factor", 1 / 255)), 1 / 255, rel_tol=1e-6
        ):
            raise ValueError("it does not scale pixels to [0, 1]")
        normalised = content.get("do_normalize", True)
        cropped = content.get("do_center_crop", False)
        mean = content["image_mean"] if normalised else [0.0] * 3
        std = content["image_std"] if normalised else [1.0] * 3
        return Preprocessing(
            resize=_hf_size(content) if content.get("do_resize", True) else None,
            crop=_hf_sides(content["crop_size"]) if cropped else None,
            interpolation=RESAMPLING[content.get("resample", 2)],  # type: ignore[arg-type]
            orientation="exif",
            mean=tuple(map(float, mean)),
            std=tuple(map(float, std)),
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise _unfit(named, problem) from problem


def _hf_size(content: Mapping[str, Any]) -> int | tuple[int, int]:
    size = content["size"]
    if isinstance(size, Mapping) and "shortest_edge" in size:
        if "crop_pct" in content or "longest_edge" in size:
            raise ValueError("its `size` follows rules of that processor alone")
        return int(size["shortest_edge"])
    if isinstance(size, int) and content.get("do_center_crop", False):
        return size  # of files of before sizes had names: the shorter side where a crop follows
    return _hf_sides(size)


def _hf_sides(size: Any) -> tuple[int, int]:
    return (
        (int(size["height"]), int(size["width"]))
        if isinstance(size, Mapping)
        else (int(size), int(size))
    )


def _unfit(named: str, problem: Exception) -> ModelError:
    if isinstance(problem, ValidationError):
        reason = "; ".join(str(each["msg"]) for each in problem.errors(include_url=False))
    else:
        reason = f"no {problem}" if isinstance(problem, KeyError) else str(problem)
    return ModelError(
        f"The preprocessing '{named}' cannot be taken over: {reason}. Write it out in the request, "
        "as docs/record.md lists its keys."
    )
