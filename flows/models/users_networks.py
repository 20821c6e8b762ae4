"""Networks of the users' own classes: completed, tried once, and read in one way everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from damp.errors import Unsupported
from damp.outputs import logits_of
from damp.running import evaluating
from flows.models import held_tensors
from flows.state import users_calls
from flows.state.errors import ModelError, first_few

TRIAL = 2
"""Images of the trial: one alone would hide a network that mixes up samples."""


@dataclass(frozen=True, slots=True)
class OnlyLogits:
    """A forward hook: the logits of whatever a network returns, in training too.

    `damp train`, references and audits all call networks that have it, so none reads tuples,
    dictionaries and output objects in a way of its own.
    """

    architecture: str

    def __call__(self, network: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        if isinstance(output, Tensor) or not inputs:
            return None  # as it is
        try:
            return logits_of(output, len(inputs[0]))
        except Unsupported as problem:
            raise ModelError(f"The network of '{self.architecture}': {problem}") from problem


def read_alike(network: nn.Module, architecture: str) -> nn.Module:
    """The network, whose output is a tensor of logits from now on."""
    network.register_forward_hook(OnlyLogits(architecture))
    return network


def completed(
    network: Any, architecture: str, classes: int, input_shape: tuple[int, ...]
) -> nn.Module:
    """What a function of the user's returned, if it is a network that can be worked with.

    Lazy layers take their shapes from a batch of images; then it is tried once.

    Raises:
        ModelError: It is none: it is no module, has tensors without memory, fails on images, or
            gives no logits of so many classes.
    """
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"'{architecture}' returned a {type(network).__name__}, not a torch module. "
            "Let it return an nn.Module with `classes` outputs."
        )
    read_alike(network, architecture)
    if any(is_lazy(value) for value in network.parameters()):
        _run(network, architecture, input_shape)
    _refuse_outlines(network, architecture)
    with torch.random.fork_rng(devices=[]):  # weights are drawn as if there had been no trial
        logits = _run(network, architecture, input_shape)
    _refuse_other_outputs(logits, architecture, classes)
    return network


def _run(network: nn.Module, architecture: str, input_shape: tuple[int, ...]) -> Any:
    """What it answers to images that are all black; its tensors and its mode stay."""
    shape = "x".join(map(str, input_shape))
    when = f"on {TRIAL} images of {shape}"
    images = torch.zeros(TRIAL, *input_shape)
    guarded = users_calls.guarded(architecture, ModelError, when)
    with guarded, evaluating(network), torch.no_grad():
        return network(images)


def _refuse_outlines(network: nn.Module, architecture: str) -> None:
    tensors = held_tensors.of(network)
    if outlines := [name for name, value in tensors.items() if value.is_meta]:
        raise ModelError(
            f"'{architecture}' returned a network whose {first_few(outlines)} have no memory (they "
            "are on torch's meta device). Build it on the CPU."
        )


def _refuse_other_outputs(logits: Any, architecture: str, classes: int) -> None:
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != TRIAL:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"The network of '{architecture}' returns {shape} for {TRIAL} images. Let it return "
            f"logits of shape ({TRIAL}, {classes}): a tensor, the first entry of a tuple, or "
            "`logits` of a dictionary or object."
        )
    if logits.shape[1] < classes:
        raise ModelError(
            f"The network of '{architecture}' has {logits.shape[1]} outputs, and the data have "
            f"{classes} classes. Give it the number of outputs that it is called with as `classes`."
        )
