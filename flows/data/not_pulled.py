"""A folder or file that DVC keeps and that is not here yet: told apart from one that is not there.

A repository that uses DVC holds `photos.dvc` beside a folder that a fresh clone lacks. Nothing is
fetched here: whose remote it is, and what a pull costs, is for the person to decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def remedy(missing: Path) -> str:
    """How to get a path that is not there; empty where no DVC file beside its place names it.

    The DVC file may be of a folder further up: `data.dvc` brings `data/photos`.
    """
    for note in _notes(missing):
        if note.is_file():
            return f"DVC keeps it and it is not here yet: run `dvc pull {note}`."
    return ""


def _notes(missing: Path) -> Iterator[Path]:
    """DVC files that would bring the path: of itself, then of each folder above that is missing."""
    place = missing.absolute()
    while not place.exists() and place != place.parent:
        yield place.with_name(f"{place.name}.dvc")
        place = place.parent
