"""What a model's file holds, and which of it has an effect on any output: read off once.

The rest of the audits looks at what a model answers. This looks at what it carries: every tensor of
its state, how much each unit moves the outputs on the audit's rows, and what the model answers to
images that carry a cheap trigger.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from audits import triggers
from audits.images import Images, at_once
from audits.observation import WeightRecord

ROWS = 128
"""Rows on which effects are measured: those of the audit, evenly spaced."""
PROJECTIONS = 2
"""Random sums of outputs whose gradients are taken: one alone may cancel."""


def record(
    model: nn.Module,
    inputs: Images,
    *,
    shown: Sequence[int],
    device: str | torch.device | None = None,
    seed: int = 0,
) -> WeightRecord:
    """Tensors, effects and answers to triggers; the model stays as it is.

    Args:
        model: The plain network, before any output is retired.
        inputs: Held-out rows, (n, ...).
        shown: Which of them are shown with triggers: those of the forgotten classes.
        device: Where to run; by default where the model is.
        seed: Of perturbations and projections.
    """
    copied = copy.deepcopy(model).eval()
    if device is not None:
        copied = copied.to(device)
    place = next((value.device for value in copied.parameters()), torch.device("cpu"))
    spaced = torch.linspace(0, len(inputs) - 1, min(ROWS, len(inputs))).round().long().unique()
    return WeightRecord(
        tensors={
            name: _array(value) for name, value in copied.state_dict().items() if _held(value)
        },
        effects=_effects(copied, inputs[spaced].to(place), seed),
        triggered=triggers.answers(
            copied, inputs.index_select(0, torch.from_numpy(triggers.shown(shown))), place
        ),
    )


def _held(value: object) -> bool:
    """Whether an entry of the state can hold something: not a step counter or other code."""
    return isinstance(value, Tensor) and value.numel() > 1


def _array(value: Tensor) -> np.ndarray:
    value = value.detach().cpu()
    # numpy has no bfloat16, and float8 even less
    widened = value.is_floating_point() and value.dtype not in (
        torch.float16,
        torch.float32,
        torch.float64,
    )
    array: np.ndarray = (value.float() if widened else value).numpy().copy()
    return array


def _floating(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers of the file by name, one that is shared once."""
    kept, taken = {}, set()
    for name, value in model.state_dict(keep_vars=True).items():
        if _held(value) and value.is_floating_point() and id(value) not in taken:
            taken.add(id(value))
            kept[name] = value.detach()
    return kept


def _effects(model: nn.Module, rows: Tensor, seed: int) -> dict[str, np.ndarray]:
    """How much each unit moves the outputs, relative to their spread; (units,) by tensor.

    By gradients, which are exact for small changes and cost one pass for all units; and where those
    vanish for a whole tensor, by changing it: a step that no gradient passes may hide an effect.
    """
    tensors = _floating(model)
    before = _outputs(model, rows, {})  # (b, C)
    spread = float(before.double().std(0).mean())
    if not np.isfinite(spread) or spread <= 0:
        return {name: np.zeros(_units(value)) for name, value in tensors.items()}
    effects = _by_gradients(model, rows, tensors, before, spread, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, value in tensors.items():
        if not (effects[name] > 0).any():
            effects[name][:] = _by_change(model, rows, name, value, before, generator) / spread
    return effects


def _outputs(model: nn.Module, rows: Tensor, changed: dict[str, Tensor]) -> Tensor:
    """Outputs, (b, C), with some tensors in place of the model's own."""
    with torch.no_grad():
        parts = rows.split(at_once(rows, len(rows)))
        return torch.cat([functional_call(model, changed, (part,)) for part in parts])


def _units(value: Tensor) -> int:
    """Rows of a weight, one for each output unit; entries of a vector."""
    return value.shape[0] if value.ndim else 1


def _by_gradients(
    model: nn.Module,
    rows: Tensor,
    tensors: dict[str, Tensor],
    before: Tensor,
    spread: float,
    seed: int,
) -> dict[str, np.ndarray]:
    """Root mean square change of an output when a unit changes by its tensor's own size."""
    learned = [name for name, _ in model.named_parameters() if name in tensors]
    squares = {name: np.zeros(_units(value)) for name, value in tensors.items()}
    generator = torch.Generator().manual_seed(seed)
    for _ in range(PROJECTIONS):
        # buffers are moved instead: normalisation has no gradient for its running statistics
        leaves = {name: tensors[name].clone().requires_grad_() for name in learned}
        drawn = torch.randint(0, 2, before.shape, generator=generator) * 2 - 1
        signs = drawn.to(before)  # (b, C)
        # each entry's gradient is a random sum over rows and outputs: its mean square is the sum
        # of their squares
        gradients = _gradients(model, rows, leaves, signs)
        for name, gradient in zip(learned, gradients, strict=True):
            if gradient is not None:
                value = tensors[name]
                size = _size(value)
                units = gradient.double().nan_to_num().reshape(_units(value), -1)
                moved = units.square().sum(1) * size**2 / before.numel()
                squares[name] += moved.cpu().numpy() / PROJECTIONS
    return {name: np.sqrt(value) / spread for name, value in squares.items()}


def _gradients(
    model: nn.Module, rows: Tensor, leaves: dict[str, Tensor], signs: Tensor
) -> list[Tensor | None]:
    """Gradients of the signed sum of the outputs by each leaf, summed over parts of the rows."""
    size = at_once(rows, len(rows))
    sums: list[Tensor | None] = [None] * len(leaves)
    for part, part_signs in zip(rows.split(size), signs.split(size), strict=True):
        outputs = functional_call(model, leaves, (part,))  # (b, C)
        gradients = torch.autograd.grad(
            (outputs * part_signs).sum(), list(leaves.values()), allow_unused=True
        )
        for place, gradient in enumerate(gradients):
            total = sums[place]
            sums[place] = gradient if total is None or gradient is None else total + gradient
    return sums


def _size(value: Tensor) -> float:
    """Root mean square of a tensor, 1 for one of zeros: the size of a change that counts."""
    return float(value.double().square().mean().sqrt()) or 1.0


def _by_change(
    model: nn.Module,
    rows: Tensor,
    name: str,
    value: Tensor,
    before: Tensor,
    generator: torch.Generator,
) -> float:
    """Root mean square change of the outputs when noise of a tensor's own size is added to it."""
    noise = torch.randn(value.shape, generator=generator).to(value) * _size(value)
    after = _outputs(model, rows, {name: value + noise})
    change = float((after - before).double().square().mean().sqrt())
    # not a number: a change as large as can be, so that the tensor has an effect
    return change if np.isfinite(change) else float(before.double().std(0).mean())
