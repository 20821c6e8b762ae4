"""All files of a registered model, and one digest over them: each name, its bytes, and no more."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from flows.state.errors import RegistryError
from flows.state.files import canonical, digest_bytes, digest_file

MOST_FILES = 10_000
"""Of one version: a source may be any folder, the root of the file system too."""


def manifest(files: Mapping[str, Path]) -> str:
    """SHA-256 over the canonical JSON of each name with the digest of its bytes."""
    digests = {name: digest_file(path) for name, path in files.items()}
    return digest_bytes(canonical(digests))


def files_below(root: Path) -> dict[str, Path]:
    """Every regular file below a folder, through links to folders too; or the one file.

    Raises:
        RegistryError: There is nothing, or too much.
    """
    if root.is_file():
        return {root.name: root}
    if not root.is_dir():
        raise RegistryError(f"Its files are gone from {root}.")
    files: dict[str, Path] = {}
    visited: set[Path] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in visited:  # a link to a folder above it
            folders.clear()
            continue
        visited.add(real)
        paths = [Path(folder) / name for name in names]
        files |= {p.relative_to(root).as_posix(): p for p in paths if p.is_file()}
        if len(files) > MOST_FILES:
            raise RegistryError(f"More than {MOST_FILES} files lie at {root}.")
    return files
