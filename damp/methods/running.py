"""Run a method of the table: settings checked, passes counted, the result checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import torch
from torch import nn

from damp.methods.catalogue import METHODS
from damp.methods.errors import BadJob, BadSetting
from damp.methods.job import Job
from damp.methods.passes import Passes, counting


class Method(Protocol):
    """What every method can be called as, a team's own as well."""

    def __call__(self, job: Job, **settings: float) -> nn.Module: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forgotten:
    """What a method gave.

    Attributes:
        model: In evaluation mode, all outputs in place.
        passes: Rows that went through the network.
    """

    model: nn.Module
    passes: Passes


def method(name: str) -> Method:
    """The function of a row.

    Raises:
        BadSetting: There is none of this name.
    """
    if name not in METHODS:
        raise BadSetting(f"There is no method '{name}'. There are: {', '.join(METHODS)}.")
    module, _, function = METHODS[name].function.partition(":")
    method: Method = getattr(import_module(f"damp.methods.{module}"), function)
    return method


def checked_settings(name: str, given: Mapping[str, float]) -> dict[str, float]:
    """A row's defaults with the given settings in their place.

    Raises:
        BadSetting: One that the method does not have, or that is no finite number.
    """
    defaults = METHODS[name].defaults
    problems = [
        f"'{key}' is no setting of {name}, which has {', '.join(defaults) or 'none'}."
        for key in given
        if key not in defaults
    ]
    problems += [
        f"'{key}' is {value}: give a finite number, 0 or more."
        for key, value in given.items()
        if not 0 <= value < float("inf")
    ]
    if problems:
        raise BadSetting(" ".join(problems))
    return {**defaults, **given}


def run(name: str, job: Job, settings: Mapping[str, float] | None = None) -> Forgotten:
    """Forget by a method of the table.

    Args:
        name: In `catalogue.METHODS`.
        job: What to forget, and where.
        settings: In the place of the row's first.
    Raises:
        BadSetting: No such method, or setting.
        BadJob: The method cannot work on this job, or diverges on it.
    """
    function = method(name)
    return forgotten(function, name, job, checked_settings(name, settings or {}))


def forgotten(
    function: Callable[..., nn.Module], name: str, job: Job, settings: Mapping[str, float]
) -> Forgotten:
    """The result of any function of this interface, checked.

    The caller's random state and modes stay.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad(), counting() as passes:
        torch.manual_seed(job.seed)
        model = function(job, **settings)
    if not isinstance(model, nn.Module):
        raise BadJob(f"'{name}' returned a {type(model).__name__}, not a torch module.")
    if any(not bool(value.isfinite().all()) for value in _numbers(model)):
        raise BadJob(f"'{name}' diverged: its weights are not finite. Lower its learning rate.")
    return Forgotten(model=model.eval(), passes=passes)


def _numbers(model: nn.Module) -> list[torch.Tensor]:
    return [value for value in model.state_dict().values() if value.is_floating_point()]
