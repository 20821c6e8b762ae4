"""The data sets of the validity study, small enough for two cores, and classes nobody trained on.

Also reachable from a request or a claim as `benchmarks.validity.data:NAME`.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from flows.data.dataset import Dataset, DataSpec
from flows.data.loaders import load

SHARED = Path(__file__).parents[3] / "shared" / "data"
CACHE = "DAMP_VALIDITY_CACHE"
"""Environment variable that names another folder for trained models and decoded images."""
KEPT_OUT = (1, 4, 7)
"""Digits that the `seven` variants never train on: what "never learned" looks like."""
SEED = 20260416
PARTS = ("train", "test")
Arrays = dict[str, np.ndarray]
Place = tuple[str, str]
"""Part and class of an image."""
UNLIKE_CIFAR = (
    *("n01443537", "n01784675", "n02410509", "n02909870", "n03255030", "n04398044", "n04532670"),
)
"""Goldfish, centipede, bison, bucket, dumbbell, teapot, viaduct: no class of CIFAR-10."""
TINY_TEN = (
    *("n02002724", "n02123045", "n02231487", "n02669723", "n02814533"),
    *("n03026506", "n03584254", "n03770439", "n03937543", "n04070727"),
)
"""Ten others of Tiny ImageNet."""


def cache() -> Path:
    """Where models, images and findings are kept: beside the other state, so that runs go on."""
    named = os.environ.get(CACHE)
    home = Path(os.environ.get("DAMP_HOME", ".damp")).expanduser().absolute()
    return Path(named).expanduser().absolute() if named else home / "validity"


def digits() -> Dataset:
    """scikit-learn's digits: 900 images to train on, 900 held out."""
    return load(DataSpec(name="digits"))


def digits_seven() -> Dataset:
    """The same without the digits of `KEPT_OUT`."""
    return digits().without(KEPT_OUT)


def digits_unseen() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The held-out images of those digits."""
    return _only(digits(), KEPT_OUT)


@lru_cache(maxsize=1)
def mnist() -> Dataset:
    """MNIST: 500 images of each class to train on, 500 held out."""
    return _fewer(load(DataSpec(name="mnist", root=str(SHARED))), train=500, test=500)


@lru_cache(maxsize=1)
def cifar() -> Dataset:
    """CIFAR-10: 1,000 images of each class to train on, 500 held out."""
    return _fewer(_centred("cifar", _cifar10(), classes=10), train=1000, test=500)


@lru_cache(maxsize=1)
def cifar10() -> Dataset:
    """CIFAR-10: 400 images of each class to train on, 1,000 held out: all of them."""
    return _fewer(_centred("cifar10", _cifar10(), classes=10), train=400, test=1000)


@lru_cache(maxsize=1)
def cifar100() -> Dataset:
    """Ten superclasses of CIFAR-100: 400 images of each to train on, 500 held out: all of them."""
    return _fewer(_centred("cifar100", _cifar100(), classes=10), train=400, test=500)


@lru_cache(maxsize=1)
def tiny() -> Dataset:
    """Ten classes of Tiny ImageNet, halved to 32x32: 200 images of each and 300 held out."""
    return _fewer(_centred("tiny", _tiny(), classes=10), train=200, test=300)


def _centred(name: str, arrays: Arrays, *, classes: int) -> Dataset:
    """Pixels as a data set; all sets of photographs share CIFAR-10's mean and spread."""
    images = [(arrays[f"{part}_x"].astype(np.float32) / 255 - 0.473) / 0.251 for part in PARTS]
    labels = [torch.from_numpy(arrays[f"{part}_y"]) for part in PARTS]
    return Dataset(
        name=f"benchmarks.validity.data:{name}",
        train_inputs=torch.from_numpy(images[0]),
        train_labels=labels[0],
        test_inputs=torch.from_numpy(images[1]),
        test_labels=labels[1],
        classes=classes,
        description="photographs, from JPEG copies",
    )


@lru_cache(maxsize=1)
def cifar_unseen() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Seven classes of Tiny ImageNet that CIFAR-10 has not, halved to 32x32, 200 images each."""
    images, labels = [], []
    with tarfile.open(SHARED / "tiny-imagenet-20.tar.xz") as archive:
        for member in archive:
            folder = Path(member.name).parts
            if len(folder) == 5 and folder[1] == "train" and folder[2] in UNLIKE_CIFAR:
                label = UNLIKE_CIFAR.index(folder[2])
                if labels.count(label) < 200:
                    images.append(_image(archive, member, halved=True))
                    labels.append(label)
    pixels = torch.from_numpy((np.stack(images).astype(np.float32) / 255 - 0.473) / 0.251)
    targets = torch.tensor(labels)
    return pixels[:1], targets[:1], pixels, targets


def _only(dataset: Dataset, classes: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    test = torch.isin(dataset.test_labels, torch.tensor(classes))
    labels = torch.bucketize(dataset.test_labels[test], torch.tensor(classes))
    inputs = dataset.test_inputs[test]
    return inputs[:1], labels[:1], inputs, labels


def _fewer(dataset: Dataset, *, train: int, test: int) -> Dataset:
    kept = [_first(dataset.train_labels, train), _first(dataset.test_labels, test)]
    return replace(
        dataset,
        train_inputs=_laid_out(dataset.train_inputs[kept[0]]),
        train_labels=dataset.train_labels[kept[0]],
        test_inputs=_laid_out(dataset.test_inputs[kept[1]]),
        test_labels=dataset.test_labels[kept[1]],
    )


def _laid_out(images: Tensor) -> Tensor:
    """The same images with their channels side by side: a forward pass takes .6 of the time."""
    return images.contiguous(memory_format=torch.channels_last)


def _first(labels: Tensor, count: int) -> Tensor:
    """A seeded choice of `count` rows of each class, in ascending order."""
    generator = torch.Generator().manual_seed(SEED)
    kept = []
    for c in labels.unique():
        rows = torch.nonzero(labels == c).flatten()
        kept.append(rows[torch.randperm(len(rows), generator=generator)[:count]])
    return torch.cat(kept).sort().values


def _cifar10() -> Arrays:
    return _kept("cifar10", lambda: _decoded("cifar10.tar.xz", _cifar10_place))


def _cifar10_place(member: str) -> Place | None:
    parts = Path(member).parts
    return (parts[0], parts[1]) if len(parts) == 3 else None


def _cifar100() -> Arrays:
    """The ten first superclasses, by name."""
    with tarfile.open(SHARED / "cifar100.tar.xz") as archive:
        file = archive.extractfile("cifar100/coarse.txt")
        if file is None:
            raise FileNotFoundError("cifar100/coarse.txt is no file in the archive.")
        pairs = [line.split() for line in file.read().decode().splitlines() if line.strip()]
    coarse = dict(pairs)
    chosen = sorted(set(coarse.values()))[:10]

    def place(member: str) -> Place | None:
        parts = Path(member).parts
        if len(parts) != 4 or coarse[parts[2]] not in chosen:
            return None
        return parts[1], coarse[parts[2]]

    return _kept("cifar100-ten", lambda: _decoded("cifar100.tar.xz", place))


def _tiny() -> Arrays:
    """The training images of `TINY_TEN`, parted anew: validation images are 50 a class."""
    places = dict.fromkeys(TINY_TEN, 0)

    def place(member: str) -> Place | None:
        parts = Path(member).parts
        if len(parts) != 5 or parts[2] not in places or parts[1] != "train":
            return None
        places[parts[2]] += 1
        return "train" if places[parts[2]] <= 200 else "test", parts[2]

    return _kept("tiny-ten", lambda: _decoded("tiny-imagenet-20.tar.xz", place, halved=True))


def _kept(name: str, make: Callable[[], Arrays]) -> Arrays:
    """Pixels (n, 3, 32, 32), uint8, and labels of both parts; decoded once, then kept."""
    path = cache() / f"{name}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(temporary, **make())
        temporary.replace(path)
    with np.load(path) as arrays:
        return dict(arrays)


def _decoded(name: str, place: Callable[[str], Place | None], *, halved: bool = False) -> Arrays:
    """Every image that `place` puts into a part and a class; rows in the order of file names."""
    rows: dict[str, list[tuple[str, str, np.ndarray]]] = {part: [] for part in PARTS}
    with tarfile.open(SHARED / name) as archive:
        for member in archive:
            where = place(member.name) if member.isfile() else None
            if where is not None:
                image = _image(archive, member, halved=halved)
                rows[where[0]].append((member.name, where[1], image))
    classes = sorted({label for part_rows in rows.values() for _, label, _ in part_rows})
    arrays = {}
    for part, part_rows in rows.items():
        part_rows.sort(key=lambda row: row[0])
        arrays[f"{part}_x"] = np.stack([pixels for _, _, pixels in part_rows])
        arrays[f"{part}_y"] = np.array([classes.index(label) for _, label, _ in part_rows])
    return arrays


def _image(
    archive: tarfile.TarFile, member: tarfile.TarInfo, *, halved: bool = False
) -> np.ndarray:
    """Pixels (3, height, width), uint8."""
    file = archive.extractfile(member)
    if file is None:
        raise FileNotFoundError(f"{member.name} is no file in the archive.")
    image = Image.open(io.BytesIO(file.read())).convert("RGB")
    if halved:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    return np.asarray(image).transpose(2, 0, 1)
