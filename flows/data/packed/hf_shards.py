"""Hugging Face's `datasets` folders: Parquet files as on the hub, Arrow files as of `save_to_disk`.

Read by pyarrow, as columns of bytes: no loading script, no pickle and no class out of the file is
ever run. What the file says of its features names the columns and the classes. A cell that names a
file in place of bytes is refused: it could name any file.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from flows.data.packed import tar_shards
from flows.data.packed.record import Entry, Place
from flows.state.errors import DataError

ENDINGS = (".parquet", ".arrow")
LARGEST_GROUP = 1 << 30
"""Bytes of images in a row group at most: one is held as a whole."""
GROUPS = 2
"""Row groups that are held, of all files together."""
IMAGES = ("image", "img", "jpg", "jpeg", "png", "webp")
LABELS = ("label", "labels", "class", "cls", "target")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns hold what.

    Attributes:
        image: Name of the images' column.
        label: Of the classes'.
        names: Of the classes, where the file has them.
    """

    image: str
    label: str
    names: tuple[str, ...] | None


def columns(shard: Path, label: str) -> Columns:
    """What the file says of its columns.

    Args:
        shard: A Parquet or Arrow file.
        label: The column with the class; "" where there is one alone.
    Raises:
        DataError: pyarrow is missing, the file cannot be read, or there are none or several.
    """
    schema = _schema(shard)
    features = _features(schema)
    images = _of_kind(schema, "Image", IMAGES)
    classes = _of_kind(schema, "ClassLabel", LABELS)
    if label:
        classes = [label] if label in schema.names else []
    if len(images) != 1 or len(classes) != 1:
        raise DataError(
            f"{shard} has the columns {', '.join(schema.names[:20])}, of which "
            f"{len(images)} hold images and {len(classes)} classes. It needs one of each: name the "
            "one with the class behind the folder, as in hf:FOLDER#fine_label."
        )
    names = features.get(classes[0], {})
    listed = names.get("names") if isinstance(names, dict) else None
    whole = isinstance(listed, list) and all(isinstance(each, str) for each in listed)
    return Columns(images[0], classes[0], tuple(listed) if listed and whole else None)


def scan(shard: Path, label: str) -> list[Entry]:
    """Every image of a file with its class.

    Raises:
        DataError: A cell holds no bytes or no class, or the file is damaged.
    """
    named = columns(shard, label)
    arrow = _pyarrow()
    try:
        parts = _parquet(shard, named) if shard.suffix == ".parquet" else _stream(shard, named)
        return list(parts)
    except (arrow.ArrowException, OSError) as problem:
        raise DataError(f"{shard} cannot be read ({_first(problem)}). Fetch it again.") from problem


def read(shard: Path, place: Place) -> bytes:
    """The image at a place: row group and row of a Parquet file, offset and size of an Arrow file.

    Raises:
        OSError: The file is gone or damaged.
    """
    if shard.suffix != ".parquet":
        return tar_shards.read(shard, place)
    try:
        cell = _GROUPS.of(shard, place[0])[place[1]].as_py()
    except (_pyarrow().ArrowException, IndexError) as problem:
        raise OSError(f"{shard} is damaged: {_first(problem)}") from problem
    return bytes(cell)


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as problem:
        raise DataError(
            "Folders of Hugging Face's datasets are read by pyarrow, which is not installed: pip "
            "install 'damp-unlearning[parquet]'."
        ) from problem
    return pyarrow


def _schema(shard: Path) -> Any:
    arrow = _pyarrow()
    try:
        if shard.suffix == ".parquet":
            return arrow.parquet.read_schema(shard)
        with arrow.OSFile(str(shard)) as file, arrow.ipc.open_stream(file) as stream:
            return stream.schema
    except (arrow.ArrowException, OSError) as problem:
        raise DataError(
            f"{shard} is no {shard.suffix[1:]} file that can be read ({_first(problem)}). Fetch it "
            "again, or write it by `datasets`."
        ) from problem


def _features(schema: Any) -> dict[str, Any]:
    """What `datasets` wrote of the columns; empty where it wrote nothing that can be read."""
    try:
        stated = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = stated.get("info", {}).get("features", {})
        return features if isinstance(features, dict) else {}
    except (ValueError, AttributeError):
        return {}


def _of_kind(schema: Any, kind: str, usual: tuple[str, ...]) -> list[str]:
    """Columns that are stated to be of a kind, else those with a usual name."""
    features = _features(schema)
    kinds = {n: f.get("_type") for n, f in features.items() if isinstance(f, dict)}
    return [n for n in schema.names if kinds.get(n) == kind] or [
        n for n in usual if n in schema.names
    ]


def _parquet(shard: Path, named: Columns) -> Iterator[Entry]:
    arrow = _pyarrow()
    with arrow.parquet.ParquetFile(shard) as file:
        for group in range(file.metadata.num_row_groups):
            stated = file.metadata.row_group(group)
            size = sum(stated.column(c).total_uncompressed_size for c in range(stated.num_columns))
            if size > LARGEST_GROUP:
                raise DataError(
                    f"{shard}: row group {group} holds {size / 1e9:.1f} GB, which would be held at "
                    "once. Write the file with smaller row groups (`row_group_size=200`)."
                )
            table = file.read_row_group(group, columns=[named.image, named.label])
            cells = _bytes_of(shard, table.column(named.image).combine_chunks())
            labels = table.column(named.label).combine_chunks()
            for row, (cell, label) in enumerate(zip(cells, labels, strict=True)):
                content = cell.as_buffer()
                yield Entry(_class(shard, named, label), _md5(content), (group, row))


def _stream(shard: Path, named: Columns) -> Iterator[Entry]:
    arrow = _pyarrow()
    with arrow.memory_map(str(shard)) as mapped:
        whole = mapped.read_buffer()
        with arrow.ipc.open_stream(whole) as stream:
            for batch in stream:
                batch.validate(full=True)  # every offset lies inside its buffer from here on
                places = _places(shard, _bytes_of(shard, batch.column(named.image)), whole)
                for place, label in zip(places, batch.column(named.label), strict=True):
                    content = whole.slice(*place)
                    yield Entry(_class(shard, named, label), _md5(content), place)


def _places(shard: Path, cells: Any, whole: Any) -> Iterator[Place]:
    """Offset and size in the file of each cell, whose bytes the column shares with the file."""
    import numpy as np

    _, offsets, content = cells.buffers()
    kind = np.int64 if _pyarrow().types.is_large_binary(cells.type) else np.int32
    edges = np.frombuffer(offsets, kind)[cells.offset : cells.offset + len(cells) + 1]
    start = content.address - whole.address if content is not None else 0
    if not 0 <= start <= whole.size - int(edges[-1]):
        raise DataError(
            f"{shard} is compressed, so that no image can be read by itself: write it as Parquet "
            "(`to_parquet`)."
        )
    for low, high in pairwise(edges.tolist()):
        yield start + low, high - low


def _bytes_of(shard: Path, column: Any) -> Any:
    """A column of bytes out of one of images."""
    types = _pyarrow().types
    column.validate(full=True)
    lacking = column.null_count
    if types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = column.field("bytes")
    if not (types.is_binary(column.type) or types.is_large_binary(column.type)):
        raise DataError(
            f"{shard} holds images as {str(column.type)[:60]}, not as the bytes of picture files. "
            "Cast the column to `datasets.Image()` and save it anew."
        )
    if lacking := lacking or column.null_count:
        raise DataError(
            f"{shard} holds {lacking} images by the names of their files, or none, which "
            "are not read: save it with its images (`embed_external_files`, `push_to_hub`)."
        )
    return column


def _class(shard: Path, named: Columns, cell: Any) -> int:
    label = cell.as_py()
    if isinstance(label, bool) or not isinstance(label, int | None):
        raise DataError(
            f"{shard}: the column {named.label} holds {type(label).__name__}s, not the index of "
            f"each image's class. Run `class_encode_column({named.label!r})` and save it anew."
        )
    return -1 if label is None else label


def _md5(content: Any) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _first(problem: Exception) -> str:
    return str(problem).partition("\n")[0][:160]


class _Groups:
    """The row groups that were read last: rows that follow each other share one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held: OrderedDict[tuple[Path, int], Any] = OrderedDict()

    def of(self, shard: Path, group: int) -> Any:
        """The images of a row group."""
        with self.lock:
            key = shard, group
            if key not in self.held:
                self.held[key] = self._read(shard, group)
                while len(self.held) > GROUPS:
                    self.held.popitem(last=False)
            self.held.move_to_end(key)
            return self.held[key]

    def _read(self, shard: Path, group: int) -> Any:
        with _pyarrow().parquet.ParquetFile(shard) as file:
            (name,) = _of_kind(file.schema_arrow, "Image", IMAGES)
            table = file.read_row_group(group, columns=[name])
        return _bytes_of(shard, table.column(name).combine_chunks())


_GROUPS = _Groups()
