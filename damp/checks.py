"""Look before the first cut: the whole request, the whole model, all problems together."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, SupportsIndex

import torch
from torch import nn

from damp.errors import (
    AllClassesForgotten,
    BadBatches,
    BadOption,
    DampError,
    NoSamples,
    SortedBatches,
    UnknownClass,
    Unsupported,
)
from damp.operators import find
from damp.presets import PRESETS
from damp.survey import Survey

MONOTONOUS = 0.9
"""Mean share of a batch's commonest class from which on the batches count as sorted by class."""

PRECISIONS = (torch.float32, torch.float64)


def repairs(preset: str, recalibrate: bool | None) -> bool:
    """Whether batch norms are to be re-estimated: as told, else as the preset does."""
    if recalibrate is not None:
        return recalibrate
    return preset in PRESETS and PRESETS[preset].recalibrates


def of_classes(forget: Any) -> tuple[tuple[int, ...], list[DampError]]:
    """Classes to forget, sorted, each once, and what is no class number.

    >>> of_classes([8, 3, 8])
    ((3, 8), [])
    >>> of_classes(2)
    ((2,), [])
    """
    listed = isinstance(forget, Iterable) and not isinstance(forget, str)
    given = tuple(forget) if listed else (forget,)
    wrong = [label for label in given if not _is_class(label)]
    numbers = tuple(sorted({operator.index(label) for label in given if _is_class(label)}))
    return numbers, [
        UnknownClass(f"{label!r} is no class: give whole numbers from 0 on.") for label in wrong
    ]


def _is_class(label: Any) -> bool:
    whole = isinstance(label, SupportsIndex) and not isinstance(label, bool)
    return whole and operator.index(label) >= 0


def of_request(
    model: nn.Module, batches: object, *, preset: str, gain: float, skip: Sequence[str]
) -> list[DampError]:
    """All that can be wrong before the data is read."""
    return [*of_options(preset, gain), *of_model(model, skip), *of_batches(batches)]


def of_options(preset: str, gain: float) -> Iterator[DampError]:
    """Problems of the settings."""
    if preset not in PRESETS:
        yield BadOption(f"Preset {preset!r} is unknown: take one of {', '.join(PRESETS)}.")
    if not (math.isfinite(gain) and gain > 0):
        yield BadOption(f"Gain {gain} is no finite number above 0.")
    if preset == "paper" and gain != 1:
        yield BadOption("Preset 'paper' knows no gain: leave it at 1 or take 'mixture'.")


def of_model(model: nn.Module, skip: Sequence[str]) -> Iterator[DampError]:
    """Problems of the model, and of names in `skip` that it has not."""
    names = {name for name, _ in model.named_modules()}
    unknown = [name for name in skip if name not in names]
    if unknown:
        yield BadOption(f"The model has no layer {', '.join(unknown)}: correct `skip`.")
    if not find(model)[0]:
        yield Unsupported(
            "The model has no Linear, Conv1d or Conv2d layer that can be edited: "
            "there is nothing to cut."
        )
    floating = {value.dtype for value in model.parameters() if value.is_floating_point()}
    wrong = sorted(str(dtype) for dtype in floating.difference(PRECISIONS))
    if wrong:
        yield Unsupported(f"The model has {wrong[0]} weights: cut model.float(), then cast back.")


def of_batches(batches: object) -> Iterator[DampError]:
    """Problems of the data that show before it is read."""
    if not isinstance(batches, Iterable) or isinstance(batches, Iterator):
        yield BadBatches(
            f"The batches ({type(batches).__name__}) can be read only once or not at all: "
            "give a list or a DataLoader."
        )


def of_survey(survey: Survey, forget: Sequence[int], *, norms: bool) -> Iterator[DampError]:
    """Problems that one pass over the data showed; `norms` says whether batch norms follow."""
    yield from survey.problems
    classes = len(survey.counts)
    unknown = [label for label in forget if label >= classes]
    if unknown:
        listed = ", ".join(map(str, unknown))
        yield UnknownClass(f"The model has {classes} outputs and no class {listed}: correct it.")
    kept = [label for label in range(classes) if label not in forget]
    if not kept:
        yield AllClassesForgotten("Every class is to be forgotten: keep one, or delete the model.")
    empty = [label for label in forget if label < classes and not survey.counts[label]]
    if empty:
        listed = ", ".join(map(str, empty))
        yield NoSamples(f"No sample of class {listed}: forgetting needs its training rows.")
    if kept and not survey.counts[kept].any():
        yield NoSamples("No sample of a class to keep: give retain rows too.")
    elif kept and norms and _sorted(survey, kept):
        yield SortedBatches(
            "The batches hold one class each, and batch norms would be re-estimated on them: "
            "shuffle the rows, or give recalibrate=False."
        )


def _sorted(survey: Survey, kept: Sequence[int]) -> bool:
    """Whether batches are far more of one class than the data is."""
    counts = survey.counts[kept].double()
    overall = float(counts.max() / counts.sum())
    return overall < 0.5 and survey.monotony > MONOTONOUS
