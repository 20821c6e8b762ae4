"""MNIST, CIFAR-10 and CIFAR-100 through torchvision: downloaded once, or read where they lie."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from compliance.formats import files
from flows.data.dataset import Dataset, DataSpec
from flows.state.errors import DataError
from flows.state.files import digest_bytes, digest_file, write_atomically
from flows.state.settings import settings

if TYPE_CHECKING:
    from torch import Tensor


BROKEN = (TypeError, KeyError, AssertionError)
"""What torchvision raises on a damaged file, beside the errors of reading."""


def load(spec: DataSpec) -> Dataset:
    """A data set of torchvision's, from `spec.root` or downloaded under the state folder.

    Raises:
        DataError: The files are not there, or the download failed.
    """
    from torchvision import datasets as zoo

    kinds = {"mnist": zoo.MNIST, "cifar10": zoo.CIFAR10, "cifar100": zoo.CIFAR100}
    kind = kinds[spec.name]
    root = _root(spec)
    _refuse_pickles(spec, root)
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
    except (URLError, OSError, RuntimeError, ValueError, *BROKEN) as problem:
        # torchvision advises a download that nobody asked for
        reason = str(problem).partition(" You can use download=True")[0].strip().rstrip(".")
        where = f"in {spec.root}" if spec.root else "by download"
        raise DataError(
            f"Data set '{spec.name}' cannot be read {where}: {reason or 'a file is damaged'}. "
            f"Put its files in a folder as torchvision's {kind.__name__}(root=...) expects them, "
            "and name it with --data-root."
        ) from problem


def _refuse_pickles(spec: DataSpec, root: Path) -> None:
    """torchvision would unpickle MNIST as it was kept years ago. (CIFAR's pickles it opens only
    with the published digests.)"""
    old = sorted((root / "MNIST" / "processed").glob("*.pt")) if spec.name == "mnist" else []
    if old:
        raise DataError(
            f"Data set 'mnist': {old[0]} is a pickle, and unpickling can run code: damp does not "
            "open it. Remove that folder; the files in MNIST/raw are enough."
        )


def _tensors(part: Any) -> tuple[Tensor, Tensor]:
    """Images as (n, channels, height, width) in [0, 1], and labels."""
    import torch

    images = torch.as_tensor(part.data)
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return images.contiguous().float() / 255, torch.as_tensor(part.targets).long()


def _root(spec: DataSpec) -> Path:
    """Where torchvision should look; compressed MNIST files of a read-only folder are unpacked."""
    downloads = settings().home / "downloads"
    if spec.root is None:
        return downloads
    folder = Path(spec.root).expanduser()
    packed = sorted((folder / "MNIST" / "raw").glob("*-ubyte.gz"))
    if spec.name != "mnist" or all(path.with_suffix("").exists() for path in packed):
        return folder
    # named by content: what two folders hold is never mixed up, nor with what was downloaded
    content = "".join(digest_file(path) for path in packed)
    own = downloads / f"unpacked-{digest_bytes(content.encode())[:16]}"
    for path in packed:
        unpacked = own / "MNIST" / "raw" / path.stem
        if not unpacked.exists():
            write_atomically(unpacked, _unpacked(path))
    return own


def _unpacked(path: Path) -> bytes:
    try:
        return gzip.decompress(files.read(path))
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(
            f"Data set 'mnist': {path} cannot be unpacked ({problem}): it is damaged or cut short. "
            "Fetch it again."
        ) from problem
