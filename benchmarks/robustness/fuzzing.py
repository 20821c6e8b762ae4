"""The fuzzing itself: crafted kinds and mutations of models, data and documents, counted."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.robustness import crafted_data, crafted_models, documents, mutating
from benchmarks.robustness.documents import Document
from benchmarks.robustness.watching import Watch


@contextmanager
def watched() -> Iterator[Watch]:
    """A watch over a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="damp-fuzzing-") as folder:
        yield Watch(folder=Path(folder))


def crafted_model_files(watch: Watch) -> None:
    """Every crafted kind, and paths that are no plain file."""
    for name, content in crafted_models.kinds(watch.folder):
        _one(watch, f"{name}.safetensors", content, crafted_models.load)
    for name, path in crafted_models.paths(watch.folder):
        watch.read(name, lambda path=path: crafted_models.load(path))  # type: ignore[misc]


def mutated_models(watch: Watch, count: int, seed: int) -> None:
    """Mutations of a good model file."""
    good, draw = crafted_models.good(), random.Random(f"models {seed}")  # noqa: S311
    for number in range(count):
        content = mutating.of_bytes(good, draw)
        _one(watch, f"{number}.safetensors", content, crafted_models.load)


def crafted_folders(watch: Watch) -> None:
    """Every crafted kind of image folder."""
    for name, folder in crafted_data.kinds(watch.folder):
        watch.read(name, lambda folder=folder: crafted_data.load(folder))  # type: ignore[misc]


def mutated_pictures(watch: Watch, count: int, seed: int) -> None:
    """A good folder in which one picture after the other is mutated, in every form that is read."""
    folder = crafted_data.folder_of_pictures(watch.folder / "pictures")
    draw = random.Random(f"pictures {seed}")  # noqa: S311
    forms = [
        crafted_data.picture(1, form=form) for form in ("PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM")
    ]
    bad = folder / "ant" / "9.png"
    for number in range(count):
        bad.write_bytes(mutating.of_bytes(forms[number % len(forms)], draw))
        watch.read(f"picture {number}", lambda: crafted_data.load(folder))
        bad.unlink()


def mutated_documents(
    watch: Watch, kinds: Iterable[Document], count: int, seed: int
) -> dict[str, int]:
    """So many mutations of each kind; how many of each were taken.

    The good file is read first: it must be taken, and what is imported for it counts for none.
    """
    taken = {}
    for kind in kinds:
        _read_once(kind, watch.folder / f"good{kind.ending}")
        before = watch.taken
        for name, content in kind.mutations(count, seed):
            _one(watch, name, content, kind.read)
        taken[kind.name] = watch.taken - before
    return taken


def signed_statements(
    watch: Watch, statement: Path, key: Any, read: Callable[[Path], Any], count: int, seed: int
) -> None:
    """Statements that a trusted key signed although their content was changed."""
    for name, content in documents.signed_mutations(statement, key, count, seed):
        _one(watch, name, content, read)


def _read_once(kind: Document, path: Path) -> None:
    path.write_bytes(kind.content)
    kind.read(path)
    path.unlink()


def _one(watch: Watch, name: str, content: bytes, read: Callable[[Path], Any]) -> None:
    path = watch.folder / name
    path.write_bytes(content)
    watch.read(name, lambda: read(path))
    path.unlink(missing_ok=True)
