"""More than twenty kinds of image folders that no data set should be."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flows.data import loaders
from flows.data.dataset import DataSpec

PICTURES = 6


def load(folder: Path) -> Any:
    """What damp does with a folder of images."""
    loaders.load.cache_clear()
    return loaders.load(DataSpec(name=f"imagefolder:{folder}"))


def picture(seed: int = 0, size: tuple[int, int] = (8, 8), form: str = "PNG") -> bytes:
    """A small picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=form)
    return buffer.getvalue()


def folder_of_pictures(folder: Path) -> Path:
    """Two classes that are taken as they are."""
    for name in ("ant", "bee"):
        (folder / name).mkdir(parents=True)
        for number in range(PICTURES):
            (folder / name / f"{number}.png").write_bytes(picture(number))
    return folder


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def _png(width: int, height: int, *more: bytes) -> bytes:
    """A PNG of any stated size, with next to nothing in it."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = _chunk(b"IDAT", zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + data + _chunk(b"IEND", b"")


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../outside.txt", "climbs out")
    return buffer.getvalue()


def _animation() -> bytes:
    frames = [Image.new("RGB", (8, 8), (i, 0, 0)) for i in range(200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, format="GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"no picture at all",
    "cut_short": lambda: picture(1)[:60],
    "header_only": lambda: picture(1)[:33],
    "wrong_checksum": lambda: picture(1)[:40] + b"\0\0\0\0" + picture(1)[44:],
    "bomb_by_size": lambda: _png(60_000, 60_000),
    "bomb_larger_than_any_limit": lambda: _png(2**31 - 1, 2**31 - 1),
    "no_pixels": lambda: _png(0, 0),
    "text_chunk_that_swells": lambda: _png(
        8, 8, _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 50_000_000))
    ),
    "other_size": lambda: picture(1, (9, 9)),
    "huge_side": lambda: picture(1, (8, 2000)),
    "animation": _animation,
    "postscript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(x) run\n%%EOF\n",
    "svg": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "pickle": lambda: b"cos\nsystem\n(S'touch executed-by-a-crafted-file'\ntR.",
    "polyglot_with_zip": lambda: picture(1) + _zip(),
    "jpeg_of_noise": lambda: b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4,
    "tiff": lambda: picture(1, form="TIFF"),
    "many_null_bytes": lambda: b"\0" * 1_000_000,
    "exif_that_lies": lambda: b"\xff\xd8\xff\xe1\xff\xffExif\0\0MM\0*" + b"\xff" * 200,
}
"""One bad file among good ones."""


def _link(folder: Path, target: str) -> None:
    (folder / "ant" / "9.png").symlink_to(target)


def _one_class(folder: Path) -> None:
    shutil.rmtree(folder / "bee")


def _empty_class(folder: Path) -> None:
    for file in (folder / "bee").iterdir():
        file.unlink()


FOLDERS: dict[str, Callable[[Path], object]] = {
    "one_class": _one_class,
    "an_empty_class": _empty_class,
    "no_folder": shutil.rmtree,
    "a_folder_named_as_a_picture": lambda f: (f / "ant" / "9.png").mkdir(),
    "a_link_to_a_text": lambda f: _link(f, "/etc/hostname"),
    "a_link_to_itself": lambda f: _link(f, "9.png"),
    "a_link_to_nothing": lambda f: _link(f, "nothing"),
    "a_named_pipe": lambda f: os.mkfifo(f / "ant" / "9.png"),
    "a_device": lambda f: _link(f, "/dev/zero"),
    "names_with_markup": lambda f: (f / "ant").rename(f / "<img src=x onerror=alert(1)>"),
    "names_that_turn": lambda f: (f / "ant").rename(f / "\u202egnp.exe\n\x1b[31m"),
    "names_of_bytes": lambda f: os.rename(
        f / "ant" / "0.png", os.fsencode(f / "ant") + b"/\xff\xfe.png"
    ),
    "train_without_test": lambda f: (f / "ant").rename(f / "train"),
    "ten_thousand_classes": lambda f: _many(f),
}
"""Another folder altogether."""


def _many(folder: Path) -> None:
    for index in range(10_000):
        (folder / f"c{index}").mkdir()


def kinds(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name and folder of each; made one after the other below `folder`."""
    for name, make in FILES.items():
        pictures = folder_of_pictures(folder / name)
        (pictures / "ant" / "9.png").write_bytes(make())
        yield name, pictures
    for name, change in FOLDERS.items():
        pictures = folder_of_pictures(folder / name)
        try:
            change(pictures)
        except OSError:  # a file system that cannot have such a name
            continue
        yield name, pictures
