"""The data sets of the validity study, small enough for two cores, and classes nobody trained on.

Also reachable from a request or a claim as `benchmarks.validity.data:NAME`.
"""

from __future__ import annotations

import io
import tarfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from flows.data.dataset import Dataset, DataSpec
from flows.data.loaders import load

SHARED = Path(__file__).parents[3] / "shared" / "data"
CACHE = Path(__file__).parents[2] / ".cache" / "validity"
KEPT_OUT = (1, 4, 7)
"""Digits that the `seven` variants never train on: what "never learned" looks like."""
SEED = 20260416
UNLIKE_CIFAR = (
    *("n01443537", "n01784675", "n02410509", "n02909870", "n03255030", "n04398044", "n04532670"),
)
"""Goldfish, centipede, bison, bucket, dumbbell, teapot, viaduct: no class of CIFAR-10."""


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
    parts = []
    for images, labels in _cifar_files():
        centred = (images.astype(np.float32) / 255 - 0.473) / 0.251
        parts += [torch.from_numpy(centred), torch.from_numpy(labels)]
    whole = Dataset(
        name="benchmarks.validity.data:cifar",
        train_inputs=parts[0],
        train_labels=parts[1],
        test_inputs=parts[2],
        test_labels=parts[3],
        classes=10,
        description="CIFAR-10, a JPEG copy",
    )
    return _fewer(whole, train=1000, test=500)


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
    told = torch.tensor(labels)
    return pixels[:1], told[:1], pixels, told


def _only(dataset: Dataset, classes: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    test = torch.isin(dataset.test_labels, torch.tensor(classes))
    labels = torch.bucketize(dataset.test_labels[test], torch.tensor(classes))
    inputs = dataset.test_inputs[test]
    return inputs[:1], labels[:1], inputs, labels


def _fewer(dataset: Dataset, *, train: int, test: int) -> Dataset:
    from dataclasses import replace

    kept = [_first(dataset.train_labels, train), _first(dataset.test_labels, test)]
    return replace(
        dataset,
        train_inputs=dataset.train_inputs[kept[0]],
        train_labels=dataset.train_labels[kept[0]],
        test_inputs=dataset.test_inputs[kept[1]],
        test_labels=dataset.test_labels[kept[1]],
    )


def _first(labels: Tensor, count: int) -> Tensor:
    """A seeded choice of `count` rows of each class, in ascending order."""
    generator = torch.Generator().manual_seed(SEED)
    kept = []
    for c in labels.unique():
        rows = torch.nonzero(labels == c).flatten()
        kept.append(rows[torch.randperm(len(rows), generator=generator)[:count]])
    return torch.cat(kept).sort().values


def _cifar_files() -> list[tuple[np.ndarray, np.ndarray]]:
    """Pixels (n, 3, 32, 32), uint8, and labels of both parts; decoded once, then kept."""
    kept = CACHE / "cifar10.npz"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        arrays = _decoded(SHARED / "cifar10.tar.xz")
        temporary = kept.with_suffix(".part.npz")
        np.savez(temporary, **arrays)
        temporary.replace(kept)
    with np.load(kept) as arrays:
        return [(arrays[f"{part}_x"], arrays[f"{part}_y"]) for part in ("train", "test")]


def _decoded(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, list] = {"train": [], "test": []}
    with tarfile.open(path) as archive:
        for member in archive:
            parts = Path(member.name).parts
            if len(parts) == 3:
                found[parts[0]].append((member.name, parts[1], _image(archive, member)))
    classes = sorted({name for rows in found.values() for _, name, _ in rows})
    arrays = {}
    for part, rows in found.items():
        rows.sort(key=lambda row: row[0])
        arrays[f"{part}_x"] = np.stack([pixels for _, _, pixels in rows])
        arrays[f"{part}_y"] = np.array([classes.index(name) for _, name, _ in rows])
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
