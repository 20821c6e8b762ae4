"""Forget whole classes: closed-form weight surgery, without gradients.

check (checks, collection) -> plan (presets) -> cut (projection) -> repair (aftercare,
low_rank_update, head_refit); of the preset `natural`: check -> write (natural)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from damp import aftercare, checks, projection
from damp.catalogue import DEFAULT_PRESET, PRESETS
from damp.collection import collect, collect_one
from damp.edited import EditedModel, OperatorEdit
from damp.errors import DampError, raise_together
from damp.grouping import for_request
from damp.head_refit import refit_head
from damp.low_rank_update import apply_low_rank_update
from damp.measurement import Measurement, Reader
from damp.measuring import copy_model, preserve_state, select_operators, skip_operator, unwrap
from damp.natural_edit import NaturalEdit
from damp.natural_plan import NaturalPlan
from damp.operators import Operator, Skipped, find
from damp.plans import OperatorPlan, PlanSettings
from damp.presets import plan_operator
from damp.running import Batches, exemplar
from damp.statistics import Statistics
from damp.strength import linear_ramp
from damp.tracing import OperatorUse


def forget(
    model: nn.Module,
    batches: Batches | None,
    *,
    forget: int | Iterable[int],
    preset: str = DEFAULT_PRESET,
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
        preset: A name in `damp.catalogue.PRESETS`, which says of each what it does, which repairs
            follow the cut and how many passes over the data it takes: see docs/method.md.
        gain: Multiplier on the separability, where the preset takes one: above 1 forgets more and
            keeps less.
        sequential: Take the statistics again after every cut: one pass per set of inputs.
            `natural` looks anew at each depth in any case.
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
    inner, retired = unwrap(model)
    classes, problems = checks.parse_classes(forget)
    problems += checks.request_problems(inner, preset=preset, gain=gain, skip=names, device=device)
    norms, frozen = _norms_to_recalibrate(inner, preset, recalibrate)
    problems += checks.data_problems(
        inner,
        batches,
        measured,
        preset=preset,
        sequential=sequential,
        norms=bool(norms),
    )
    if checks.forbids_reading(problems):
        raise_together(problems)
    with preserve_state(inner, device):
        edited = copy_model(inner, device)
        operators, skipped = select_operators(edited, names)
        edit = _Edit(
            original=inner,
            model=edited,
            batches=batches,
            operators={operator.name: operator for operator in operators},
            classes=classes,
            retired=retired,
            preset=preset,
            gain=gain,
            sequential=sequential,
            ramp=ramp,
        )
        plan = _natural_plan(edit)
        statistics, uses = _check_data(edit, measured, problems, plan, norms=bool(norms))
        natural = plan.write() if plan else None
        if isinstance(natural, str):
            # what the row names does the work, on a new copy, and the result says so
            edited = copy_model(inner, device)
            operators, skipped = select_operators(edited, names)
            edit = replace(
                edit,
                model=edited,
                operators={operator.name: operator for operator in operators},
                preset=PRESETS[preset].stand_in or preset,
            )
            # who reads what is traced on the very operators that are cut
            uses = {name: replace(use, operator=edit.operators[name]) for name, use in uses.items()}
            norms, frozen = _norms_to_recalibrate(inner, edit.preset, recalibrate)
            raise_together(list(checks.order_problems(statistics, classes)) if norms else [])
        uncut: list[Skipped] = []
        if isinstance(natural, NaturalEdit):
            edits = _natural_edits(edit, natural)
        else:
            edits, uncut = _cut_operators(edit, statistics, uses)
        # in this order: later repairs rest on the features that earlier ones leave
        recalibrated: tuple[str, ...] = ()
        if edits and norms and batches is not None:
            recalibrated = aftercare.recalibrate(edited, batches, (*classes, *retired))
        rewritten, not_updated = _update_writer(edit, statistics, edits) if edits else (None, [])
        mended, not_refitted = _refit_head(edit, statistics) if edits else (None, [])
        edited.to(exemplar(inner).device)
    return EditedModel(
        model=aftercare.RetiredOutputs(edited, (*classes, *retired)) if retire else edited,
        unretired=edited,
        operators=tuple(edits),
        skipped=_once(skipped, statistics.skipped, uncut, frozen, not_updated, not_refitted),
        forget=classes,
        classes=statistics.classes,
        preset=preset,
        gain=gain,
        sequential=sequential,
        recalibrated=recalibrated,
        rewritten=rewritten,
        mended=natural.head if isinstance(natural, NaturalEdit) else mended,
        samples=statistics.samples,
        natural=natural if isinstance(natural, NaturalEdit) else None,
        stand_in=edit.preset if isinstance(natural, str) else None,
        stand_in_reason=natural if isinstance(natural, str) else None,
    )


def _norms_to_recalibrate(
    model: nn.Module, preset: str, asked: bool | None
) -> tuple[Mapping[str, nn.Module], list[Skipped]]:
    """Batch norms that a preset re-estimates, or the caller asked for, and those that cannot be."""
    recalibrates = checks.applies("recalibrate", preset) if asked is None else asked
    return aftercare.batch_norms(model) if recalibrates else ({}, [])


def _once(*lists: Iterable[Skipped]) -> tuple[Skipped, ...]:
    """What was left alone, each thing once, though the statistics may list it again."""
    return tuple(dict.fromkeys(skipped for listed in lists for skipped in listed))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Edit:
    """What to cut, how, and on which data."""

    original: nn.Module
    model: nn.Module
    batches: Batches | None
    operators: dict[str, Operator]
    classes: tuple[int, ...]
    retired: tuple[int, ...]
    preset: str
    gain: float
    sequential: bool
    ramp: Callable[[int, int], float]


def _check_data(
    edit: _Edit,
    measured: Measurement | None,
    problems: list[DampError],
    plan: NaturalPlan | None,
    *,
    norms: bool,
) -> tuple[Measurement, Mapping[str, OperatorUse]]:
    """Statistics, from one pass over the data unless they are there; then all problems at once."""
    try:
        statistics, uses, data_problems = _statistics(edit, measured, plan)
    except DampError as error:
        raise_together([*problems, error])
        raise
    problems.extend(data_problems)
    problems.extend(checks.count_problems(statistics, edit.classes, edit.retired))
    if norms:
        problems.extend(checks.order_problems(statistics, edit.classes))
    raise_together(problems)
    return statistics, uses


def _statistics(
    edit: _Edit, measured: Measurement | None, plan: NaturalPlan | None
) -> tuple[Measurement, Mapping[str, OperatorUse], Sequence[DampError]]:
    if measured is not None:
        return measured.to(exemplar(edit.model).device), {}, ()
    collection = collect(
        edit.model,
        list(edit.operators.values()),
        edit.batches or (),
        for_request(edit.classes),
        ignore=edit.retired,
        beside=plan.begin if plan else None,
    )
    return collection.measurement, collection.uses, collection.problems


def _cut_operators(
    edit: _Edit, measured: Measurement, uses: Mapping[str, OperatorUse]
) -> tuple[list[OperatorEdit], list[Skipped]]:
    """Cut one operator after the other, in forward order; readers of one input all alike."""
    edits: list[OperatorEdit] = []
    uncut: list[Skipped] = []
    plans: dict[str, list[OperatorPlan | str]] = {}
    groups = list(measured.statistics)
    for reader in measured.readers:
        if reader.name not in edit.operators:
            continue
        group = reader.input_group
        if group not in plans:
            statistics = measured.of(reader)
            # the first operator reads inputs that no edit has changed
            if edit.sequential and edits:
                statistics = _statistics_now(edit, uses[group], statistics)
            ramp = edit.ramp(groups.index(group), len(groups))
            settings = PlanSettings(gain=edit.gain, ramp=ramp)
            plans[group] = plan_operator(edit.preset, statistics, edit.classes, settings)
        operator = edit.operators[reader.name]
        reason = _obstacle(reader, plans[group])
        if reason is None:
            statistics = measured.of(reader)
            edits.append(_cut(operator, reader, plans[group], statistics, edit.classes))
            reason = _uncut_outputs(reader, plans[group])
        if reason is not None:
            uncut.append(skip_operator(operator, reason))
    return edits, uncut


def _natural_plan(edit: _Edit) -> NaturalPlan | None:
    """Writing against the classes, where the preset does so and a class is named."""
    if not checks.applies("natural_update", edit.preset) or edit.batches is None:
        return None
    if not edit.classes:  # the copy stays bit-identical
        return None
    spared = [op.name for op in find(edit.model)[0] if op.name not in edit.operators]
    return NaturalPlan(edit.model, edit.original, edit.batches, edit.classes, edit.retired, spared)


def _natural_edits(edit: _Edit, natural: NaturalEdit) -> list[OperatorEdit]:
    """What was done to each layer that writes a sum, and to the head."""
    last = natural.depths[-1]
    changed = [depth for depth in natural.depths if depth.changed]
    layers = [(name, depth) for depth in changed for name in depth.layers]
    return [
        OperatorEdit(
            name=name,
            kind=edit.operators[name].kind,
            strength=tuple(
                min(max(1 - after / before, 0.0), 1.0) if before > 0 else 0.0
                for before, after in zip(depth.before, depth.after, strict=True)
            ),
            separability=tuple(s**2 for s in depth.before),
            relative_change=_moved(edit, name),
            residual=depth.residual,
            statistics="capped",
        )
        for name, depth in [*layers, (natural.head, last)]
    ]


def _moved(edit: _Edit, name: str) -> float:
    """|W' - W| / |W| of a whole layer, Frobenius norms."""
    before = edit.original.get_submodule(name).get_parameter("weight").double()  # (O, d, ...)
    return float((edit.operators[name].parameter.to(before) - before).norm() / before.norm())


def _update_writer(
    edit: _Edit, measured: Measurement, edits: list[OperatorEdit]
) -> tuple[str | None, list[Skipped]]:
    """Update the layer before the head where the preset does so: its name, or why it stays.

    How far its weight has moved in all is put right in `edits`.
    """
    if not checks.applies("low_rank_update", edit.preset) or edit.batches is None:
        return None, []
    operators = [edit.operators[r.name] for r in measured.readers if r.name in edit.operators]
    groups = {reader.name: reader.input_group for reader in measured.readers}
    separability = {e.name: max(e.separability) for e in edits}
    layer = apply_low_rank_update(
        edit.model, operators, groups, separability, edit.batches, edit.classes, edit.retired
    )
    if not isinstance(layer, str):
        return None, [layer]
    moved = _moved(edit, layer)
    edits[:] = [replace(e, relative_change=moved) if e.name == layer else e for e in edits]
    return layer, []


def _refit_head(edit: _Edit, measured: Measurement) -> tuple[str | None, list[Skipped]]:
    """Refit the head where the preset does so: its name, or why it stays as it is."""
    if not checks.applies("head_refit", edit.preset) or edit.batches is None:
        return None, []
    reader = measured.readers[-1]
    operator = edit.operators.get(reader.name)
    if operator is None:  # named in `skip`, and listed for that
        return None, []
    excluded = (*edit.classes, *edit.retired)
    reason = refit_head(edit.model, edit.original, (operator, reader), edit.batches, excluded)
    return (reader.name, []) if reason is None else (None, [skip_operator(operator, reason)])


def _statistics_now(edit: _Edit, use: OperatorUse, before: Statistics) -> Statistics:
    """Statistics of one set of inputs, after what was cut before them."""
    collection = collect_one(edit.model, use, edit.batches or (), before, ignore=edit.retired)
    raise_together(collection.problems)
    return collection.measurement.statistics[use.operator.name]


def _obstacle(reader: Reader, plans: Sequence[OperatorPlan | str]) -> str | None:
    """Why an operator stays as it is, None where it does not."""
    reasons = [plan for plan in plans if isinstance(plan, str)]
    if len(reasons) == len(plans):
        return reasons[0]
    # W T m must go into the bias; where forward() drops or changes it, the edit would be another
    if _needs_bias(plans) and not reader.bias_applied:
        return "its bias is not applied unmodified in forward(), and the edit has to change it"
    return None


def _uncut_outputs(reader: Reader, plans: Sequence[OperatorPlan | str]) -> str | None:
    """Which outputs of an edited operator stay as they are, and why; None where none do."""
    if not _needs_bias(plans) or reader.bias_fully_applied:
        return None
    spans = ", ".join(f"{start} to {stop - 1}" for start, stop in reader.bias_not_applied)
    return (
        f"its outputs {spans} stay: their bias is not applied unmodified in forward(), and the "
        "edit has to change it"
    )


def _needs_bias(plans: Sequence[OperatorPlan | str]) -> bool:
    return any(isinstance(plan, OperatorPlan) and plan.reference is not None for plan in plans)


def _cut(
    operator: Operator,
    reader: Reader,
    answers: Sequence[OperatorPlan | str],
    statistics: Statistics,
    classes: tuple[int, ...],
) -> OperatorEdit:
    """Cut, and record what was done."""
    blocks = [answer if isinstance(answer, OperatorPlan) else None for answer in answers]
    plans = [plan for plan in blocks if plan is not None]
    change = projection.cut(operator, blocks, reader.bias_mask())
    form = statistics.form(statistics.others(classes))
    return OperatorEdit(
        name=operator.name,
        kind=operator.kind,
        strength=tuple(a for plan in plans for a in plan.strength.tolist()),
        separability=tuple(s for plan in plans for s in plan.separability),
        relative_change=change,
        residual=max(plan.residual for plan in plans),
        statistics=form,
    )
