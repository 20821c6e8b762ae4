"""Five data sets of real images, each split in training, validation and test rows.

Settings are chosen on validation rows; the tables come from test rows. No network is trained on
either.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

CACHE = Path(".cache/method")
SHARED = Path("../shared/data")
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Data:
    """Images and labels of the three parts.

    Attributes:
        images: Part -> (n, channels, height, width), uint8.
        labels: Part -> (n,), int64.
        digest: Of all of it.
    """

    images: Mapping[str, Tensor]
    labels: Mapping[str, Tensor]
    digest: str

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.labels["train"].max()) + 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        _, channels, height, width = self.images["train"].shape
        return channels, height, width

    def inputs(self, part: str) -> Tensor:
        """Images of a part as a network takes them, (n, channels, height, width), float32."""
        return normalised(self.images[part])


def normalised(images: Tensor) -> Tensor:
    """Bytes to about -2 .. 2, float32."""
    return images.to(torch.float32).sub_(127.5).div_(64.0)


def load(name: str) -> Data:
    """A data set by name: read once, then kept under `.cache/method`."""
    path = CACHE / f"data-{name}.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        content = READERS[name]()
        partial = path.with_suffix(".partial")
        save_file(content, partial)
        partial.replace(path)
    tensors = load_file(path)
    return Data(
        images={part: tensors[f"{part}.images"] for part in PARTS},
        labels={part: tensors[f"{part}.labels"].long() for part in PARTS},
        digest=_digest(tensors),
    )


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()


def _parted(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], *, validation: int, used: int | None
) -> dict[str, Tensor]:
    """Three parts: `validation` images a class leave the training rows, at most `used` remain."""
    images, labels = train
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    rank = torch.empty_like(labels)
    for label in labels.unique():
        own = order[labels[order] == label]
        rank[own] = torch.arange(len(own))
    kept = order[rank[order] >= validation][:used].sort().values
    held = (rank < validation).nonzero().flatten()
    pairs = zip(
        PARTS, ((images[kept], labels[kept]), (images[held], labels[held]), test), strict=True
    )
    tensors = {}
    for part, (x, y) in pairs:
        tensors |= {f"{part}.images": x.contiguous(), f"{part}.labels": y.to(torch.uint8)}
    return tensors


def _digits() -> dict[str, Tensor]:
    """scikit-learn's 8x8 digits: half to train on, a quarter each to choose and to test on."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images * 15.9).to(torch.uint8)[:, None]
    labels = torch.from_numpy(digits.target).long()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    test, rest = order[:450].sort().values, order[450:].sort().values
    return _parted(
        (images[rest], labels[rest]), (images[test], labels[test]), validation=45, used=None
    )


def _mnist() -> dict[str, Tensor]:
    """MNIST: 10,000 images to train on, 1,000 a class to choose on."""

    def read(part: str) -> tuple[Tensor, Tensor]:
        def values(kind: str, skip: int) -> np.ndarray:
            raw = gzip.decompress((SHARED / f"MNIST/raw/{part}-{kind}-ubyte.gz").read_bytes())
            return np.frombuffer(raw, np.uint8, offset=skip).copy()

        images = torch.from_numpy(values("images-idx3", 16)).view(-1, 1, 28, 28)
        return images, torch.from_numpy(values("labels-idx1", 8)).long()

    return _parted(read("train"), read("t10k"), validation=1000, used=10_000)


def _cifar10() -> dict[str, Tensor]:
    """CIFAR-10 (a JPEG copy): 45,000 images to train on, 500 a class to choose on."""
    root = unpacked("cifar10")
    return _parted(_folders(root / "train"), _folders(root / "test"), validation=500, used=None)


def _cifar10_small() -> dict[str, Tensor]:
    """The same images, 1,200 a class to train on: a residual net learns them in minutes."""
    root = unpacked("cifar10")
    train = _folders(root / "train")
    return _parted(train, _folders(root / "test"), validation=500, used=12_000)


def _tiny() -> dict[str, Tensor]:
    """20 classes of Tiny ImageNet: 450 images a class to train on, 50 to choose, 50 to test on."""
    root = unpacked("tiny-imagenet-20") / "tiny-imagenet-200"
    numbers = {path.name: n for n, path in enumerate(sorted((root / "train").iterdir()))}
    train = [
        (path, numbers[folder])
        for folder in numbers
        for path in sorted((root / "train" / folder / "images").iterdir())
    ]
    lines = [
        line.split("\t") for line in (root / "val/val_annotations.txt").read_text().splitlines()
    ]
    test = [
        (root / "val/images" / line[0], numbers[line[1]])
        for line in lines
        if line[1] in numbers and (root / "val/images" / line[0]).is_file()
    ]
    return _parted(_read(train), _read(test), validation=50, used=None)


def _folders(root: Path) -> tuple[Tensor, Tensor]:
    """An image folder, classes in alphabetical order."""
    return _read(
        [
            (path, number)
            for number, folder in enumerate(sorted(root.iterdir()))
            for path in sorted(folder.iterdir())
        ]
    )


def _read(files: list[tuple[Path, int]]) -> tuple[Tensor, Tensor]:
    images = [np.asarray(Image.open(path).convert("RGB")) for path, _ in files]
    labels = torch.tensor([number for _, number in files])
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), labels


def unpacked(name: str) -> Path:
    """The folder of an archive of `../shared/data`, unpacked under the cache once."""
    import tarfile

    folder = CACHE / "raw" / name
    if not folder.is_dir():
        partial = folder.with_name(f"{name}.partial")
        with tarfile.open(SHARED / f"{name}.tar.xz") as archive:
            archive.extractall(partial, filter="data")
        partial.rename(folder)
    return folder


READERS: Mapping[str, Callable[[], dict[str, Tensor]]] = {
    "digits": _digits,
    "mnist": _mnist,
    "cifar10": _cifar10,
    "cifar10-small": _cifar10_small,
    "tiny": _tiny,
}
