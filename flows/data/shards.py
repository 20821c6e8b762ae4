"""A data set as files: one shard per part and class, the same rows always in the same bytes."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from flows.data.dataset import Dataset

NO_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip archive can say: no shard knows when it was written."""


def shards(dataset: Dataset) -> Iterator[tuple[str, int, bytes]]:
    """Part, class and bytes of each shard, one at a time.

    A shard holds `inputs` (n, channels, height, width) float32 (of a user's pictures the decoded
    bytes, uint8), `labels` (n,) int64 and `rows`
    (n,) int64, the rows' numbers within their part, so that their order can be restored.
    """
    import torch

    from flows.data.view import View

    held = dataset.rows()
    for part, inputs, labels in (
        ("train", held.train_inputs, held.train_labels),
        ("test", held.test_inputs, held.test_labels),
    ):
        for label, rows in rows_by_class(labels.numpy()).items():
            numbers = torch.from_numpy(rows)
            kept = inputs.stored(numbers) if isinstance(inputs, View) else inputs[numbers]
            pixels = kept.numpy()
            content = {"inputs": pixels, "labels": labels.numpy()[rows], "rows": rows}
            yield part, label, archive(content)


def name(part: str, label: int) -> str:
    """The file name of a part's rows of one class.

    >>> name("train", 8)
    'train-008.npz'
    """
    return f"{part}-{label:03d}.npz"


def md5(content: bytes) -> str:
    """The digest that DVC names files by; it identifies, and protects nothing."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def rows_by_class(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Row numbers of each class that occurs, ascending, int64; classes ascending."""
    import numpy as np

    order = np.argsort(labels, kind="stable").astype("<i8")
    classes, starts = np.unique(labels[order], return_index=True)
    groups = np.split(order, starts[1:])
    return dict(zip(classes.tolist(), groups, strict=True))


def archive(arrays: dict[str, np.ndarray]) -> bytes:
    """A `.npz` archive without compression and without dates, which `numpy.load` reads."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for key, array in sorted(arrays.items()):
            entry = zipfile.ZipInfo(f"{key}.npy", NO_DATE)
            entry.create_system = 3  # else the archive tells the platform it was made on
            entry.external_attr = 0o644 << 16
            file.writestr(entry, _npy(array))
    return buffer.getvalue()


def _npy(array: np.ndarray) -> bytes:
    """numpy's own format: little-endian, version 1.0, no pickle."""
    import numpy as np

    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, plain, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
