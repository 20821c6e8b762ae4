"""The rows of the race: to train on, to choose settings on, to be judged on. Real images.

No network is trained on a row of the other two parts. Rows to choose on come from the training
part of each data set; those to be judged on from its test part, or, of Tiny ImageNet, which has 50
a class there, from the training part as well.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from flows.data.dataset import Dataset

SHARED = Path(__file__).parents[3] / "shared" / "data"
PARTS = ("train", "choice", "test")
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Images (n, channels, height, width), float32, and labels (n,), int64, of the three parts.

    Attributes:
        name: Of the data.
        train, choice, test: Pairs of images and labels.
        classes: Outputs of a classifier.
        digest: Of all of it.
    """

    name: str
    train: tuple[Tensor, Tensor]
    choice: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    classes: int
    digest: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        return tuple(self.train[0].shape[1:])

    def dataset(self) -> Dataset:
        """As the product takes it: what is trained on, what is held out."""
        return Dataset(
            name=f"race:{self.name}",
            train_inputs=self.train[0],
            train_labels=self.train[1],
            test_inputs=self.test[0],
            test_labels=self.test[1],
            classes=self.classes,
            description="rows of the race",
        )


def load(name: str, folder: Path) -> Rows:
    """A data set by name: read once, then kept under a folder."""
    return _loaded(name, folder.absolute())


@lru_cache(maxsize=1)
def _loaded(name: str, folder: Path) -> Rows:
    path = folder / "data" / f"{name}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **READERS[name]())
        partial.replace(path)
    with np.load(path) as arrays:
        held = dict(arrays)
    pairs = {
        part: (_scaled(held[f"{part}_x"]), torch.from_numpy(held[f"{part}_y"]).long())
        for part in PARTS
    }
    digest = hashlib.sha256()
    for key in sorted(held):
        digest.update(key.encode() + held[key].tobytes())
    labels = pairs["train"][1]
    return Rows(name=name, classes=int(labels.max()) + 1, digest=digest.hexdigest()[:32], **pairs)


def _scaled(pixels: np.ndarray) -> Tensor:
    """Bytes to about -2 .. 2."""
    return torch.from_numpy(pixels).float().sub_(127.5).div_(64.0)


def _digits() -> Arrays:
    """scikit-learn's 8x8 digits: 900 to train on, 200 to choose on, the rest to be judged on."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images * 15.9).astype(np.uint8)[:, None]
    order = np.random.default_rng(1).permutation(len(images))
    places = {"train": order[:900], "choice": order[900:1100], "test": order[1100:]}
    return _parts({part: (images[rows], digits.target[rows]) for part, rows in places.items()})


def _mnist() -> Arrays:
    """MNIST: 300 a class to train on, 100 to choose on, 120 of the test part."""

    def read(part: str) -> tuple[np.ndarray, np.ndarray]:
        def values(kind: str, skip: int) -> np.ndarray:
            raw = gzip.decompress((SHARED / f"MNIST/raw/{part}-{kind}-ubyte.gz").read_bytes())
            return np.frombuffer(raw, np.uint8, offset=skip)

        return values("images-idx3", 16).reshape(-1, 1, 28, 28), values("labels-idx1", 8)

    images, labels = read("train")
    chosen = {c: np.flatnonzero(labels == c) for c in range(10)}
    train = np.concatenate([rows[:300] for rows in chosen.values()])
    choice = np.concatenate([rows[300:400] for rows in chosen.values()])
    held, held_labels = read("t10k")
    test = np.concatenate([np.flatnonzero(held_labels == c)[:120] for c in range(10)])
    return _parts(
        {
            "train": (images[train], labels[train]),
            "choice": (images[choice], labels[choice]),
            "test": (held[test], held_labels[test]),
        }
    )


def _parts(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Arrays:
    arrays: Arrays = {}
    for part, (images, labels) in pairs.items():
        arrays[f"{part}_x"] = np.ascontiguousarray(images)
        arrays[f"{part}_y"] = labels.astype(np.int64)
    return arrays


def _cifar10() -> Arrays:
    """CIFAR-10 (a JPEG copy), 32x32: 300 a class to train on, 60 to choose on, 100 test images."""

    def place(path: tuple[str, ...]) -> tuple[str, str] | None:
        return (path[0], path[1]) if len(path) == 3 else None

    return _photographs("cifar10.tar.xz", place, train=300, choice=60, test=100)


FIRST_OF_100 = 20
"""Classes of CIFAR-100 that are used: the first by name."""


def _cifar100() -> Arrays:
    """20 classes of CIFAR-100: 150 a class to train on, 40 to choose on, the 100 test images."""
    with tarfile.open(SHARED / "cifar100.tar.xz") as archive:
        file = archive.extractfile("cifar100/coarse.txt")
        if file is None:
            raise FileNotFoundError("cifar100/coarse.txt is no file in the archive.")
        lines = [line.split() for line in file.read().decode().splitlines() if line.strip()]
    chosen = set(sorted(line[0] for line in lines)[:FIRST_OF_100])

    def place(path: tuple[str, ...]) -> tuple[str, str] | None:
        return (path[1], path[2]) if len(path) == 4 and path[2] in chosen else None

    return _photographs("cifar100.tar.xz", place, train=150, choice=40, test=100)


def _tiny() -> Arrays:
    """20 classes of Tiny ImageNet, halved to 32x32: 150 a class, 40 to choose on, 100 held out.

    All come from the training part: the official test part has 50 a class.
    """

    def place(path: tuple[str, ...]) -> tuple[str, str] | None:
        return ("train", path[2]) if len(path) == 5 and path[1] == "train" else None

    return _photographs("tiny-imagenet-20.tar.xz", place, train=150, choice=40, test=100, one=True)


def _photographs(
    archive: str,
    place: Callable[[tuple[str, ...]], tuple[str, str] | None],
    *,
    train: int,
    choice: int,
    test: int,
    one: bool = False,
) -> Arrays:
    """The first images of each class by file name, so many for each part.

    Args:
        archive: In the shared folder.
        place: From the parts of a path to ("train" or "test", class), None for other files.
        one: Whether the test rows follow the others in the training part.
    """
    wanted = {"train": train + choice + (test if one else 0), "test": 0 if one else test}
    held: dict[tuple[str, str], list[tuple[str, np.ndarray]]] = {}
    with tarfile.open(SHARED / archive) as opened:
        for member in opened:
            where = place(Path(member.name).parts) if member.isfile() else None
            if where is None or len(held.setdefault(where, [])) >= wanted[where[0]]:
                continue
            file = opened.extractfile(member)
            if file is not None:
                held[where].append((member.name, _pixels(file.read())))
    parts: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    labels: dict[str, list[int]] = {part: [] for part in PARTS}
    for label, name in enumerate(sorted({name for _, name in held})):
        own = [pixels for _, pixels in sorted(held["train", name], key=lambda row: row[0])]
        others = [pixels for _, pixels in sorted(held.get(("test", name), []), key=lambda r: r[0])]
        split = {
            "train": own[:train],
            "choice": own[train : train + choice],
            "test": own[train + choice :] if one else others,
        }
        for part, images in split.items():
            parts[part].extend(images)
            labels[part].extend([label] * len(images))
    return _parts({part: (np.stack(parts[part]), np.array(labels[part])) for part in PARTS})


def _pixels(content: bytes) -> np.ndarray:
    """(3, 32, 32), uint8."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    if image.width != 32:
        image = image.resize((32, 32), Image.Resampling.BOX)
    return np.asarray(image).transpose(2, 0, 1)


READERS: Mapping[str, Callable[[], Arrays]] = {
    "digits": _digits,
    "mnist": _mnist,
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "tiny": _tiny,
}
