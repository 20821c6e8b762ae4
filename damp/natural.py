"""The preset `natural`: leave a class where a network that never saw it would leave it.

Two steps on capped rows, after the statistics. On the original: how separable the class naturally
is behind the last sum and behind the one that its branch reads, carried as an absolute goal. Then,
in forward order, the layers that write these sums are changed until the goal is met, and the head
is refitted to the classes to keep. No reader is cut, no gradient is taken.

Source: docs/method.md, `natural`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from damp.dense_writer import DenseMove, move_layer
from damp.gated_writing import (
    GatedWriting,
    Patches,
    find_gated_writing,
    fold_gated_writing,
    patches_of,
    separability_of,
)
from damp.head_refit import RegressionSums
from damp.natural_edit import NaturalDepth, NaturalEdit
from damp.natural_share import Goal, RowGeometry, cells_of, discriminability, natural_goals
from damp.operators import find
from damp.residuals import whitened_subspace
from damp.rows import (
    MOST_MEMORY,
    RETAIN_LEAST,
    Answers,
    CappedRows,
    RowKeeper,
    capped_rows,
)
from damp.running import Batches, exemplar, read_batches
from damp.sum_writers import (
    ENOUGH,
    SumRows,
    Writing,
    alternate,
    find_writing,
    fold_writing,
    middle_inputs,
)
from damp.sums import Sum, find_sums, with_writers
from damp.tracing import OperatorUse, trace
from damp.whitening import WIDEST

FEWEST = 24
"""Rows of a class to forget below which its natural share is not estimated."""

FOLLOWED = 2
"""Sums before the last one whose maps say what is natural behind it."""

HEAD_CUT = 0.75
"""Share of the residual that the refitted head's rows lose behind a linear layer, where the class
is learnt in full; as much less as it is learnt less, since there is less to take."""

TOLERANCE = 0.1
"""Share of its goal by which a class may lie above it however near the goal was before."""

HALVINGS = 12
"""Of the interval in which the share of a linear layer's move is sought."""


def plan_naturally(
    model: nn.Module,
    original: nn.Module,
    batches: Batches,
    inputs: Tensor,
    forget: Sequence[int],
    retired: Sequence[int] = (),
    skip: Sequence[str] = (),
) -> NaturalCase | str:
    """What is to be written, and where: by a few samples, before any pass.

    Args:
        model: A copy of `original`, which may be one that was edited before.
        original: It stays as it is; the head is refitted to its logits.
        batches: Pairs of inputs and labels; the first rows of each class are taken.
        inputs: Of the first of them, (B, ...).
        forget: Classes to forget, each with samples.
        retired: Classes whose samples are passed over.
        skip: Names of operators that stay as they are.
    Returns:
        The case; or why it cannot be done.
    """
    uses = trace(model, find(model)[0], inputs).uses
    head = next(reversed(uses.values()))
    reason = _head_obstacle(head, skip)
    if reason is not None:
        return reason
    sums = find_sums(model, head, inputs, FOLLOWED + 1)
    if isinstance(sums, str):
        return sums
    free = {name: use for name, use in uses.items() if name not in skip}
    last = with_writers(model, sums[-1], head, free, inputs)
    if isinstance(last, str):
        return f"the sum that {head.operator.name!r} reads: {last}"
    dense = len(last.writers) == 1 and isinstance(last.writers[0].operator.layer, nn.Linear)
    case = NaturalCase(
        model=model,
        answers=Answers(original),
        head=head,
        batches=batches,
        forget=tuple(forget),
        retired=tuple(retired),
        sums=sums,
        last=last,
        earlier=_read_by(model, last, sums, free, inputs),
        dense=dense,
    )
    return _memory_obstacle(case, inputs[:1]) or case


def _read_by(
    model: nn.Module,
    last: Sum,
    sums: Sequence[Sum],
    uses: Mapping[str, OperatorUse],
    inputs: Tensor,
) -> Sum | None:
    """The last sum that a writer of the last one reads: inside a branch, or the sum before.

    None where nobody writes it by a factor, and for the first sum, which has no goal.
    """
    reads: dict[int, tuple[Sum, OperatorUse]] = {}
    for writer in last.writers:
        use = uses[writer.operator.name]
        found = find_sums(model, use, inputs, 1, in_cells=True)
        if not isinstance(found, str) and found[0].place > sums[0].place:
            reads[found[0].place] = found[0], use
    if not reads:
        return None
    written = with_writers(model, *reads[max(reads)], uses, inputs)
    return written if isinstance(written, Sum) else None


def write_naturally(case: NaturalCase, rows: CappedRows) -> NaturalEdit | str:
    """Edit a network in place.

    Args:
        case: From `plan_naturally`.
        rows: What `case.first_keeper()` has kept of the unchanged network.
    Returns:
        What was done; or why it cannot be done: the model may then have changed in part, and is
        to be thrown away.
    """
    reason = _rows_obstacle(case, rows)
    if reason is not None:
        return reason
    goals = _goals(case, rows, case.last)
    if not goals:
        return "there is one sum only before its last layer: no depth to estimate a share from"
    reason = _goal_obstacle(goals[-1], case.forget)
    if reason is not None:
        return reason
    depths: list[NaturalDepth] = []
    passes = 1
    if case.earlier is not None:
        depths += _write_earlier(case, case.earlier, rows)
        # what lies between is not linear: the last sum is looked at once more
        keeper = case.keeper([case.last], case.last)
        rows, passes = capped_rows(case.model, case.read(), keeper, edited=True), 2
    cut = 0.0
    if case.dense:
        depth, features, learnt = _move_dense(case, rows, goals[-1])
        cut = head_cut(learnt)
    else:
        depth, features = _write(case, case.last, rows, goals[-1], _patches(case.last, rows))
    reason = _missed(depth, case.forget)
    if reason is not None:
        return reason
    _fit_head(case, features, rows.labels, rows.logits, cut=cut)
    return NaturalEdit(
        depths=(*depths, depth),
        head=case.head.operator.name,
        rows=len(rows.labels),
        passes=passes,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NaturalCase:
    """What to edit, on which data.

    Attributes:
        sums: In forward order; the first is where natural shares start from.
        answers: Of the original.
        last, earlier: With their writers; the latter where it is written against.
        dense: The last sum is written by one linear layer.
    """

    model: nn.Module
    answers: Answers
    head: OperatorUse
    batches: Batches
    forget: tuple[int, ...]
    retired: tuple[int, ...]
    sums: Sequence[Sum]
    last: Sum
    earlier: Sum | None
    dense: bool

    def first_keeper(self) -> RowKeeper:
        """What the first pass keeps: all sums, and what the writers of the first one read."""
        if self.earlier is None:
            return self.keeper(self.sums, self.last)
        inner = [self.earlier] if self.earlier.place not in {s.place for s in self.sums} else []
        return self.keeper([*self.sums, *inner], self.earlier)

    def keeper(self, sums: Sequence[Sum], written: Sum) -> RowKeeper:
        """Of sums, and of what the writers of one of them read."""
        return RowKeeper(
            self.answers,
            self.forget,
            self.retired,
            sums=sums,
            operators=[writer.operator for writer in written.writers],
            classes=self.head.operator.outputs,
        )

    def read(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches, as the model needs them."""
        return read_batches(self.batches, exemplar(self.model), self.retired)


def _memory_obstacle(case: NaturalCase, row: Tensor) -> str | None:
    """With many classes or large images even the least rows of each may not fit."""
    needed = case.first_keeper().least_bytes(case.model, row.to(exemplar(case.model)))
    if needed <= MOST_MEMORY:
        return None
    return (
        f"{RETAIN_LEAST} rows of each class to keep would take {needed / (1 << 30):.1f} GiB of "
        f"what its layers hold, above {MOST_MEMORY >> 30} GiB"
    )


def _head_obstacle(head: OperatorUse, skip: Sequence[str]) -> str | None:
    operator = head.operator
    if operator.name in skip:
        return "its last layer is named in `skip`"
    if not isinstance(operator.layer, nn.Linear) or operator.sharing or head.calls > 1:
        return "its last layer is no linear map of its own"
    if not bool(head.bias_applied.all()):
        return "the bias of its last layer is not applied unmodified in forward()"
    if operator.features > WIDEST:
        return f"its last layer reads {operator.features} features, above {WIDEST}"
    if operator.features < operator.outputs:
        return (
            f"its last layer reads {operator.features} features, fewer than the "
            f"{operator.outputs} classes: a mixture of the others explains any class there"
        )
    return None


def _missed(depth: NaturalDepth, forget: Sequence[int]) -> str | None:
    """Why a depth counts as not reached: a class is nearer to where it was than to its goal."""
    pairs = zip(forget, depth.before, depth.goal, depth.after, strict=True)
    for label, before, goal, after in pairs:
        if after - goal > max((before - goal) / 2, TOLERANCE * goal):
            return (
                f"class {label} could not be brought near its natural separability before the last "
                f"layer (s {before:.2f}, goal {goal:.2f}, reached {after:.2f})"
            )
    return None


def _rows_obstacle(case: NaturalCase, rows: CappedRows) -> str | None:
    forget = case.forget
    for label in forget:
        count = int((rows.labels == label).sum())
        if count < FEWEST:
            return (
                f"class {label} has {count} rows, too few to estimate how separable it naturally "
                f"is: {FEWEST} or more are needed"
            )
    gone = torch.isin(rows.labels, torch.tensor(list(forget)))
    kept = rows.labels[~gone]
    if len(kept) < FEWEST or int(kept.unique(return_counts=True)[1].min()) < 2:
        return f"the classes to keep have {len(kept)} rows, too few to estimate their spread"
    features = case.last.pooled(rows.sums[rows.places.index(case.last.place)])
    spread = features[~gone].double().var(0).mean()
    # of large constants rounding leaves a variance too
    if not float(spread) > 1e-10 * float(features.double().square().mean()):
        return "the samples to keep are all alike before the last layer"
    layer = case.head.operator.layer
    given = features.to(exemplar(case.model)) @ layer.get_parameter("weight").T
    if layer._parameters.get("bias") is not None:
        given = given + layer.get_parameter("bias")
    if not torch.allclose(given.cpu(), rows.logits, rtol=1e-3, atol=1e-3 * float(given.std())):
        return "what its last layer gives are not the logits themselves"
    return None


def _goals(case: NaturalCase, rows: CappedRows, place: Sum) -> list[Goal]:
    """Goals of the sums up to this one, but the first; where there is one sum only, there is none.

    One inside the branch that writes the last sum comes after the sums before that.
    """
    chain = [*(each for each in case.sums if each.place < place.place), place]
    values = [rows.sums[rows.places.index(each.place)] for each in chain]
    pairs = list(zip(chain, values, strict=True))
    maps = [each.behind(own, cells_of).double() for each, own in pairs]
    pooled = [each.pooled(own).double() for each, own in pairs]
    return natural_goals(maps, pooled, rows.labels, case.forget)


def _goal_obstacle(goal: Goal, forget: Sequence[int]) -> str | None:
    for label, before, noise in zip(forget, goal.before, goal.noise, strict=True):
        if not float(before) > float(noise):
            return (
                f"class {label} is not separable beyond noise before the last layer "
                f"(s {float(before):.2f}, noise {float(noise):.2f}): there is no share to estimate"
            )
    return None


def _write_earlier(case: NaturalCase, place: Sum, rows: CappedRows) -> list[NaturalDepth]:
    """Write against the classes where the writers of the last sum read.

    Nothing is written where that is in cells and patches cannot be afforded: one term for each
    class cannot tell cells apart.
    """
    (*_, goal) = _goals(case, rows, place)
    patches = _patches(place, rows)
    if place.side > 1:
        if patches is None:
            return []
        # of so many features fewer rows show more: what is natural is a share of what they show
        values = rows.sums[rows.places.index(place.place)]
        now = separability_of(place, values, rows.labels, case.forget)
        goal = replace(goal, before=now, goal=goal.share * now)
    return [_write(case, place, rows, goal, patches)[0]]


def _patches(place: Sum, rows: CappedRows) -> Patches | None:
    """What the writers of a sum read together, where that can be afforded."""
    return patches_of(place, [rows.inputs[writer.operator.name] for writer in place.writers])


def _write(
    case: NaturalCase, place: Sum, rows: CappedRows, goal: Goal, patches: Patches | None
) -> tuple[NaturalDepth, Tensor]:
    """Write against the classes at one sum; also what is behind it afterwards, (n, C).

    Behind gates where there are patches, else by one term for each class.
    """
    values = rows.sums[rows.places.index(place.place)]
    writing: Writing | GatedWriting
    if patches is not None:
        writing = find_gated_writing(
            place, values, patches, rows.labels, case.forget, goal.goal, _places(case, goal)
        )
        fold_gated_writing(place.writers, writing)
    else:
        middle = (
            middle_inputs(writer.operator.layer, rows.inputs[writer.operator.name])
            for writer in place.writers
        )
        held = SumRows(values=values, inputs=tuple(middle), labels=rows.labels)
        writing = find_writing(place, held, case.forget, goal.goal)
        fold_writing(place.writers, writing)
    depth = NaturalDepth(
        layers=tuple(writer.operator.name for writer in place.writers),
        before=tuple(goal.before.tolist()),
        goal=tuple(goal.goal.tolist()),
        after=tuple(writing.after.tolist()),
        noise=tuple(goal.noise.tolist()),
        residual=goal.residual,
        changed=writing.rounds > 0,
    )
    return depth, place.pooled(writing.values).double()


def _places(case: NaturalCase, goal: Goal) -> tuple[Tensor, ...] | None:
    """Where the classes' rows are to lie around their means; None where they stay.

    They do where every class is as it naturally is, and in networks whose last sum one linear layer
    writes: moving them there brought nothing on the whole.
    """
    natural = bool((goal.share >= 1 - ENOUGH).all())
    return None if case.dense or natural else goal.places


def _move_dense(
    case: NaturalCase, rows: CappedRows, goal: Goal
) -> tuple[NaturalDepth, Tensor, float]:
    """Move the classes at the last linear layer, as far as the goal allows.

    Also what is behind it afterwards, (n, C), and how far the classes are learnt at its input: the
    mean of rho.
    """
    (writer,) = case.last.writers
    operator = writer.operator
    operator.ensure_biases()
    h = rows.inputs[operator.name].double()  # (n, D)
    weight = operator.weight()[..., 0].cpu().double()  # (O, D)
    (bias,) = operator.biases()
    assert bias is not None  # noqa: S101 - `ensure_biases` has just given it one
    before = bias.cpu().double()
    # z = factor * (W h + b) + rest, the rest being what a norm in between adds
    z = rows.sums[-1].double()
    rest = z[0] - writer.factor * (weight @ h[0] + before)  # (O,)

    def sums(now: Tensor, shift: Tensor) -> Tensor:
        return writer.factor * (h @ now.T + shift) + rest

    halves = alternate(rows.labels)
    shares = []
    for part in (halves, ~halves):
        move = move_layer(h[part], rows.labels[part], weight, before, case.forget)

        def excess(share: float, move: DenseMove = move, part: Tensor = part) -> float:
            moved = case.last.pooled(sums(*move.partly(weight, before, share)))
            return _excess(moved[~part], rows.labels[~part], case.forget, goal)

        shares.append(_share(excess))
    whole = move_layer(h, rows.labels, weight, before, case.forget)
    now, shift = whole.partly(weight, before, sum(shares) / 2)
    operator.weight()[..., 0].copy_(now)
    bias.copy_(shift)
    moved = sums(now, shift)
    patches = _patches(case.last, rows)
    if patches is not None:  # where the whole move stops short; else there is nothing left to do
        writing = find_gated_writing(
            case.last, moved.to(patches.joint), patches, rows.labels, case.forget, goal.goal
        )
        fold_gated_writing(case.last.writers, writing)
        moved = writing.values
    features = case.last.pooled(moved).double()
    after = RowGeometry.from_rows(features, rows.labels, case.forget).separability
    depth = NaturalDepth(
        layers=(operator.name,),
        before=tuple(goal.before.tolist()),
        goal=tuple(goal.goal.tolist()),
        after=tuple(after.tolist()),
        noise=tuple(goal.noise.tolist()),
        residual=goal.residual,
        changed=True,
    )
    return depth, features, float(whole.learnt.mean())


def _excess(features: Tensor, labels: Tensor, forget: Sequence[int], goal: Goal) -> float:
    """Mean over classes of the log of how far each is above its goal, in s or d', the larger."""
    s = RowGeometry.from_rows(features, labels, forget).separability
    apart = discriminability(features, labels, forget)
    tiny = 1e-6
    pairs = ((s, goal.goal), (apart, goal.apart))
    ratios = [(now / wanted.clamp_min(tiny)).log() for now, wanted in pairs]
    return float(torch.maximum(*ratios).mean())


def _share(excess: Callable[[float], float]) -> float:
    """The share of a move at which a class is at its goal; 1 where it stays above."""
    if excess(1.0) >= 0:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return (low + high) / 2


def head_cut(learnt: float) -> float:
    """Share of the residual that the head's rows lose, by the mean of rho at the layer before."""
    return HEAD_CUT * learnt


def _fit_head(
    case: NaturalCase, features: Tensor, labels: Tensor, logits: Tensor, *, cut: float
) -> None:
    """Refit the head to retain rows' original logits; forget rows become the mean of the others'.

    Args:
        features: What the head reads now, (n, D), float64.
        labels: (n,).
        logits: Of the original, (n, C).
        cut: Share of the classes' residuals that the rows to keep lose after the fit.
    """
    operator = case.head.operator
    operator.ensure_biases()
    gone = torch.isin(labels, torch.tensor(list(case.forget)))
    weight = operator.weight()[..., 0].cpu().double()  # (C, D)
    (bias,) = operator.biases()
    assert bias is not None  # noqa: S101 - `ensure_biases` has just given it one
    shift = bias.cpu().double()
    sums = RegressionSums()
    sums.add(features[~gone], logits[~gone].double() - (features[~gone] @ weight.T + shift))
    more, lift = sums.regression()
    weight, shift = weight + more, shift + lift
    kept = [c for c in range(len(weight)) if c not in (*case.forget, *case.retired)]
    mean_weight, mean_shift = weight[kept].mean(0), shift[kept].mean(0)
    if cut:
        geometry = RowGeometry.from_rows(features, labels, case.forget)
        subspace = whitened_subspace(geometry.residuals, geometry.metric)
        removed = cut * (weight @ subspace.basis) @ subspace.dual.T  # W T
        weight, shift = weight - removed, shift + removed @ geometry.reference
    own = operator.weight()[..., 0]
    own[kept], bias[kept] = weight[kept].to(own), shift[kept].to(bias)
    for label in case.forget:
        own[label], bias[label] = mean_weight.to(own), mean_shift.to(bias)
