"""Files that hold given weights, whatever they are called and whatever else is written in them.

A safetensors file is eight bytes of length, a JSON header, and the tensors. Two files hold the same
weights where the tensors' names, types, shapes and bytes agree: the header's free text does not
count, nor does the order of the tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.state.files import digest_file

LONGEST_HEADER = 100 << 20
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """What a file holds, by its header.

    Attributes:
        path: The file.
        start: Where the tensors' bytes begin.
        entries: Name, type, shape, first and last byte of each, by name.
    """

    path: Path
    start: int
    entries: tuple[tuple[str, str, tuple[int, ...], int, int], ...]

    @property
    def shape(self) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
        """Without the places: what must agree before the bytes are worth reading."""
        return tuple((name, kind, shape) for name, kind, shape, _, _ in self.entries)

    def digest(self) -> str:
        """SHA-256 over the tensors' bytes in the order of their names."""
        content = hashlib.sha256()
        with self.path.open("rb") as file:
            for _, _, _, first, last in self.entries:
                file.seek(self.start + first)
                left = last - first
                while left > 0 and (block := file.read(min(BLOCK, left))):
                    content.update(block)
                    left -= len(block)
        return content.hexdigest()


def below(folder: Path) -> list[Tensors]:
    """Every safetensors file below a folder by what is in it, links left out."""
    files = (path for path in sorted(folder.rglob("*")) if not path.is_symlink() and path.is_file())
    return [tensors for path in files if (tensors := of(path)) is not None]


def of(path: Path) -> Tensors | None:
    """The tensors of a file; None where it is no safetensors file."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= LONGEST_HEADER or file.read(1) != b"{":
                return None
            header = json.loads(b"{" + file.read(length - 1))
        entries = tuple(
            (name, str(one["dtype"]), tuple(one["shape"]), *map(int, one["data_offsets"]))
            for name, one in sorted(header.items())
            if name != "__metadata__"
        )
        return Tensors(path=path, start=8 + length, entries=entries)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # gone meanwhile, or another kind of file that begins alike


def holding(files: Iterable[Tensors], wanted: set[str]) -> Iterator[tuple[Path, str]]:
    """Those with wanted weights: path and the wanted SHA-256.

    A file is wanted by its bytes, or because its tensors are those of one that is.

    Args:
        files: All there are.
        wanted: SHA-256 of whole files.
    """
    digests = [(each, digest_file(each.path)) for each in files]
    originals = [(each, digest) for each, digest in digests if digest in wanted and each.entries]
    contents: dict[tuple[object, str], str] = {}
    for original, digest in originals:
        contents.setdefault((original.shape, original.digest()), digest)
    shapes = {shape for shape, _ in contents}
    for each, digest in digests:
        if digest in wanted:
            yield each.path, digest
        elif each.shape in shapes and (same := contents.get((each.shape, each.digest()))):
            yield each.path, same
