"""One picture file at a model's size: opened safely, its modes and orientation understood."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from compliance.formats import files
from flows.data import geometry

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageFile import ImageFile
    from torch import Tensor

    from compliance.documents.preprocessing import Preprocessing

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM")
"""What Pillow may take a file for, whatever its ending says: left to itself it goes by the first
bytes, and starts Ghostscript on PostScript that is named .png."""


class Stored(Protocol):
    """A picture inside a file that holds many; as text it says which."""

    @property
    def name(self) -> str: ...

    def read(self) -> bytes:
        """The bytes of a picture file."""
        ...


Source = Path | Stored


def opened(path: Source) -> ImageFile:
    """The file with its header read; what is larger than can be decoded is Pillow's to refuse."""
    from PIL import Image as Pillow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
        if not isinstance(path, Path):
            return Pillow.open(io.BytesIO(path.read()), formats=FORMATS)
        files.refuse_special(path)
        return Pillow.open(path, formats=FORMATS)


def decoded(path: Source, preprocessing: Preprocessing) -> Tensor | str:
    """A file as the model sees it before it is normalised, (channels, h, w), uint8; or why not."""
    from PIL import Image as Pillow

    try:
        with opened(path) as picture:
            return pixels(picture, preprocessing)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as problem:
        kind, words = type(problem).__name__, str(problem).partition("\n")[0][:120]
        words = words.replace(str(path), "").strip(" '")
        return f"{path} cannot be read as an image ({kind}: {words}): fix or remove it."


def pixels(picture: Picture, preprocessing: Preprocessing) -> Tensor:
    """The same of a picture that is open."""
    upright = picture
    if preprocessing.orientation == "exif":
        from PIL import ImageOps

        upright = ImageOps.exif_transpose(picture)
    return geometry.pixels(_converted(upright, preprocessing.channels), preprocessing)


def _converted(picture: Picture, channels: int) -> Picture:
    """8 bits a channel: palettes looked up, transparency dropped, 16 bits scaled down."""
    wanted = "L" if channels == 1 else "RGB"
    if picture.mode.startswith("I"):
        picture = _shallow(picture)
    with warnings.catch_warnings():
        # of palettes with transparency, which is dropped as torchvision drops it
        warnings.simplefilter("ignore", UserWarning)
        return picture.convert(wanted)


def _shallow(picture: Picture) -> Picture:
    """16 bits as 8: 65535 becomes 255. Pillow would cut off at 255."""
    import numpy as np
    from PIL import Image as Pillow

    deep = np.asarray(picture, dtype=np.float64)
    return Pillow.fromarray(np.rint(deep / 257).clip(0, 255).astype(np.uint8))


def is_turned(path: Source) -> bool:
    """Whether a camera noted that the picture has to be turned; False where it cannot be read."""
    from PIL import ExifTags
    from PIL import Image as Pillow

    try:
        with opened(path) as picture:
            return picture.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError):
        return False  # the decoding says what is wrong with it
