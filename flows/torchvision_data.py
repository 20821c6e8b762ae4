"""MNIST, CIFAR-10 and CIFAR-100 through torchvision: downloaded once, or read where they lie."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from flows.errors import DataError
from flows.settings import settings
from flows.store import write_atomically

if TYPE_CHECKING:
    from torch import Tensor

    from flows.datasets import Dataset, DataSpec


def load(spec: DataSpec) -> Dataset:
    """A data set of torchvision's, from `spec.root` or downloaded under the state folder.

    Raises:
        DataError: The files are not there, or the download failed.
    """
    from torchvision import datasets as zoo

    from flows.datasets import Dataset

    kinds = {"mnist": zoo.MNIST, "cifar10": zoo.CIFAR10, "cifar100": zoo.CIFAR100}
    kind = kinds[spec.name]
    root = _root(spec)
    train, test = (_part(kind, spec, root, train=part) for part in (True, False))
    (train_x, train_y), (test_x, test_y) = _tensors(train), _tensors(test)
    return Dataset(
        name=spec.name,
        train_inputs=train_x,
        train_labels=train_y,
        test_inputs=test_x,
        test_labels=test_y,
        classes=len(train.classes),
        description=f"{kind.__name__}, {train_x.shape[-2]}x{train_x.shape[-1]}, by torchvision",
    )


def _part(kind: Any, spec: DataSpec, root: Path, *, train: bool) -> Any:
    """The training or the test part; fetched first where no folder was named."""
    try:
        return kind(root=str(root), train=train, download=spec.root is None)
    except (URLError, OSError, RuntimeError) as problem:
        where = f"in {spec.root}" if spec.root else "by download"
        raise DataError(
            f"Data set '{spec.name}' cannot be had {where}: {problem}. Put its files in a folder "
            f"as torchvision's {kind.__name__}(root=...) expects them and name it with --data-root."
        ) from problem


def _tensors(part: Any) -> tuple[Tensor, Tensor]:
    """Images as (n, channels, height, width) in [0, 1], and labels."""
    import torch

    images = torch.as_tensor(part.data)
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return images.contiguous().float() / 255, torch.as_tensor(part.targets).long()


def _root(spec: DataSpec) -> Path:
    """Where torchvision should look; compressed MNIST files of a read-only folder are unpacked."""
    own = settings().home / "downloads"
    if spec.root is None:
        return own
    given = Path(spec.root).expanduser()
    packed = sorted((given / "MNIST" / "raw").glob("*-ubyte.gz"))
    if spec.name != "mnist" or not packed or packed[0].with_suffix("").exists():
        return given
    for path in packed:
        unpacked = own / "MNIST" / "raw" / path.stem
        if not unpacked.exists():
            write_atomically(unpacked, gzip.decompress(path.read_bytes()))
    return own
