"""Forget whole classes: closed-form weight surgery, without gradients.

look (checks, survey) -> plan and cut each operator (presets, projection) -> aftercare
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from damp import aftercare, checks, projection
from damp.edited import EditedModel, OperatorEdit
from damp.errors import BadBatches, DampError, Unsupported, raise_together
from damp.operators import Operator, Skipped, find
from damp.presets import Plan, Settings, plan
from damp.running import Batches, exemplar
from damp.statistics import Statistics
from damp.strength import linear_ramp
from damp.survey import Survey, survey


def forget(
    model: nn.Module,
    batches: Batches,
    *,
    forget: int | Iterable[int],
    preset: str = "mixture",
    gain: float = 1.0,
    sequential: bool = False,
    retire: bool = True,
    skip: Iterable[str] = (),
    device: torch.device | str | None = None,
    recalibrate: bool | None = None,
    ramp: Callable[[int, int], float] = linear_ramp,
) -> EditedModel:
    """A copy of a classifier from which classes have been cut.

    The model that is passed stays bit-identical, and so do its modes and all random states.
    Where there is nothing to cut (no class, or no residual above the gate) the copy is
    bit-identical too.

    Args:
        model: Gives logits, (B, C); float32 or float64.
        batches: Pairs of inputs (B, ...) and integer labels (B,), of classes to forget and of
            classes to keep; readable more than once (a list, a DataLoader).
        forget: Class or classes to forget.
        preset: "mixture" (default) or "paper": see docs/method.md.
        gain: Multiplier on the separability (`mixture`): above 1 forgets more, keeps less.
        sequential: Take the statistics anew after every edit: one pass per operator.
        retire: Mask the forgotten logits in `EditedModel.model`.
        skip: Layers to leave alone, by name, with all that lies inside them.
        device: Where to work; the result comes back to where the model is. None: there.
        recalibrate: Re-estimate batch norms on retain samples. None: as the preset does.
        ramp: Depth's share of the strength (`paper`), from position (from 0) and number of
            operators.
    Returns:
        The edited model, with what was done to which layer.
    Raises:
        DampError: anything in the tree of `damp.errors`, all problems together, before any cut.
    Source: DAMP, arXiv:2604.15166 (`paper`); docs/method.md (`mixture`).

    >>> _ = torch.manual_seed(0)
    >>> net = nn.Linear(4, 3)
    >>> labels = torch.arange(60) % 3
    >>> inputs = torch.randn(60, 4) + 3 * torch.eye(4)[labels]
    >>> edited = forget(net, [(inputs, labels)], forget=1)
    >>> edited.operators[0].name, edited.operators[0].kind, edited.forget, edited.samples
    ('', 'Linear', (1,), 60)
    >>> bool(edited.model(inputs)[:, 1].isneginf().all())
    True
    """
    order = _Order(preset=preset, gain=gain, sequential=sequential, ramp=ramp)
    names, norms_too = tuple(skip), checks.repairs(preset, recalibrate)
    classes, problems = checks.of_classes(forget)
    problems += checks.of_request(model, batches, preset=preset, gain=gain, skip=names)
    with _undisturbed(model, device):
        edited = copy.deepcopy(model)
        if device is not None:
            edited.to(device)
        operators, skipped = _choose(edited, names)
        norms, frozen = aftercare.tracking(edited) if norms_too else ({}, [])
        seen = _look(edited, operators, batches, classes, problems, norms=bool(norms))
        edits, whole = _operate(edited, operators, batches, seen, order)
        repaired = aftercare.recalibrate(edited, batches, classes) if edits and norms else ()
        if device is not None:
            edited.to(exemplar(model).device)
    return EditedModel(
        model=aftercare.RetiredOutputs(edited, classes) if retire else edited,
        unretired=edited,
        operators=tuple(edits),
        skipped=(*skipped, *seen.skipped, *whole, *frozen),
        forget=classes,
        classes=len(seen.counts),
        preset=preset,
        gain=gain,
        sequential=sequential,
        recalibrated=repaired,
        samples=int(seen.counts.sum()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """How to cut."""

    preset: str
    gain: float
    sequential: bool
    ramp: Callable[[int, int], float]


@contextmanager
def _undisturbed(model: nn.Module, device: torch.device | str | None) -> Iterator[None]:
    """No gradients, no inference tensors in what is made, and all random states put back."""
    used = [value.device for value in model.parameters()]
    used += [torch.device(device)] if device is not None else []
    cuda = sorted({place.index or 0 for place in used if place.type == "cuda"})
    with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng(devices=cuda):
        yield


def _choose(model: nn.Module, skip: Sequence[str]) -> tuple[list[Operator], list[Skipped]]:
    """Operators to cut, and layers left alone because of their kind or of `skip`."""
    operators, skipped = find(model)
    spared = [op for op in operators if any(_within(op.name, name) for name in skip)]
    chosen = [operator for operator in operators if operator not in spared]
    return chosen, skipped + [_spare(operator, "it is named in `skip`") for operator in spared]


def _within(name: str, container: str) -> bool:
    return name == container or name.startswith(f"{container}.")


def _spare(operator: Operator, reason: str) -> Skipped:
    return Skipped(name=operator.name, kind=operator.kind, reason=reason)


def _look(
    model: nn.Module,
    operators: Sequence[Operator],
    batches: Batches,
    classes: tuple[int, ...],
    problems: list[DampError],
    *,
    norms: bool,
) -> Survey:
    """One pass over the data, unless it is known to fail; then all problems at once."""
    if not any(isinstance(problem, Unsupported | BadBatches) for problem in problems):
        try:
            seen = survey(model, operators, batches, classes)
            problems.extend(checks.of_survey(seen, classes, norms=norms))
        except DampError as error:
            problems.append(error)
    raise_together(problems)
    return seen


def _operate(
    model: nn.Module,
    operators: Sequence[Operator],
    batches: Batches,
    seen: Survey,
    order: _Order,
) -> tuple[list[OperatorEdit], list[Skipped]]:
    """Cut one operator after the other, in forward order."""
    by_name = {operator.name: operator for operator in operators}
    edits: list[OperatorEdit] = []
    whole: list[Skipped] = []
    for position, (name, statistics) in enumerate(seen.statistics.items()):
        operator = by_name[name]
        if order.sequential and edits:
            statistics = _again(model, operator, batches, statistics.forget)
        settings = Settings(gain=order.gain, ramp=order.ramp(position, len(seen.statistics)))
        decision = plan(order.preset, statistics, settings)
        if isinstance(decision, str):
            whole.append(_spare(operator, decision))
        else:
            edits.append(_edit(operator, decision))
    return edits, whole


def _again(
    model: nn.Module, operator: Operator, batches: Batches, classes: tuple[int, ...]
) -> Statistics:
    """Statistics of one operator, after what was cut before it."""
    seen = survey(model, [operator], batches, classes)
    raise_together(seen.problems)
    return seen.statistics[operator.name]


def _edit(operator: Operator, decision: Plan) -> OperatorEdit:
    """Cut, and say what was done."""
    change = projection.cut(operator, decision.subspace, decision.strength, decision.reference)
    return OperatorEdit(
        name=operator.name,
        kind=operator.kind,
        strength=tuple(decision.strength.tolist()),
        separability=decision.separability,
        relative_change=change,
        residual=decision.residual,
    )
