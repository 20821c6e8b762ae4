"""Measure a model once: statistics that serve every request that may be made of it later."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from damp import checks
from damp.aftercare import RetiredOutputs
from damp.collection import collect
from damp.errors import Unsupported, raise_together
from damp.grouping import MEMORY, for_any_request
from damp.measurement import Measurement, digest
from damp.operators import Operator, Skipped, find
from damp.running import Batches


def measure(
    model: nn.Module,
    batches: Batches,
    *,
    skip: Iterable[str] = (),
    device: torch.device | str | None = None,
    memory: int = MEMORY,
) -> Measurement:
    """One pass over the data, for every preset, gain and set of classes asked for later.

    `forget(..., measured=...)` and `costs` take the result in place of a pass of their own. The
    model stays as it is, and so do all random states.

    Args:
        model: Gives logits, (B, C); float32 or float64.
        batches: Pairs of inputs (B, ...) and integer labels (B,), of all classes.
        skip: Layers to leave alone, by name, with all that lies inside them.
        device: Where to work; the statistics stay there. None: where the model is.
        memory: Bytes that second moments kept apart by class may take. Operators for which there is
            no room share one among all classes: see docs/method.md.
    Raises:
        DampError: anything in the tree of `damp.errors`, all problems together.

    >>> _ = torch.manual_seed(0)
    >>> measured = measure(nn.Linear(4, 3), [(torch.randn(60, 4), torch.arange(60) % 3)])
    >>> measured.samples, measured.counts.tolist(), [reader.name for reader in measured.readers]
    (60, [20, 20, 20], [''])
    """
    names = tuple(skip)
    inner, retired = unwrap(model)
    problems = checks.model_problems(inner)
    problems += checks.batch_problems(batches)
    if not problems:
        problems += checks.skip_problems(inner, names)
    if device is not None:
        problems += checks.device_problems(device)
    raise_together(problems)
    with preserve_state(inner, device):
        working = copy_model(inner, device)
        operators, skipped = select_operators(working, names)
        collection = collect(working, operators, batches, for_any_request(memory), ignore=retired)
        raise_together(collection.problems)
        return replace(
            collection.measurement,
            skipped=(*skipped, *collection.measurement.skipped),
            weights=digest(inner),  # of the caller's model: the copy may have another device
        )


def unwrap(model: nn.Module) -> tuple[nn.Module, tuple[int, ...]]:
    """The network itself, and the classes that earlier requests have retired."""
    # each request on an edited model wraps it once more
    retired: tuple[int, ...] = ()
    while isinstance(model, RetiredOutputs):
        retired = retired + model.classes
        model = model.model
    return model, tuple(sorted(set(retired)))


@contextmanager
def preserve_state(model: nn.Module, device: torch.device | str | None) -> Iterator[None]:
    """No gradients, no inference tensors in the result, and all random states put back."""
    # fork_rng saves the CPU's state always, of GPUs those that are named
    used = [value.device for value in model.parameters()]
    used += [torch.device(device)] if device is not None else []
    cuda = sorted({place.index or 0 for place in used if place.type == "cuda"})
    with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng(devices=cuda):
        yield


def copy_model(model: nn.Module, device: torch.device | str | None) -> nn.Module:
    """A copy to work on, where the work is done.

    Raises:
        Unsupported: the model cannot be copied.
    """
    try:
        working = copy.deepcopy(model)
    except (RuntimeError, TypeError) as error:
        raise Unsupported(
            f"The model cannot be copied ({error}). Weight norm in its old form is a common cause: "
            "remove it, or build the model again and load its state dict."
        ) from error
    return working if device is None else working.to(device)


def select_operators(model: nn.Module, skip: Sequence[str]) -> tuple[list[Operator], list[Skipped]]:
    """Operators to cut, and layers left alone because of their kind or of `skip`."""
    operators, skipped = find(model)
    spared = [op for op in operators if any(_within(op.name, name) for name in skip)]
    kept = [operator for operator in operators if operator not in spared]
    return kept, skipped + [skip_operator(operator, "it is named in `skip`") for operator in spared]


def _within(name: str, container: str) -> bool:
    return name == container or name.startswith(f"{container}.")


def skip_operator(operator: Operator, reason: str) -> Skipped:
    """An operator that stays as it is."""
    return Skipped(name=operator.name, kind=operator.kind, reason=reason)
