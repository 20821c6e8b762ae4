"""Capped rows: what chosen sums and layers hold for the first rows of each class, in one pass.

What needs samples, not moments, is worked out on them. Rows are taken in the order in which they
come, so that the same batches give the same rows; only those that are taken run through the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from damp.hooks import Watch
from damp.operators import Operator
from damp.outputs import logits_of
from damp.running import evaluating, exemplar
from damp.sums import Rectifiers, Sum

RETAIN_ROWS = 4000
"""Rows of all classes to keep together, at most; equally many of each."""

RETAIN_LEAST = 20
"""Rows of each class to keep that are taken whatever their number."""

FORGET_ROWS = 1500
"""Rows of each class to forget, at most."""

MEMORY = 1 << 29
"""Bytes that the kept tensors may take: fewer rows are taken where they would take more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CappedRows:
    """What was kept, on the CPU.

    Attributes:
        places: Calls of rectifiers, one per sum.
        sums: z of each, (n, C, ...).
        inputs: Of layers, by name, (n, ...).
        logits: Of the original, (n, C).
        labels: (n,).
    """

    places: tuple[int, ...]
    sums: tuple[Tensor, ...]
    inputs: dict[str, Tensor]
    logits: Tensor
    labels: Tensor


def capped_rows(
    model: nn.Module,
    original: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    forget: Sequence[int],
    retired: Sequence[int],
    *,
    sums: Sequence[Sum],
    operators: Sequence[Operator],
    classes: int,
) -> CappedRows:
    """One pass, in evaluation mode.

    Args:
        model: As it is now: what its sums and layers hold is kept.
        original: Whose logits are kept.
        batches: As `damp.running.read_batches` gives them: fit for the model, without rows of
            retired classes.
        forget: Classes to forget.
        retired: Classes that left before.
        sums: Whose values to keep.
        operators: Whose inputs to keep.
        classes: The model's number of outputs, C.
    """
    places = tuple(place.place for place in sums)
    kept_sums: dict[int, list[Tensor]] = {place: [] for place in places}
    kept_inputs: dict[str, list[Tensor]] = {operator.name: [] for operator in operators}
    logits: list[Tensor] = []
    labels: list[Tensor] = []
    kept_classes = max(classes - len(forget) - len(retired), 1)
    caps = torch.full((classes,), max(RETAIN_LEAST, RETAIN_ROWS // kept_classes))
    taken = torch.zeros_like(caps)
    caps[list(forget)], caps[list(retired)] = FORGET_ROWS, 0
    with evaluating(model), evaluating(original), torch.no_grad():
        for inputs, own in batches:
            chosen = _choose(own, taken, caps)
            if not bool(chosen.any()):
                continue
            wanted = inputs[chosen.to(inputs.device)]
            with Rectifiers(places) as calls, Watch(operators, _keep(kept_inputs)):
                model(wanted)
            output = original(wanted.to(exemplar(original)))
            logits.append(logits_of(output, len(wanted)).cpu())
            labels.append(own[chosen])
            for place in places:
                kept_sums[place].append(calls.calls[place].values.cpu())
            if len(labels) == 1:
                caps = _affordable(caps, kept_sums, kept_inputs, len(labels[0]))
            if bool((taken >= caps).all()):
                break
    return CappedRows(
        places=places,
        sums=tuple(torch.cat(kept_sums[place]) for place in places),
        inputs={name: torch.cat(parts) for name, parts in kept_inputs.items()},
        logits=torch.cat(logits),
        labels=torch.cat(labels),
    )


def _choose(labels: Tensor, taken: Tensor, caps: Tensor) -> Tensor:
    """Rows that are still wanted, (B,), bool; `taken` counts them."""
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for row, label in enumerate(labels.tolist()):
        if 0 <= label < len(caps) and taken[label] < caps[label]:
            taken[label] += 1
            chosen[row] = True
    return chosen


def _keep(kept: dict[str, list[Tensor]]) -> Callable[[Operator, Tensor, Tensor | None], None]:
    def keep(operator: Operator, inputs: Tensor, _: Tensor | None) -> None:
        kept[operator.name].append(inputs.detach().cpu().clone())

    return keep


def _affordable(
    caps: Tensor,
    sums: dict[int, list[Tensor]],
    inputs: dict[str, list[Tensor]],
    rows: int,
) -> Tensor:
    """Caps under which all that is kept fits in `MEMORY`, in proportion."""
    parts = [part for parts in (*sums.values(), *inputs.values()) for part in parts]
    size = sum(part.numel() * part.element_size() for part in parts) / rows
    share = min(1.0, MEMORY / (size * float(caps.sum())))
    return torch.minimum(caps, (caps * share).ceil().long().clamp_min(RETAIN_LEAST))
