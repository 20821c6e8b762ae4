"""Which entries of an operator's input belong to which sample.

Samples need not lie on the first axis: attention may keep them on the second, windows fold several
rows per sample into one axis. What a layer does with them is not guessed from shapes, which can
agree by chance: one sample of a small batch is replaced, and the entries that change are its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

SAMPLES = 7
"""Samples in the small batch: a prime that is seldom a number of tokens or windows."""

OWN = 0.5
"""Share of all change that must lie in the entries of the sample that was replaced. Where samples
are independent it is 1; a batch norm without running statistics lets some of it spill over."""


CONSTANT = "its input does not depend on the images"
"""Why a layer behind features that are dead cannot be traced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where samples lie in an input.

    Attributes:
        axis: Their axis, once the first axis is unfolded.
        folded: "" for samples on an axis of their own; "major" for a first axis that holds all
            rows of the first sample, then all of the second; "minor" for the first row of each
            sample, then the second of each.
    """

    axis: int
    folded: str = ""

    def unfolded(self, inputs: Tensor, samples: int) -> Tensor:
        """The input with samples on an axis of their own."""
        if self.folded == "major":
            return inputs.unflatten(0, (samples, -1))
        if self.folded == "minor":
            return inputs.unflatten(0, (-1, samples))
        return inputs

    def pooled(self, inputs: Tensor, feature_axis: int, samples: int) -> Tensor | None:
        """Inputs averaged over positions or tokens, (B, D), in memory of their own.

        Args:
            inputs: As the operator gets them.
            feature_axis: 1 or -1.
            samples: B.
        Returns:
            None where the shape does not fit that many samples.

        >>> Layout(axis=0).pooled(torch.ones(2, 3, 5, 5), 1, 2).shape
        torch.Size([2, 3])
        >>> Layout(axis=0, folded="major").pooled(torch.arange(4.).reshape(4, 1, 1), -1, 2)
        tensor([[0.5000],
                [2.5000]])
        """
        if inputs.ndim <= self.axis or (self.folded and inputs.shape[0] % samples):
            return None
        apart = self.unfolded(inputs, samples)
        # unfolding the first axis moves those behind it by one
        features = apart.ndim - 1 if feature_axis < 0 else feature_axis + bool(self.folded)
        if apart.shape[self.axis] != samples or features == self.axis:
            return None
        rest = [axis for axis in range(apart.ndim) if axis not in (self.axis, features)]
        # a copy also where there is nothing to average: later layers may work in place
        mean = apart.mean(rest) if rest else apart.clone()  # (B, D), or (D, B)
        return mean.T.contiguous() if self.axis > features else mean


def layout_of(before: Tensor, after: Tensor, feature_axis: int, changed: int) -> Layout | str:
    """The layout under which what changed is the sample that was replaced.

    Args:
        before, after: The same input, the second time with one sample replaced.
        feature_axis: 1 or -1.
        changed: Place of that sample in the batch.
    Returns:
        The layout, or the reason why there is none.
    """
    if before.shape != after.shape:
        return "the shape of its input depends on the images"
    # where the replaced sample's entries lie is where the input changed, whatever its shape
    change = (_finite(after.double()) - _finite(before.double())).square()
    if not float(change.sum()):
        return CONSTANT
    best, share = None, OWN
    for layout in _candidates(before, feature_axis):
        energy = layout.unfolded(change, SAMPLES)
        # share of all change that lies in the entries of that one sample, 0 to 1
        own = float(energy.select(layout.axis, changed).sum() / change.sum())
        if own > share:
            best, share = layout, own
    return best or f"samples cannot be separated in its input of shape {tuple(before.shape)}"


def _finite(values: Tensor) -> Tensor:
    """Zeros for what is no number: broken activations are reported by the pass itself."""
    return values.nan_to_num(0.0, 0.0, 0.0)


def _candidates(inputs: Tensor, feature_axis: int) -> Iterator[Layout]:
    features = feature_axis % inputs.ndim
    for axis, size in enumerate(inputs.shape):
        if axis != features and size == SAMPLES:
            yield Layout(axis=axis)
    # windows: the first axis is samples times windows, in either order
    if features != 0 and inputs.shape[0] > SAMPLES and inputs.shape[0] % SAMPLES == 0:
        yield Layout(axis=0, folded="major")
        yield Layout(axis=1, folded="minor")


def small_batch(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """`SAMPLES` samples of a batch, and the same with the one in the middle replaced by noise.

    Args:
        inputs: (B, ...), at least one sample.
    """
    # a shorter batch is repeated: only the replaced sample has to be different
    rows = inputs[torch.arange(SAMPLES, device=inputs.device) % len(inputs)].clone()
    other = rows.clone()
    generator = torch.Generator().manual_seed(0)
    # noise as large as the batch's own values, so that no layer saturates
    noise = torch.randn(rows[0].shape, generator=generator).to(rows)
    spread, centre = _finite(rows).std(), _finite(rows).mean()
    other[SAMPLES // 2] = noise * torch.where(spread > 0, spread, 1.0) + centre
    return rows, other
