"""After the cut: batch norms re-estimated on retain samples, and outputs retired."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from damp.errors import NoSamples, UnknownClass
from damp.operators import Skipped
from damp.outputs import with_logits
from damp.running import Batches, evaluating, exemplar, read_batches

FEWEST = 32
"""Rows that a batch norm gets at once, where there are so many: few rows normalise badly."""


class RetiredOutputs(nn.Module):
    """A classifier some of whose classes have left the label space: their logits are -inf.

    Retiring forgets nothing. It is the last step of an edit, never the edit.

    Args:
        model: Gives logits, (B, C), in any of the forms that `damp.outputs` knows.
        classes: Outputs to retire.
    Raises:
        UnknownClass: a class below 0.

    >>> RetiredOutputs(nn.Identity(), [1])(torch.tensor([[1., 2., 3.]]))
    tensor([[1., -inf, 3.]])
    """

    model: nn.Module
    classes: tuple[int, ...]

    def __init__(self, model: nn.Module, classes: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        self.classes = tuple(sorted({int(label) for label in classes}))
        if self.classes and self.classes[0] < 0:
            raise UnknownClass(f"Class {self.classes[0]} cannot be retired: count from 0.")
        # not persistent: the state dict stays that of a plain network inside a wrapper
        index = torch.tensor(self.classes, dtype=torch.int64)
        self.register_buffer("index", index, persistent=False)

    def forward(self, inputs: Tensor) -> Any:
        """What the model gives, with logits -inf where retired."""
        return with_logits(self.model(inputs), self._masked, len(inputs))

    def _masked(self, logits: Tensor) -> Tensor:
        return logits.index_fill(1, self.get_buffer("index"), -torch.inf)


def batch_norms(model: nn.Module) -> tuple[dict[str, _BatchNorm], list[Skipped]]:
    """Batch norms with running statistics, by name, and the norms that cannot be re-estimated.

    >>> net = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False))
    >>> layers, skipped = batch_norms(net)
    >>> list(layers), [layer.name for layer in skipped]
    (['0'], ['1'])
    """
    layers: dict[str, _BatchNorm] = {}
    skipped: list[Skipped] = []
    for name, layer in model.named_modules():
        kept = getattr(layer, "running_mean", None) is not None
        if isinstance(layer, _BatchNorm) and kept:
            layers[name] = layer
        elif isinstance(layer, _BatchNorm):
            reason = (
                "it keeps no running statistics to re-estimate: its outputs depend on the batch, "
                "the forgotten class included"
            )
            skipped.append(_left(name, layer, reason))
        elif kept:
            reason = "its running statistics are not those of a batch norm and stay as they are"
            skipped.append(_left(name, layer, reason))
    return layers, skipped


def _left(name: str, layer: nn.Module, reason: str) -> Skipped:
    return Skipped(name=name, kind=type(layer).__name__, reason=reason)


def recalibrate(model: nn.Module, batches: Batches, forget: Iterable[int]) -> tuple[str, ...]:
    """Re-estimate the running statistics of all batch norms, in place, on retain samples only.

    One pass with the batch norms, and nothing else, in training mode. Running statistics are the
    mean over batches weighted by their rows: for equal batches that is what torch computes with
    `momentum=None`.

    Returns:
        Names of the batch norms that were re-estimated: those that were called.
    Raises:
        NoSamples: fewer than two retain samples.
    """
    layers, _ = batch_norms(model)
    if not layers:
        return ()
    # torch moves running statistics by `momentum`: n_batch / n_so_far makes them a mean over rows
    rows = dict.fromkeys(layers, 0)
    momenta = {name: layer.momentum for name, layer in layers.items()}
    handles = [_averaging(name, layer, rows) for name, layer in layers.items()]
    try:
        _run(model, layers.values(), retain_only(batches, forget, exemplar(model)))
    finally:
        for handle in handles:
            handle.remove()
        for name, layer in layers.items():
            layer.momentum = momenta[name]
    return tuple(name for name in layers if rows[name])


def _run(model: nn.Module, layers: Iterable[_BatchNorm], inputs: Iterable[Tensor]) -> None:
    with evaluating(model), torch.no_grad():
        for layer in layers:  # dropout and the rest stay in evaluation mode
            layer.training = True
        for batch in inputs:
            model(batch)


def _averaging(
    name: str, layer: _BatchNorm, rows: dict[str, int]
) -> torch.utils.hooks.RemovableHandle:
    """A hook that turns running statistics into a mean over the rows so far."""

    def weigh(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        rows[name] += len(args[0])
        layer.momentum = len(args[0]) / rows[name]

    return layer.register_forward_pre_hook(weigh)


def retain_only(batches: Batches, forget: Iterable[int], like: Tensor) -> Iterator[Tensor]:
    """Inputs without the classes to forget, small batches joined to `FEWEST` rows or more.

    Raises:
        NoSamples: fewer than two samples in all.
    """
    excluded = torch.tensor(sorted(forget), dtype=torch.int64)
    ready: list[Tensor] = []
    small: list[Tensor] = []
    for inputs, labels in read_batches(batches, like):
        small.append(inputs[(~torch.isin(labels, excluded)).to(inputs.device)])
        if sum(map(len, small)) >= FEWEST:
            yield from ready
            ready, small = [torch.cat(small)], []
    # the last full batch waited for this: what is left over joins it rather than go alone
    rest = [*ready, *small]
    if sum(map(len, rest)) < 2:
        raise NoSamples("Batch norms need at least two samples to keep: give more data.")
    yield torch.cat(rest)
