"""A user's torch data sets: pictures, bytes and floats, or a refusal that names the item."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from compliance.documents.preprocessing import Preprocessing
from flows.data import file_digests, loaders
from flows.data.dataset import Dataset, DataSpec
from flows.data.view import View
from flows.state.errors import DataError
from flows.state.paths import Home

HEAD = """
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

class Pictures(Dataset):
    READ = []
    def __init__(self, count, kind):
        self.count, self.kind = count, kind
    def __len__(self):
        return self.count
    def __getitem__(self, number):
        self.READ.append(number)
        rng = np.random.default_rng(number + 100 * self.count)
        size = (20 + number, 30, 3) if self.kind == "mixed" else (20, 30, 3)
        pixels = rng.integers(0, 256, size, np.uint8)
        tensor = torch.from_numpy(pixels).permute(2, 0, 1)
        image = {"bytes": tensor, "floats": tensor / 255}.get(self.kind, Image.fromarray(pixels))
        return image, number % 2
"""
SEEN = Preprocessing(resize=(16, 16), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
Write = Callable[[str], str]


def load(module: str, preprocessing: Preprocessing | None = SEEN) -> Dataset:
    loaders.load.cache_clear()
    return loaders.load(DataSpec(name=f"{module}:load", preprocessing=preprocessing))


def of(kind: str) -> str:
    return f"{HEAD}\ndef load():\n    return Pictures(6, {kind!r}), Pictures(4, {kind!r})\n"


@pytest.mark.parametrize("kind", ["mixed", "bytes"])
def test_pictures_go_to_disk_at_the_models_size(kind: str, home: Home, users_module: Write) -> None:
    dataset = load(users_module(of(kind)))
    assert isinstance(dataset.train_inputs, View)
    assert dataset.train_inputs.shape == (6, 3, 16, 16)
    assert dataset.test_inputs.shape == (4, 3, 16, 16)
    assert dataset.train_labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert dataset.classes == 2
    again = load(users_module(of(kind)))
    assert torch.equal(again.train_inputs[:], dataset.train_inputs[:])
    assert len(list(home.images.iterdir())) == 1
    assert {file.part for file in file_digests.listing(dataset)} == {"train", "test"}


def test_equal_pictures_need_no_preprocessing(home: Home, users_module: Write) -> None:
    dataset = load(users_module(of("equal")), None)
    assert dataset.input_shape == (3, 20, 30)
    assert 0 <= float(dataset.train_inputs[:].min()) <= float(dataset.train_inputs[:].max()) <= 1


def test_floats_are_taken_as_they_come(home: Home, users_module: Write) -> None:
    dataset = load(users_module(of("floats")), None)
    assert isinstance(dataset.train_inputs, torch.Tensor)
    assert dataset.input_shape == (3, 20, 30)


def test_a_fingerprint_saves_the_pass_over_all_pictures(home: Home, users_module: Write) -> None:
    marked = of("mixed").replace(
        "self.count, self.kind = count, kind",
        "self.count, self.kind = count, kind\n"
        "        self.fingerprint = 'v1'\n"
        "        self.targets = [n % 2 for n in range(count)]",
    )
    name = users_module(marked)
    first = load(name)
    import sys

    sys.modules[name].Pictures.READ.clear()
    again = load(name)
    assert torch.equal(again.train_inputs[:], first.train_inputs[:])
    assert len(sys.modules[name].Pictures.READ) <= 2  # the first one, to see its kind and size


BAD = {
    "mixed sizes without a preprocessing": (of("mixed"), None, "name the model's preprocessing"),
    "floats that would be preprocessed twice": (of("floats"), SEEN, "preprocessed twice"),
    "an item that is no pair": (
        of("mixed").replace("return image, number % 2", "return image"),
        SEEN,
        r"no pair \(image, class\)",
    ),
    "a class that is no number": (
        of("mixed").replace("number % 2", "'ant'"),
        SEEN,
        "class as a whole number",
    ),
    "an item that is no image": (
        of("mixed").replace("return image,", "return 'image',"),
        SEEN,
        "is no image but a str",
    ),
    "a part without images": (of("mixed").replace("(4,", "(0,"), SEEN, "without images"),
    "code that raises": (
        of("mixed").replace("self.READ.append(number)", "raise OSError('the share is gone')"),
        SEEN,
        "the share is gone",
    ),
    "code that ends the process": (
        of("mixed").replace("self.READ.append(number)", "raise SystemExit(2)"),
        SEEN,
        "sys.exit",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_refused_with_its_item(
    name: str, home: Home, users_module: Write
) -> None:
    text, preprocessing, words = BAD[name]
    with pytest.raises(DataError, match=words):
        load(users_module(text), preprocessing)
