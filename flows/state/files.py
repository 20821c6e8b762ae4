"""Files: digests, and writes that leave a whole file or none."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from compliance.formats import files
from flows.state.errors import StoreError

if TYPE_CHECKING:
    import numpy as np

SECRET = (".safetensors", ".pem", ".key")
"""Endings of what only its owner may read: weights can give away what they were trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file that a step has left behind: where, under the state folder, and its content."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    path: str
    sha256: str

    @classmethod
    def of(cls, root: Path, path: Path) -> Artifact:
        """The artifact of a file as it is now."""
        return cls(path=path.relative_to(root).as_posix(), sha256=digest_file(path))

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def is_intact(root: Path, artifact: Artifact) -> bool:
    """Whether the file is there with the bytes that were recorded."""
    path = root / artifact.path
    return path.is_file() and digest_file(path) == artifact.sha256


def canonical(content: Any) -> bytes:
    """RFC 8785: the one way to write this content as JSON."""
    import rfc8785

    return rfc8785.dumps(content)


def digest_bytes(content: bytes) -> str:
    """sha256, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 of a file's bytes, as 64 hexadecimal digits.

    Raises:
        StoreError: It is gone or cannot be read.
    """
    try:
        files.refuse_special(path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(
            f"Cannot read {path}: {error.strerror or error}. Bring the file back or make it "
            "readable, then run the same command again."
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that its name never shows a half: aside, flushed to disk, then renamed.

    Raises:
        StoreError: No space, no permission or no such folder; the old file, if any, is as it was.
    """
    with aside(path) as (_, handle), os.fdopen(os.dup(handle), "wb") as file:
        file.write(content)


@contextmanager
def aside(path: Path) -> Iterator[tuple[Path, int]]:
    """A temporary file beside `path` that takes its name when the block ends without error.

    Weights and keys are for their owner alone; the mode of other files is left to the `umask`,
    which narrows both.

    Yields:
        The temporary path and an open descriptor of it; write through either.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        mode = files.PRIVATE if path.suffix in SECRET else files.OPEN
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield temporary, handle
        os.fsync(handle)
        temporary.replace(path)
        files.sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        os.close(handle)
        temporary.unlink(missing_ok=True)


def save_arrays(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Arrays as one safetensors file, written atomically."""
    import numpy as np
    from safetensors.numpy import save

    # safetensors writes memory as it lies: a view would come out in another order
    whole = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    write_atomically(path, save(whole, metadata=dict(sorted(metadata.items()))))


def load_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a file that `save_arrays` wrote.

    Raises:
        StoreError: It is gone, cannot be read or is damaged.
    """
    with _safetensors(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - not a dict


def load_metadata(path: Path) -> dict[str, str]:
    """The metadata of such a file, without its arrays.

    Raises:
        StoreError: It is gone, cannot be read or is damaged.
    """
    with _safetensors(path) as file:
        return file.metadata() or {}


@contextmanager
def _safetensors(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise StoreError(
            f"Cannot read {path}: {error}. Delete it; the same command computes it again."
        ) from error


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"Cannot write {path}: {error.strerror or error}. Nothing under that name was changed. "
        "Free some space or make the folder writable, then run the same command again."
    )
