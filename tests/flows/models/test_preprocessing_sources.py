"""A preprocessing taken over from where the weights come from, or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from compliance.documents.preprocessing import Preprocessing
from flows.data import pictures, view
from flows.models import preprocessing_sources as sources
from flows.state.errors import ModelError

WEIGHTS = "torchvision:ResNet18_Weights.IMAGENET1K_V1"
TIMM = {
    "input_size": [3, 48, 48],
    "interpolation": "bicubic",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "crop_pct": 0.9,
}
HF = {
    "do_resize": True,
    "size": {"shortest_edge": 56},
    "resample": 2,
    "do_center_crop": True,
    "crop_size": {"height": 48, "width": 48},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.5, 0.6, 0.7],
}


def picture(height: int = 90, width: int = 130) -> Image.Image:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def written(folder: Path, content: Any, name: str = "config.json") -> Path:
    file = folder / name
    file.write_text(json.dumps(content))
    return file


def prepare(image: Image.Image, preprocessing: Preprocessing | None) -> torch.Tensor:
    """As an event sees it: decoded into bytes, scaled batch by batch."""
    assert preprocessing is not None
    pixels = pictures.pixels(image, preprocessing)
    return view.normalised(view.scaled(pixels[None]), preprocessing)[0]


@pytest.mark.parametrize("size", [(90, 130), (300, 260), (224, 224), (225, 1000)])
@pytest.mark.parametrize("name", ["ResNet18_Weights.IMAGENET1K_V1", "ViT_B_16_Weights.DEFAULT"])
def test_torchvisions_own_transforms_give_the_same_bits(name: str, size: tuple[int, int]) -> None:
    from torchvision import models as zoo

    image = picture(*size)
    expected = zoo.get_weight(name).transforms()(image)
    preprocessing = sources.resolve(f"torchvision:{name}", Path())
    assert torch.equal(prepare(image, preprocessing), expected)


def test_timms_own_transforms_give_the_same_bits(tmp_path: Path) -> None:
    data = pytest.importorskip("timm.data")
    image = picture()
    expected = data.create_transform(**TIMM)(image)
    preprocessing = sources.resolve(f"timm:{written(tmp_path, TIMM)}", tmp_path)
    assert torch.allclose(prepare(image, preprocessing), expected, atol=1e-6)


def test_timms_configuration_inside_another_is_read(tmp_path: Path) -> None:
    written(tmp_path, {"architecture": "x", "pretrained_cfg": TIMM | {"crop_mode": "squash"}})
    preprocessing = sources.resolve("timm:config.json", tmp_path)
    assert preprocessing is not None
    assert (preprocessing.resize, preprocessing.crop) == ((53, 53), (48, 48))


def test_hugging_faces_configuration_gives_the_pixels_that_it_says(tmp_path: Path) -> None:
    image = picture()
    written(tmp_path, HF, "preprocessor_config.json")
    preprocessing = sources.resolve(f"hf:{tmp_path}", tmp_path)
    assert preprocessing is not None
    assert (preprocessing.resize, preprocessing.crop) == (56, (48, 48))
    assert preprocessing.orientation == "exif"
    # independently, in numpy and Pillow: the shorter side at 56, the middle 48x48
    width = int(56 * 130 / 90)
    array = np.asarray(image.resize((width, 56), Image.Resampling.BILINEAR), dtype=np.float64)
    left = round((width - 48) / 2.0)
    cropped = array[4:52, left : left + 48] / 255
    expected = (cropped - np.array(HF["image_mean"])) / np.array(HF["image_std"])
    got = prepare(image, preprocessing).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)


BAD: dict[str, tuple[str, Any, list[str]]] = {
    "no such file": ("timm:none.json", TIMM, ["none.json", "No such file"]),
    "no JSON object": ("timm:config.json", [1], ["no keys"]),
    "a crop of timm's own": (
        "timm:config.json",
        TIMM | {"crop_mode": "border"},
        ["border", "Write it out"],
    ),
    "no mean": ("timm:config.json", {"input_size": [3, 8, 8]}, ["no 'mean'"]),
    "five channels": ("timm:config.json", TIMM | {"input_size": [5, 8, 8]}, ["1 or 3"]),
    "padding": ("hf:config.json", HF | {"do_pad": True}, ["do_pad", "does not do"]),
    "pixels that stay bytes": ("hf:config.json", HF | {"do_rescale": False}, ["[0, 1]"]),
    "another factor": ("hf:config.json", HF | {"rescale_factor": 1 / 127.5}, ["[0, 1]"]),
    "a filter of no name": ("hf:config.json", HF | {"resample": 9}, ["no 9"]),
    "sizes of several shapes": (
        "hf:config.json",
        HF | {"do_center_crop": False},
        ["several sizes"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_source_that_damp_cannot_follow_is_refused(name: str, tmp_path: Path) -> None:
    named, content, words = BAD[name]
    written(tmp_path, content)
    with pytest.raises(ModelError) as caught:
        sources.resolve(named, tmp_path)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["ResNet18_Weights.IMAGENET9", "Nothing", "FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1"],
)
def test_weights_that_are_no_classifiers_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="no image classifier's weights"):
        sources.resolve(f"torchvision:{name}", Path())


def test_a_command_line_names_a_source_or_a_file(tmp_path: Path) -> None:
    assert sources.of_option(None) is None
    assert sources.of_option(WEIGHTS) == sources.resolve(WEIGHTS, Path())
    file = tmp_path / "seen.yaml"
    file.write_text("crop: 24\nmean: [0.5, 0.5, 0.5]\n")
    assert sources.of_option(str(file)) == Preprocessing(crop=24, mean=(0.5, 0.5, 0.5))
    file.write_text("crop: 24\nmeen: [0.5, 0.5, 0.5]\n")
    with pytest.raises(ModelError, match="Did you mean `mean`"):
        sources.of_option(str(file))
    with pytest.raises(ModelError, match="no preprocessing"):
        sources.of_option("224")
