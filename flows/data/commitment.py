"""Commitments to training rows: those forgotten, without showing them; those kept, as one digest.

A plain hash of a record could be matched against a guess. A keyed one cannot, and once the key is
destroyed the commitment identifies nobody.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compliance.ledger import merkle
from flows.state import others_code
from flows.state.errors import StoreError
from flows.state.paths import Home

if TYPE_CHECKING:
    import numpy as np

    from flows.data.dataset import Dataset

ALGORITHM = "hmac-sha256-sorted-merkle-rfc6962"
KEY_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """The root of a Merkle tree over keyed digests of records.

    Attributes:
        count: Records.
        root: 64 hexadecimal digits.
        algorithm: How it was made.
    """

    count: int
    root: str
    algorithm: str

    def to_json(self) -> dict[str, int | str]:
        """As the statement holds it."""
        return {"count": self.count, "commitment": self.root, "algorithm": self.algorithm}


def commitment(rows: Sequence[bytes], key: bytes) -> Commitment:
    """Commit to records: HMAC-SHA256 of each, sorted, as the leaves of a Merkle tree."""
    leaves = sorted(hmac.digest(key, row, "sha256") for row in rows)
    root = merkle.root(map(merkle.leaf_hash, leaves))
    return Commitment(count=len(leaves), root=root.hex(), algorithm=ALGORITHM)


def forget_set(dataset: Dataset, forget: Sequence[int], home: Home) -> dict[str, int | str]:
    """The commitment to the training records of some classes, under this home's key.

    Where code of the other side runs, it is the key of that event, which shows nothing of others.
    """
    key = others_code.event_key() or forget_key(home)
    return commitment(list(records(dataset, _of(dataset, forget))), key).to_json()


def event_key(home: Home, event: str) -> bytes:
    """The key of one event, 32 bytes: HMAC-SHA256 of its id under this home's key.

    Raises:
        StoreError: This home's key cannot be made or read.
    """
    return hmac.digest(forget_key(home), event.encode(), "sha256")


def retain_set(dataset: Dataset, forget: Sequence[int]) -> dict[str, int | str]:
    """Number and digest of the training records that stay, as the statement holds them."""
    kept = ~_of(dataset, forget)
    return {"count": int(kept.sum()), "sha256": retain_digest(dataset, forget)}


def retain_digest(dataset: Dataset, forget: Sequence[int]) -> str:
    """sha256 over the sorted sha256 digests (32 bytes each) of the records of all other classes."""
    kept = records(dataset, ~_of(dataset, forget))
    digests = sorted(hashlib.sha256(record).digest() for record in kept)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def records(dataset: Dataset, chosen: np.ndarray) -> Iterator[bytes]:
    """Training rows as bytes: inputs in row-major order, then the label as 64 bits; little-endian.

    Inputs are float32, before any preprocessing. Of image files that a preprocessing resizes they
    are the pixels at the model's size, uint8.

    Args:
        dataset: Where they are from.
        chosen: (n,) bool.
    """
    import numpy as np

    from flows.data.view import View

    images = dataset.rows().train_inputs
    labels = dataset.train_labels.numpy().astype("<i8", copy=False)
    for row in np.flatnonzero(chosen).tolist():
        if isinstance(images, View):
            pixels = images.row_bytes(row)
        else:
            pixels = images[row].numpy().astype("<f4", copy=False).tobytes()
        yield pixels + labels[row].tobytes()


def forget_key(home: Home) -> bytes:
    """The controller's key, created once; only its owner can read it.

    Raises:
        StoreError: It cannot be made or read, or it is not 32 bytes long.
    """
    path = home.keys / "forget-set.key"
    try:
        if not path.exists():
            _make_key(path)
        key = path.read_bytes()
    except OSError as problem:
        raise StoreError(
            f"Cannot read or make the key {path}: {problem.strerror or problem}. Make the folder "
            "writable for this user; a lost key makes old commitments unlinkable."
        ) from problem
    if len(key) != KEY_BYTES:
        raise StoreError(
            f"{path} holds {len(key)} bytes, a key has {KEY_BYTES}. Restore it from where it is "
            "kept; a new one would not fit the commitments made so far."
        )
    return key


def _make_key(path: Path) -> None:
    """Whole or not at all, and never over a key that another process created meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".forget-set.")  # 0600 from the start
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return  # theirs counts
    finally:
        temporary.unlink()


def _of(dataset: Dataset, classes: Sequence[int]) -> np.ndarray:
    """Which training rows are of these classes, (n,) bool."""
    import numpy as np

    return np.isin(dataset.train_labels.numpy(), list(classes))
