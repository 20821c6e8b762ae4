"""Forget whole classes: closed-form weight surgery, without gradients.

look (checks, survey) -> plan (presets) -> cut (projection) -> aftercare, rewriting, mending
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from damp import aftercare, checks, head_refit, low_rank_update, projection
from damp.collection import again, survey
from damp.edited import EditedModel, OperatorEdit
from damp.errors import DampError, raise_together
from damp.grouping import for_request
from damp.measurement import Measurement, Reader
from damp.measuring import chosen, copied, spare, undisturbed, unwrapped
from damp.operators import Operator, Skipped
from damp.presets import PRESETS, Plan, Settings, plans
from damp.running import Batches, exemplar
from damp.statistics import Statistics
from damp.strength import linear_ramp
from damp.tracing import Reading


def forget(
    model: nn.Module,
    batches: Batches | None,
    *,
    forget: int | Iterable[int],
    preset: str = "mended",
    gain: float = 1.0,
    sequential: bool = False,
    retire: bool = True,
    skip: Iterable[str] = (),
    device: torch.device | str | None = None,
    recalibrate: bool | None = None,
    ramp: Callable[[int, int], float] = linear_ramp,
    measured: Measurement | None = None,
) -> EditedModel:
    """A copy of a classifier from which classes have been cut.

    The model that is passed stays bit-identical, and so do its modes and all random states.
    Where there is nothing to cut (no class, or no residual above the gate) the copy is
    bit-identical too.

    Args:
        model: Gives logits, (B, C); float32 or float64. For a second request give what the first
            one made, `EditedModel.model`: samples of the classes that it retired are passed over.
        batches: Pairs of inputs (B, ...) and integer labels (B,), of classes to forget and of
            classes to keep; readable more than once (a list, a DataLoader). May be None where
            `measured` is given and there is no batch norm to re-estimate.
        forget: Class or classes to forget.
        preset: "mended" (default), "mixture" (the same, but the head is not fitted anew to the
            classes to keep: one pass less, and `measured` is enough), "rewritten" (layers are cut
            lightly, the one before the head is made to write against what is left, then as
            "mended": up to fourteen passes more) or "paper": see docs/method.md.
        gain: Multiplier on the separability (not for `paper`): above 1 forgets more, keeps less.
        sequential: Take the statistics anew after every edit: one pass per set of inputs.
        retire: Mask the forgotten logits in `EditedModel.model`.
        skip: Layers to leave alone, by name, with all that lies inside them.
        device: Where to work; the result comes back to where the model is. None: there.
        recalibrate: Re-estimate batch norms on retain samples. None: as the preset does.
        ramp: Depth's share of the strength (`paper`), from position (from 0) and number of
            operators; those that read the same inputs are counted once.
        measured: What `measure` gave for this very model: it saves the pass over the data.
    Returns:
        The edited model, with what was done to which layer.
    Raises:
        DampError: anything in the tree of `damp.errors`, all problems together, before any cut.
    Source: DAMP, arXiv:2604.15166 (`paper`); docs/method.md (the other presets).

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
    names = tuple(skip)
    inner, retired = unwrapped(model)
    classes, problems = checks.of_classes(forget)
    problems += checks.of_request(inner, preset=preset, gain=gain, skip=names, device=device)
    repairing = checks.repairs(preset, recalibrate)
    norms, frozen = aftercare.tracking(inner) if repairing else ({}, [])
    problems += checks.of_data(
        inner,
        batches,
        measured,
        preset=preset,
        sequential=sequential,
        norms=bool(norms),
    )
    if checks.blind(problems):
        raise_together(problems)
    with undisturbed(inner, device):
        edited = copied(inner, device)
        operators, skipped = chosen(edited, names)
        work = _Work(
            model=edited,
            batches=batches,
            operators={operator.name: operator for operator in operators},
            classes=classes,
            retired=retired,
            order=_Order(preset=preset, gain=gain, sequential=sequential, ramp=ramp),
        )
        seen, readings = _look(work, measured, problems, norms=bool(norms))
        edits, whole = _operate(work, seen, readings)
        repaired: tuple[str, ...] = ()
        if edits and norms and batches is not None:
            repaired = aftercare.recalibrate(edited, batches, (*classes, *retired))
        rewritten, unwritten = _rewrite(work, inner, seen, edits) if edits else (None, [])
        mended, unmended = _mend(work, inner, seen) if edits else (None, [])
        edited.to(exemplar(inner).device)
    return EditedModel(
        model=aftercare.RetiredOutputs(edited, (*classes, *retired)) if retire else edited,
        unretired=edited,
        operators=tuple(edits),
        skipped=_once(skipped, seen.skipped, whole, frozen, unwritten, unmended),
        forget=classes,
        classes=seen.classes,
        preset=preset,
        gain=gain,
        sequential=sequential,
        recalibrated=repaired,
        rewritten=rewritten,
        mended=mended,
        samples=seen.samples,
    )


def _once(*lists: Iterable[Skipped]) -> tuple[Skipped, ...]:
    """What was left alone, each thing once, though the statistics may tell it again."""
    return tuple(dict.fromkeys(skipped for listed in lists for skipped in listed))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """How to cut."""

    preset: str
    gain: float
    sequential: bool
    ramp: Callable[[int, int], float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """What there is to cut, and on which data."""

    model: nn.Module
    batches: Batches | None
    operators: dict[str, Operator]
    classes: tuple[int, ...]
    retired: tuple[int, ...]
    order: _Order


def _look(
    work: _Work, measured: Measurement | None, problems: list[DampError], *, norms: bool
) -> tuple[Measurement, Mapping[str, Reading]]:
    """Statistics, from one pass over the data unless they are there; then all problems at once."""
    try:
        seen, readings, found = _statistics(work, measured)
    except DampError as error:
        raise_together([*problems, error])
        raise
    problems.extend(found)
    problems.extend(checks.of_counts(seen, work.classes, work.retired))
    if norms:
        problems.extend(checks.of_order(seen, work.classes))
    raise_together(problems)
    return seen, readings


def _statistics(
    work: _Work, measured: Measurement | None
) -> tuple[Measurement, Mapping[str, Reading], Sequence[DampError]]:
    if measured is not None:
        return measured.to(exemplar(work.model).device), {}, ()
    found = survey(
        work.model,
        list(work.operators.values()),
        work.batches or (),
        for_request(work.classes),
        ignore=work.retired,
    )
    return found.measurement, found.readings, found.problems


def _operate(
    work: _Work, seen: Measurement, readings: Mapping[str, Reading]
) -> tuple[list[OperatorEdit], list[Skipped]]:
    """Cut one operator after the other, in forward order; readers of one input all alike."""
    edits: list[OperatorEdit] = []
    whole: list[Skipped] = []
    decided: dict[str, list[Plan | str]] = {}
    leaders = list(seen.statistics)
    for reader in seen.readers:
        if reader.name not in work.operators:
            continue
        if reader.leader not in decided:
            statistics = seen.of(reader)
            if work.order.sequential and edits:
                statistics = _again(work, readings[reader.leader], statistics)
            ramp = work.order.ramp(leaders.index(reader.leader), len(leaders))
            settings = Settings(gain=work.order.gain, ramp=ramp)
            decided[reader.leader] = plans(work.order.preset, statistics, work.classes, settings)
        operator = work.operators[reader.name]
        reason = _obstacle(reader, decided[reader.leader])
        if reason is None:
            edits.append(
                _edit(operator, reader, decided[reader.leader], seen.of(reader), work.classes)
            )
            reason = _partly(reader, decided[reader.leader])
        if reason is not None:
            whole.append(spare(operator, reason))
    return edits, whole


def _rewrite(
    work: _Work, original: nn.Module, seen: Measurement, edits: list[OperatorEdit]
) -> tuple[str | None, list[Skipped]]:
    """Rewrite the layer before the head where the preset does so: its name, or why it stays.

    How far its weight has moved in all is put right in `edits`.
    """
    if not PRESETS[work.order.preset].rewrites or work.batches is None:
        return None, []
    operators = [work.operators[r.name] for r in seen.readers if r.name in work.operators]
    leaders = {reader.name: reader.leader for reader in seen.readers}
    separability = {edit.name: max(edit.separability) for edit in edits}
    made = low_rank_update.rewrite(
        work.model, operators, leaders, separability, work.batches, work.classes, work.retired
    )
    if not isinstance(made, str):
        return None, [made]
    before = original.get_submodule(made).get_parameter("weight").double()
    moved = float((work.operators[made].parameter.to(before) - before).norm() / before.norm())
    edits[:] = [replace(e, relative_change=moved) if e.name == made else e for e in edits]
    return made, []


def _mend(work: _Work, original: nn.Module, seen: Measurement) -> tuple[str | None, list[Skipped]]:
    """Fit the head anew where the preset does so: its name, or why it stays as it is."""
    if not PRESETS[work.order.preset].mends or work.batches is None:
        return None, []
    reader = seen.readers[-1]
    operator = work.operators.get(reader.name)
    if operator is None:  # named in `skip`, which is told
        return None, []
    gone = (*work.classes, *work.retired)
    reason = head_refit.mend(work.model, original, (operator, reader), work.batches, gone)
    return (reader.name, []) if reason is None else (None, [spare(operator, reason)])


def _again(work: _Work, use: Reading, before: Statistics) -> Statistics:
    """Statistics of one set of inputs, after what was cut before them."""
    found = again(work.model, use, work.batches or (), before, ignore=work.retired)
    raise_together(found.problems)
    return found.measurement.statistics[use.operator.name]


def _obstacle(reader: Reader, decided: Sequence[Plan | str]) -> str | None:
    """Why an operator stays as it is, None where it does not."""
    reasons = [plan for plan in decided if isinstance(plan, str)]
    if len(reasons) == len(decided):
        return reasons[0]
    if _needs_bias(decided) and not reader.heard:
        return "the model does not add its bias as it stands, and the edit needs one"
    return None


def _partly(reader: Reader, decided: Sequence[Plan | str]) -> str | None:
    """Which outputs of an edited operator stay as they are, and why; None where none do."""
    if not _needs_bias(decided) or reader.all_heard:
        return None
    spans = ", ".join(f"{start} to {stop - 1}" for start, stop in reader.unheard)
    return f"its outputs {spans} stay: the model does not add their bias, which the edit needs"


def _needs_bias(decided: Sequence[Plan | str]) -> bool:
    return any(isinstance(plan, Plan) and plan.reference is not None for plan in decided)


def _edit(
    operator: Operator,
    reader: Reader,
    decided: Sequence[Plan | str],
    statistics: Statistics,
    classes: tuple[int, ...],
) -> OperatorEdit:
    """Cut, and say what was done."""
    plans_made = [plan if isinstance(plan, Plan) else None for plan in decided]
    made = [plan for plan in plans_made if plan is not None]
    change = projection.cut(operator, plans_made, reader.heard_outputs())
    form = statistics.form(statistics.others(classes))
    return OperatorEdit(
        name=operator.name,
        kind=operator.kind,
        strength=tuple(a for plan in made for a in plan.strength.tolist()),
        separability=tuple(s for plan in made for s in plan.separability),
        relative_change=change,
        residual=max(plan.residual for plan in made),
        statistics=form,
    )
