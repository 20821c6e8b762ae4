"""How a model sees an image: resized, cropped, and its channels scaled. A part of the model.

    resize: 256                 # the shorter side, or [height, width]
    crop: 224                   # from the centre, or [height, width]
    interpolation: bilinear
    orientation: stored         # or exif: turned as the camera says
    channels: 3
    mean: [0.485, 0.456, 0.406] # of pixels in [0, 1]
    std: [0.229, 0.224, 0.225]

Whoever names the weights has to name this with them: the same weights on images that are scaled
otherwise are another model. What is left out is not done.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from compliance.formats import strict_json
from compliance.formats.validation import Strict

LARGEST = 4096
"""Pixels of a side at most."""
SOURCES = ("torchvision:", "timm:", "hf:")
"""Where a preprocessing can come from instead of being written out."""


def _two_sides(given: Any) -> Any:
    """A list from YAML as the pair that it must be."""
    return tuple(given) if isinstance(given, list) else given


Pixels = Annotated[int, Field(gt=0, le=LARGEST)]
Sides = Annotated[tuple[Pixels, Pixels], BeforeValidator(_two_sides)]
Numbers = Annotated[tuple[float, ...], Field(strict=False)]


def _named(given: str) -> str:
    if not any(given.startswith(source) and given != source for source in SOURCES):
        raise ValueError(
            "no known preprocessing: torchvision:ResNet18_Weights.IMAGENET1K_V1, timm:FILE.json, "
            "hf:preprocessor_config.json, or its keys written out"
        )
    return given


class Preprocessing(Strict):
    """What happens to an image before the model sees it, in this order.

    Attributes:
        resize: The shorter side in pixels, or (height, width); None where the size stays.
        crop: Side of a square, or (height, width), cut from the centre; None where nothing is cut.
        interpolation: Of the resizing; with antialiasing where it makes images smaller.
        orientation: Whether a camera's note on which side is up is followed ("exif") or images are
            seen as their pixels are stored: torchvision and timm pass the note over, Hugging Face's
            data sets follow it.
        channels: 1 for grey images, 3 for colours.
        mean: Subtracted from each channel of pixels in [0, 1].
        std: What the difference is divided by.
    """

    resize: Pixels | Sides | None = None
    crop: Pixels | Sides | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    orientation: Literal["stored", "exif"] = "stored"
    channels: Literal[1, 3] = 3
    mean: Numbers = (0.0, 0.0, 0.0)
    std: Numbers = (1.0, 1.0, 1.0)

    @model_validator(mode="before")
    @classmethod
    def _grey_by_default(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("channels") == 1:
            return {"mean": (0.0,), "std": (1.0,)} | given
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Preprocessing:
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(
                f"`mean` and `std` need one number for each of {self.channels} channels; these "
                f"have {len(self.mean)} and {len(self.std)}"
            )
        if any(not value > 0 for value in self.std):
            raise ValueError("every `std` must be above 0: pixels are divided by it")
        if self.crop is None and not isinstance(self.resize, tuple):
            raise ValueError(
                "images would come out in several sizes: give `crop`, or both sides under `resize`"
            )
        if self.crop is not None and self.resize is not None:
            low = self.resize if isinstance(self.resize, tuple) else (self.resize, self.resize)
            if self.size[0] > low[0] or self.size[1] > low[1]:
                raise ValueError(
                    f"`crop` {self.size[0]}x{self.size[1]} is larger than what `resize` leaves: "
                    "the rest would be black"
                )
        return self

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what the model sees."""
        side = self.crop if self.crop is not None else self.resize
        return side if isinstance(side, tuple) else (int(side or 0), int(side or 0))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of what the model sees."""
        return self.channels, *self.size

    def content(self) -> dict[str, Any]:
        """As request, statement and registry hold it: every key."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """SHA-256 of `content`.

        >>> a = Preprocessing(resize=256, crop=224)
        >>> a.digest() == Preprocessing(resize=256, crop=(224, 224)).digest()
        False
        """
        return strict_json.digest(self.content())

    def in_words(self) -> str:
        """One line for people.

        >>> Preprocessing(resize=256, crop=224).in_words()
        '224x224, 3 channels, bilinear, in [0, 1]'
        """
        height, width = self.size
        plain = not any(self.mean) and all(value == 1 for value in self.std)
        scaled = "in [0, 1]" if plain else f"mean {list(self.mean)}, std {list(self.std)}"
        return f"{height}x{width}, {self.channels} channels, {self.interpolation}, {scaled}"


def content_of(applied: Preprocessing | None) -> dict[str, Any] | None:
    """What a record holds of a preprocessing: every key, or None where images are seen as they
    are."""
    return applied.content() if applied else None


def _kind(given: Any) -> str:
    return "<named>" if isinstance(given, str) else "<written>"


NamedOrWritten = Annotated[
    Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_named), Tag("<named>")]
    | Annotated[Preprocessing, Tag("<written>")],
    Discriminator(_kind),
]
"""As a request has it: its source, or its keys. The tags never show: `validation.check` drops what
stands in angle brackets from the path of a key."""
