"""A model and data that do not belong together are refused at submit, or stand in the statement."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from compliance.documents.preprocessing import Preprocessing
from compliance.documents.request import Request, parse_request
from flows.data import loaders
from flows.data.dataset import Dataset, DataSpec
from flows.intake import model_checks
from flows.intake.model_checks import LENIENT, STRICT
from flows.models import architectures, weights
from flows.state.errors import EventError
from flows.state.paths import Home
from tests.flows import fitting
from tests.flows.conftest import Damp

ID = "5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11"


def content(**changed: Any) -> dict[str, Any]:
    return {
        "apiVersion": "damp/v1",
        "kind": "ErasureRequest",
        "subject_request_id": ID,
        "regulation": "gdpr",
        "submitted_time": "2026-09-20T08:00:00Z",
        "scope": {"type": "class", "selector": {"index": 3}},
        "model": {"file": "model.safetensors", "architecture": "damp:cnn"},
        "data": {"name": "digits"},
        "recipe": "digits",
        "policy": "demo-v1",
        **changed,
    }


def request(**changed: Any) -> Request:
    return parse_request(json.dumps(content(**changed)))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return loaders.load(DataSpec(name="digits"))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return fitting.digits()


class Around(nn.Module):
    """A network with something before and after it."""

    def __init__(self, inner: nn.Module, before: Any = None, after: Any = None) -> None:
        super().__init__()
        self.inner = inner
        self.before, self.after = before, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answers = self.inner(self.before(x) if self.before else x)
        return self.after(answers) if self.after else answers


def test_a_model_that_fits_is_accepted_and_nothing_is_to_be_said(
    digits: Dataset, network: nn.Module
) -> None:
    checked = model_checks.check(request(), digits, network, STRICT)
    assert checked == model_checks.Checked()


SWAPPED = [0, 1, 2, 7, 4, 5, 6, 3, 8, 9]
SHIFTED = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (lambda x: x * 40 - 20, None, ["scaling"]),
        (None, lambda y: y[:, SHIFTED], ["recognises", "stand in another one", "class 3 at"]),
        (None, lambda y: y[:, SWAPPED], ["answers class 7 to", "of class 3's images"]),
    ],
    ids=["scaling", "all classes in another order", "two classes swapped"],
)
def test_a_model_that_expects_other_data_is_refused_unless_accepted(
    digits: Dataset, network: nn.Module, before: Any, after: Any, words: list[str]
) -> None:
    wrapped = Around(network, before, after)
    with pytest.raises(EventError, match="does not fit its data") as refusal:
        model_checks.check(request(), digits, wrapped, STRICT)
    for word in [*words, "--accept-low-accuracy"]:
        assert word in str(refusal.value)
    checked = model_checks.check(request(), digits, wrapped, LENIENT)
    assert any("When the request was submitted" in limit for limit in checked.limits)


def test_a_model_that_was_trained_on_scaled_images_is_refused_with_the_scaling(
    digits: Dataset,
) -> None:
    """It recognises many of the images all the same: accuracy alone would let it pass."""
    scaled = fitting.trained((digits.train_inputs - 0.5) / 0.5, digits.train_labels, 10)
    with pytest.raises(EventError, match=r"expects another scaling|does not fit its data"):
        model_checks.check(request(), digits, scaled, STRICT)


def test_random_weights_are_refused(digits: Dataset) -> None:
    torch.manual_seed(0)
    untrained = architectures.build("damp:cnn", 10, (1, 8, 8)).eval()
    with pytest.raises(EventError, match=r"recognises .* of 200 training images|answers all"):
        model_checks.check(request(), digits, untrained, STRICT)


def test_outputs_that_do_not_depend_on_the_image_are_refused_whatever_is_accepted(
    digits: Dataset, network: nn.Module
) -> None:
    constant = Around(network, before=lambda x: x * 0)
    with pytest.raises(EventError, match="outputs do not depend on the image"):
        model_checks.check(request(), digits, constant, LENIENT)


class Standardised(nn.Conv2d):
    """A convolution with standardised weights, as big ResNets have."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x, weight, self.bias, padding=1)


def test_a_model_whose_larger_part_cannot_be_cut_says_so() -> None:
    network = nn.Sequential(
        Standardised(1, 64, 3, padding=1),
        Standardised(64, 64, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10, bias=False),
    )
    (limit,) = model_checks._uncuttable(network.eval(), torch.rand(4, 1, 8, 8))
    assert limit.startswith("Only 2% of the model's parameters")
    assert "2 layers stay as they are" in limit
    plain = architectures.build("damp:cnn", 10, (1, 8, 8)).eval()
    assert list(model_checks._uncuttable(plain, torch.rand(4, 1, 8, 8))) == []


# Images that are there twice


def doubled(data: Dataset, source: int, label: int, count: int) -> Dataset:
    """With images of one class under another's label as well."""
    from dataclasses import replace

    copies = data.train_inputs[data.train_labels == source][:count]
    labels = torch.full((count,), label)
    return replace(
        data,
        train_inputs=torch.cat([data.train_inputs, copies]),
        train_labels=torch.cat([data.train_labels, labels]),
    )


def test_images_of_the_class_under_another_label_are_refused_unless_accepted(
    digits: Dataset, network: nn.Module
) -> None:
    data = doubled(digits, 3, 5, 4)
    with pytest.raises(EventError, match=r"4 images of a class to be forgotten.*--accept-dup"):
        model_checks.check(request(), data, network, STRICT)
    checked = model_checks.check(request(), data, network, LENIENT)
    assert "they would stay in the data" in checked.limits[0]


def test_images_in_two_other_classes_are_noted(digits: Dataset, network: nn.Module) -> None:
    checked = model_checks.check(request(), doubled(digits, 4, 5, 4), network, STRICT)
    assert checked.limits == ("4 images are in two classes, pixel by pixel.",)


def test_test_images_that_were_trained_on_are_refused_unless_few(
    digits: Dataset, network: nn.Module
) -> None:
    from dataclasses import replace

    def leaking(count: int) -> Dataset:
        inputs = digits.test_inputs.clone()
        inputs[:count] = digits.train_inputs[:count]
        return replace(digits, test_inputs=inputs)

    with pytest.raises(EventError, match="90 of 899 test images are training images"):
        model_checks.check(request(), leaking(90), network, STRICT)
    (limit,) = model_checks.check(request(), leaking(3), network, STRICT).limits
    assert limit.startswith("3 of 899 test images")


# From the command line, on a folder of images


def painted(folder: Path, names: list[str], each: int = 110) -> None:
    """Classes that differ in brightness."""
    noise = np.random.default_rng(0)
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = noise.integers(0, 40, (8, 8)) + label * 200 // len(names)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number:03}.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of images and a model that fits it; gives the folder."""
    folder = tmp_path / "desk" / "photos"
    painted(folder, ["ant", "bee", "cat"])
    data = loaders.load.__wrapped__(DataSpec(name=f"imagefolder:{folder}"))
    network = fitting.trained(data.train_inputs, data.train_labels, 3, epochs=40)
    weights.save_weights(network, folder.parent / "model.safetensors", {})
    return folder


def written(folder: Path, **changed: Any) -> Path:
    file = folder / "request.yaml"
    wanted = {
        "scope": {"type": "class", "selector": {"index": 1}},
        "data": {"name": "imagefolder:photos"},
        "recipe": "default",
    }
    file.write_text(json.dumps(content(**wanted | changed)))
    return file


def test_what_is_left_out_of_a_folder_is_shown_at_submit_and_kept(
    damp: Damp, home: Home, photos: Path
) -> None:
    (photos / "bee" / "notes.txt").write_text("x")
    (photos / "bee" / "raw.heic").write_bytes(b"x")
    (photos / "loose.png").write_bytes((photos / "ant" / "000.png").read_bytes())
    result = damp("submit", written(photos.parent), "--go-on", "--json")  # so few images
    assert result.code == 0, result.err
    counts = {each["reason"]: each["count"] for each in result.json()["left_out"]}
    assert counts == {"ending .txt": 1, "ending .heic": 1, "images beside the class folders": 1}
    (limit,) = model_checks.kept(home, ID).limits
    assert limit.startswith("Of the data folder 3 files were left out")
    shutil.rmtree(home.root)
    again = damp("submit", written(photos.parent), "--go-on")
    assert "3 files were left out" in " ".join(again.out.split())


def test_folders_named_by_numbers_are_refused_at_submit_with_the_table(
    damp: Damp, photos: Path
) -> None:
    for old, new in (("ant", "1"), ("bee", "10"), ("cat", "2")):
        (photos / old).rename(photos / new)
    refused = damp("submit", written(photos.parent))
    refused.refused("index 0 is folder 1", "index 1 is folder 10", "damp classes")


def test_random_weights_are_refused_by_the_command_and_accepted_with_the_option(
    damp: Damp, home: Home, photos: Path
) -> None:
    torch.manual_seed(0)
    network = architectures.build("damp:cnn", 3, (1, 8, 8))
    weights.save_weights(network, photos.parent / "model.safetensors", {})
    file = written(photos.parent)
    damp("submit", file).refused("does not fit its data", "--accept-low-accuracy")
    assert not home.event(ID).exists()
    assert damp("submit", file, "--accept-low-accuracy", "--go-on").code == 0
    assert any("submitted" in limit for limit in model_checks.kept(home, ID).limits)


# A class by its folder's name


def numbered(folder: Path, names: list[str]) -> Path:
    painted(folder, names, each=5)
    return folder


def asked(damp: Damp, folder: Path, *forget: str) -> Any:
    options = [word for name in forget for word in ("--forget", name)]
    model = ("--model", "m@champion", "--data", f"imagefolder:{folder}")
    return damp("request", *options, *model, "--regulation", "gdpr")


def test_no_regulation_is_taken_for_granted(damp: Damp) -> None:
    result = damp("request", "--forget", "3", "--model", "m@champion", "--data", "digits")
    assert result.code == 1
    assert "--regulation gdpr, ccpa, contract, recall or other" in result.err
    assert result.out == ""


def test_a_class_may_be_named_and_the_request_holds_its_index(damp: Damp, tmp_path: Path) -> None:
    folder = numbered(tmp_path / "photos", ["ant", "bee", "cat"])
    answer = asked(damp, folder, "cat", "0")
    assert answer.code == 0, answer.err
    assert "{indices: [2, 0]}" in answer.out
    assert "cat" not in answer.out


def test_a_name_that_is_no_class_is_refused_and_not_repeated(damp: Damp, tmp_path: Path) -> None:
    folder = numbered(tmp_path / "photos", ["ant", "bee"])
    refused = asked(damp, folder, "Anna")
    refused.refused("no class of that name", "damp classes")
    assert "Anna" not in refused.err


def test_a_number_that_could_be_two_classes_is_refused_with_the_table(
    damp: Damp, tmp_path: Path
) -> None:
    folder = numbered(tmp_path / "photos", [str(n) for n in range(11)])
    for number in ("2", "10"):
        asked(damp, folder, number).refused("index 2 is folder 10", "index 3 is folder 2")


def test_numbers_that_agree_with_the_index_are_no_matter(damp: Damp, tmp_path: Path) -> None:
    folder = numbered(tmp_path / "photos", [f"{n:02}" for n in range(11)])
    assert "{index: 2}" in asked(damp, folder, "2").out
    assert "{index: 10}" in asked(damp, folder, "10").out


def test_classes_prints_index_folder_and_count(damp: Damp, tmp_path: Path) -> None:
    folder = numbered(tmp_path / "photos", ["1", "10", "2"])
    result = damp("classes", f"imagefolder:{folder}", "--json")
    assert result.json() == [
        {"index": n, "folder": name, "train": 4, "test": 1}
        for n, name in enumerate(["1", "10", "2"])
    ]
    assert "folder" in damp("classes", f"imagefolder:{folder}").out
    assert damp("classes", "digits", "--json").json()[3]["folder"] is None


SCALED = Preprocessing(resize=(8, 8), channels=1, mean=(0.5,), std=(0.25,))


def test_a_wrong_preprocessing_shows_and_the_scaling_that_fits_is_named(
    network: nn.Module,
) -> None:
    """The network was trained on pixels in [0, 1]."""
    loaded = loaders.load(DataSpec(name="digits", preprocessing=SCALED))
    with pytest.raises(EventError) as caught:
        model_checks.check(request(), loaded, network, STRICT)
    for words in ("model.preprocessing", "8x8, 1 channels", "without mean and std"):
        assert words in str(caught.value)


def test_the_preprocessing_that_a_model_was_trained_with_is_accepted(network: nn.Module) -> None:
    loaded = loaders.load(DataSpec(name="digits", preprocessing=SCALED))
    whole = Around(network, before=lambda x: x * 0.25 + 0.5)
    assert model_checks.check(request(), loaded, whole, STRICT) == model_checks.Checked()


def test_images_of_another_shape_than_the_model_takes_are_refused(network: nn.Module) -> None:
    def takes_eight(x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] != 8:
            raise AssertionError(f"Wrong image width! Expected 8 but got {x.shape[-1]}!")
        return x

    larger = Preprocessing(resize=(12, 12), channels=1)
    loaded = loaders.load(DataSpec(name="digits", preprocessing=larger))
    with pytest.raises(EventError) as caught:
        model_checks.check(request(), loaded, Around(network, before=takes_eight), STRICT)
    for words in ("1x12x12", "Expected 8 but got 12", "model.preprocessing", "12x12, 1 channels"):
        assert words in str(caught.value)
