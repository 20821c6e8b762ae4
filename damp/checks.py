"""Checks before the first cut: the whole request, the whole model, all problems together."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, SupportsIndex

import torch
from torch import nn

from damp.catalogue import DEFAULT_PRESET, PRESETS, Repair
from damp.errors import (
    AllClassesForgotten,
    BadBatches,
    BadMeasurement,
    BadOption,
    DampError,
    NoSamples,
    SortedBatches,
    UnknownClass,
    Unsupported,
)
from damp.measurement import Measurement, digest
from damp.operators import find

SORTED_PURITY = 0.8
"""Chance that two samples of one batch are of one class, from which on the batches count as sorted
by class."""

REPAIRS_ON_DATA: tuple[Repair, ...] = ("low_rank_update", "head_refit", "natural_update")
"""Repairs that need batches whatever the model; `recalibrate` needs them where there are norms."""

PRECISIONS = (torch.float32, torch.float64)


def applies(repair: Repair, preset: str) -> bool:
    """Whether a repair is part of a preset; of an unknown preset, which is refused, none is."""
    return preset in PRESETS and repair in PRESETS[preset].repairs


def parse_classes(forget: Any) -> tuple[tuple[int, ...], list[DampError]]:
    """Classes to forget, sorted, each once, and what is no class number.

    >>> parse_classes([8, 3, 8])
    ((3, 8), [])
    >>> parse_classes(2)
    ((2,), [])
    """
    listed = isinstance(forget, Iterable) and not isinstance(forget, str)
    labels = tuple(forget) if listed else (forget,)
    wrong = [label for label in labels if not _is_class(label)]
    numbers = tuple(sorted({operator.index(label) for label in labels if _is_class(label)}))
    return numbers, [
        UnknownClass(f"{label!r} is no class: give whole numbers from 0 on.") for label in wrong
    ]


def _is_class(label: Any) -> bool:
    # bool is an int in Python, but True is no class
    whole = isinstance(label, SupportsIndex) and not isinstance(label, bool)
    return whole and operator.index(label) >= 0


def request_problems(
    model: nn.Module, *, preset: str, gain: float, skip: Sequence[str], device: Any
) -> list[DampError]:
    """All that can be wrong before the data is read."""
    return [
        *option_problems(preset, gain, device),
        *model_problems(model),
        *skip_problems(model, skip),
    ]


def option_problems(preset: str, gain: float, device: Any) -> Iterator[DampError]:
    """Problems of the settings."""
    if preset not in PRESETS:
        yield BadOption(f"Preset {preset!r} is unknown: take one of {', '.join(PRESETS)}.")
    if not (math.isfinite(gain) and gain > 0):
        yield BadOption(f"Gain {gain} is no finite number above 0.")
    elif gain != 1 and preset in PRESETS and not PRESETS[preset].takes_gain:
        yield BadOption(f"Preset {preset!r} takes no gain: leave it at 1 or take {_with_gain()!r}.")
    if device is not None:
        yield from device_problems(device)


def _with_gain() -> str:
    """The preset that comes nearest to the default among those that take a gain."""
    stand_in = PRESETS[DEFAULT_PRESET].stand_in
    return stand_in or DEFAULT_PRESET


def device_problems(device: Any) -> Iterator[DampError]:
    """Whether one can compute there."""
    # a missing backend shows only when something is computed there
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        yield BadOption(f"Device {str(device)!r} cannot be used ({reason}): name another one.")


def skip_problems(model: nn.Module, skip: Sequence[str]) -> Iterator[DampError]:
    """Names in `skip` that the model has not."""
    names = {name for name, _ in model.named_modules()}
    # attention's projections have names of their own, which no module has
    names |= {operator.name for operator in find(model)[0]}
    unknown = [name for name in skip if name not in names]
    if unknown:
        yield BadOption(f"The model has no layer {', '.join(unknown)}: correct `skip`.")


def model_problems(model: nn.Module) -> list[DampError]:
    """Problems of the model that show before it runs.

    What cannot be copy_model or run in Python is reported alone: the rest could not be
    checked.
    """
    return list(_form_problems(model)) or list(_weight_problems(model))


def _form_problems(model: nn.Module) -> Iterator[DampError]:
    for name, layer in model.named_modules():
        shown = repr(name) if name else "itself"
        # torch.compile wraps the module, Module.compile replaces its call
        if hasattr(layer, "_orig_mod") or layer._compiled_call_impl is not None:
            yield Unsupported(
                f"The model is compiled (module {shown}): its operators cannot be traced. Cut the "
                "model as it was before torch.compile (`_orig_mod`), then compile the result."
            )
            return
        if isinstance(layer, torch.jit.ScriptModule):
            yield Unsupported(
                f"The model is scripted (module {shown}): its operators cannot be traced. Cut the "
                "Python model, then script the result."
            )
            return
        if isinstance(layer, nn.DataParallel | nn.parallel.DistributedDataParallel):
            yield Unsupported(
                f"The model is wrapped for several devices (module {shown}): cut its `.module`, "
                "then wrap the result."
            )
            return
        if _is_quantised(layer):
            yield Unsupported(
                f"Module {shown} ({type(layer).__name__}) is quantised: cut the model before it is "
                "quantised, then quantise the result."
            )
            return


def _is_quantised(layer: nn.Module) -> bool:
    """Whether a layer keeps its weights as whole numbers."""
    whole = [
        value
        for value in layer._parameters.values()
        if value is not None and value.ndim > 1 and not value.is_floating_point()
    ]
    return ".quantized" in type(layer).__module__ or bool(whole)


def _weight_problems(model: nn.Module) -> Iterator[DampError]:
    for name, value in model.named_parameters():
        if value.is_meta:
            yield Unsupported(
                f"Parameter {name!r} has no values (it is on the device 'meta'): load the weights."
            )
            return
    for name, value in model.named_parameters():
        if value.is_floating_point() and value.dtype not in PRECISIONS:
            yield Unsupported(
                f"Parameter {name!r} is {value.dtype}: cut model.float(), then cast the result."
            )
            return
    if not find(model)[0]:
        yield Unsupported(
            "The model has no Linear, Conv or MultiheadAttention layer that can be edited: "
            "there is nothing to cut."
        )


def forbids_reading(problems: Iterable[DampError]) -> bool:
    """Whether a problem forbids to look for others in the data."""
    kinds = Unsupported | BadBatches | BadMeasurement
    return any(isinstance(problem, kinds) or _is_device_problem(problem) for problem in problems)


def _is_device_problem(problem: DampError) -> bool:
    return isinstance(problem, BadOption) and str(problem).startswith("Device")


def data_problems(
    model: nn.Module,
    batches: object,
    measured: Measurement | None,
    *,
    preset: str,
    sequential: bool,
    norms: bool,
) -> Iterator[DampError]:
    """Problems of data and statistics that show before any data is read."""
    if batches is not None or measured is None:
        yield from batch_problems(batches)
    elif norms:
        yield BadBatches(
            "The model has batch norms to re-estimate, and that takes the data: give batches, or "
            "recalibrate=False."
        )
    elif repairs := [r for r in REPAIRS_ON_DATA if applies(r, preset)]:
        yield BadBatches(
            f"Preset {preset!r} takes the data after the cut too ({', '.join(repairs)}): give "
            "batches, or take 'mixture'."
        )
    if measured is not None and sequential:
        yield BadOption(
            "A sequential edit takes statistics again after every cut: leave `measured` out."
        )
    if measured is not None:
        yield from measurement_problems(model, measured)


def batch_problems(batches: object) -> Iterator[DampError]:
    """Problems of batches that show before they are read."""
    if not isinstance(batches, Iterable) or isinstance(batches, Iterator):
        yield BadBatches(
            f"The batches ({type(batches).__name__}) can be read only once or not at all: "
            "give a list or a DataLoader."
        )


def measurement_problems(model: nn.Module, measured: Measurement) -> Iterator[DampError]:
    """Whether statistics are of this model: of its operators, and of its very weights."""
    names = {operator.name for operator in find(model)[0]}
    strange = [reader.name for reader in measured.readers if reader.name not in names]
    if strange:
        yield BadMeasurement(
            f"The statistics are of another architecture: the model has no {strange[0]!r}. Measure "
            "this model."
        )
    elif measured.weights != digest(model):
        yield BadMeasurement(
            "The statistics were taken with other weights: the edit would be one for another "
            "model. Measure this one."
        )


def count_problems(
    measured: Measurement, forget: Sequence[int], retired: Sequence[int]
) -> Iterator[DampError]:
    """Problems of the classes, once it is known which there are and how many samples they have."""
    classes = measured.classes
    repeated = sorted(set(forget) & set(retired))
    if repeated:
        listed = ", ".join(map(str, repeated))
        yield UnknownClass(f"Class {listed} was forgotten and retired before: leave it out.")
    unknown = [label for label in forget if label >= classes]
    if unknown:
        listed = ", ".join(map(str, unknown))
        yield UnknownClass(f"The model has {classes} outputs and no class {listed}: correct it.")
    gone = {*forget, *retired}
    kept = [label for label in range(classes) if label not in gone]
    if not kept:
        yield AllClassesForgotten("Every class is to be forgotten: keep one, or delete the model.")
    inside = [label for label in forget if label < classes and label not in repeated]
    empty = [label for label in inside if not measured.counts[label]]
    if empty:
        listed = ", ".join(map(str, empty))
        yield NoSamples(f"No sample of class {listed}: forgetting needs its training rows.")
    if kept and not measured.counts[kept].any():
        yield NoSamples("No sample of a class to keep: give retain rows too.")


def order_problems(measured: Measurement, forget: Sequence[int]) -> Iterator[DampError]:
    """Batches on which batch norms cannot be re-estimated: far more of one class than the data."""
    kept = [label for label in range(measured.classes) if label not in forget]
    counts = measured.counts[kept].double()
    if not counts.sum():
        return
    overall = float(counts.max() / counts.sum())
    # with one class in the majority every batch is of one class by chance
    if overall < 0.5 and measured.purity(kept) > SORTED_PURITY:
        yield SortedBatches(
            "The batches hold one class each, and batch norms would be re-estimated on them: "
            "shuffle the rows, or give recalibrate=False."
        )
