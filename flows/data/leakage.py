"""Images that are there twice: in both parts, so that they are no held-out data, or in two classes.

Both make figures say something else than they seem to: held-out accuracy, few-shot and membership
audits look at memorised images, and a forgotten image stays under another class.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audits.images import Images
    from flows.data.dataset import Dataset


def shared_rows(dataset: Dataset) -> int:
    """Test images whose every pixel is that of a training image, whatever their labels."""
    trained = set(_digests(dataset.train_inputs))
    return sum(digest in trained for digest in _digests(dataset.test_inputs))


def in_two_classes(dataset: Dataset) -> Counter[tuple[int, int]]:
    """Different training images that two classes share, pixel by pixel, by pair of classes."""
    labels = defaultdict(set)
    rows = zip(_digests(dataset.train_inputs), dataset.train_labels.tolist(), strict=True)
    for digest, label in rows:
        labels[digest].add(label)
    return Counter(
        pair
        for several in labels.values()
        if len(several) > 1
        for pair in combinations(sorted(several), 2)
    )


def _digests(inputs: Images) -> list[bytes]:
    """sha256 of each row's pixels; adding 0 makes -0 and 0, which are equal, the same bytes."""
    from flows.data.view import View

    if isinstance(inputs, View):
        rows = map(inputs.stored_bytes, range(len(inputs)))
        return [hashlib.sha256(row).digest() for row in rows]
    return [
        hashlib.sha256((row + 0.0).tobytes()).digest()
        for part in inputs.split(1000)
        for row in part.numpy()
    ]
