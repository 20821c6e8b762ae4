"""The keys of a recipe file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from compliance.formats.validation import Strict


class RecipeFile(Strict):
    """A recipe as a user writes it; what is left out is as in the recipes that damp names."""

    apiVersion: Literal["damp/v1"]  # noqa: N815 - the key in the file
    kind: Literal["Recipe"]
    architecture: Annotated[str, Field(min_length=1)]
    epochs: Annotated[int, Field(gt=0)]
    batch_size: Annotated[int, Field(gt=1)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 5e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    optimizer: Literal["adamw", "sgd"] = "adamw"
    schedule: Literal["onecycle", "constant"] = "onecycle"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
