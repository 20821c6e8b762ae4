"""Add a low-rank term to the layer before the head, against what is left of the classes there.

Cutting what layers read leaves what they write: a rectifier behind a cut layer lets part of a class
through in another form, and a skip connection carries it past every reader. One of the last layers
that write the head's input is therefore given one more term, of rank f: it reads in its own input
how much of each class there is, and writes against it, so that the head's input comes to lie where
the nearest mixture of retain prototypes is. The response of what lies between (a norm, a rectifier,
pooling) is measured, not assumed: all features are moved a little, and each one's shift is read
off the head's input. No gradient is taken.

Source: docs/method.md, `rewritten`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from damp.collection import Collection, collect, collect_one
from damp.errors import raise_together
from damp.grouping import for_request
from damp.measuring import skip_operator
from damp.operators import Operator, Skipped
from damp.plans import Case
from damp.residuals import whitened_subspace
from damp.running import Batches
from damp.statistics import Statistics
from damp.tracing import OperatorUse

ROUNDS = 6
"""Corrections at most; each takes two passes."""

STEP = 0.5
"""Share of what is left that one correction takes away: gates open and close on the way."""

FLOOR = 0.5
"""Least response that a feature is taken to have, as a share of the median: behind a closed gate it
hardly responds at all, and would be pushed without bound."""

ENOUGH = 0.05
"""Share of the separability at which there is nothing more to correct."""

KEPT = 0.9
"""Share of the retain prototypes' distances that must be left, squared, in the same metric."""


def apply_low_rank_update(
    model: nn.Module,
    operators: Sequence[Operator],
    input_groups: Mapping[str, str],
    separability: Mapping[str, float],
    batches: Batches,
    forget: Sequence[int],
    retired: Sequence[int],
) -> str | Skipped:
    """Change a layer that writes the head's input, in place.

    Args:
        model: After its cut; its batch norms are as they will stay.
        operators: In the order in which they are called, the head last.
        input_groups: Name of the first operator that reads the same input, by name.
        separability: Of the classes at the inputs of the operators that were cut, by name.
        batches: Pairs of inputs and labels.
        forget: Classes to forget.
        retired: Classes whose samples are passed over.
    Returns:
        Name of the layer; or one that stays as it is, and why.
    """
    head = operators[-1]
    writers = [op for op in operators[:-1] if op.outputs == head.features]
    if not writers:
        width = head.features
        return skip_operator(
            head, f"no low-rank update before it: no layer has {width} outputs, its inputs"
        )
    layer = writers[-1]
    if input_groups[layer.name] != layer.name:
        # a skip, called after its branch: whichever separates the classes better
        layer = max(writers[-2:], key=lambda writer: separability.get(writer.name, 0.0))
    collection = collect(model, [layer, head], batches, for_request(forget), ignore=retired)
    raise_together(collection.problems)
    reason = _obstacle(collection, layer, head, forget)
    if reason is not None:
        return skip_operator(layer, f"it gets no low-rank update: {reason}")
    statistics, use = collection.measurement.statistics, collection.uses[head.name]
    head_input = _HeadInput(model, batches, tuple(retired), use, statistics[head.name])
    term = _Term.from_statistics(layer, statistics[layer.name], forget)
    writes = _search(term, head_input, forget)
    term.put(writes)
    if not bool(writes.any()):
        return skip_operator(
            layer, "it gets no low-rank update: none that was tried made the classes less separable"
        )
    return layer.name


def _obstacle(
    collection: Collection, layer: Operator, head: Operator, forget: Sequence[int]
) -> str | None:
    """Why a layer cannot be updated, None where it can."""
    uses, measurement = collection.uses, collection.measurement
    if head.outputs != measurement.classes:
        return "the last layer that is cut does not give the logits"
    if layer.name not in uses or head.name not in uses:
        return "the model does not use its weight as it is"
    if uses[head.name].input_group != head.name:
        return "the head reads the very same input"
    if layer.groups > 1 or layer.sharing or layer.part.count is not None:
        return "its weight is in groups, shared, or part of a larger one"
    if uses[layer.name].calls > 1 or uses[head.name].calls > 1:
        return "it or the head is used more than once"
    if not bool(uses[layer.name].bias_applied.all()):
        return "its bias is not applied unmodified in forward(), and the update has to change it"
    if not all(sums.varies(sums.others(forget)) for sums in measurement.statistics.values()):
        return "the samples to keep are all alike at its input or at the head's"
    return None


def _search(term: _Term, head_input: _HeadInput, forget: Sequence[int]) -> Tensor:
    """What to write for each class, (f, O): the least separable of all that is tried, 0 as well.

    A correction that blurs the classes to keep is taken back, and a smaller one tried: drowning
    everything in noise would make the forgotten classes inseparable, too.
    """
    best = first = _Separation.from_statistics(head_input.before, forget)
    writes = torch.zeros_like(first.residuals)  # (f, O)
    size, step = float(first.residuals.abs().mean()) / 2, STEP
    for _ in range(ROUNDS):
        # each in its own direction: a layer norm takes back what moves all features alike
        nudge = torch.where(best.residuals < 0, -size, size)  # (f, O)
        term.put(writes + nudge)
        # shift of each feature of the head's input per unit written, a finite difference, (f, O)
        response = (best.targets - head_input.statistics().prototypes(forget)) / nudge
        usual = _usual(response)  # (f, 1)
        if not bool((usual > 0).all()):
            break
        # a damped Newton step towards d_f = 0, one feature at a time
        candidate = writes + step * best.residuals / torch.maximum(response, FLOOR * usual)
        term.put(candidate)
        now = _Separation.from_statistics(head_input.statistics(), forget)
        if now.separability < best.separability and now.kept > KEPT * first.kept:
            writes, best = candidate, now
        else:
            step /= 2
        if best.separability < ENOUGH * first.separability:
            break
    return writes


def _usual(response: Tensor) -> Tensor:
    """The median, (f, 1), of those features, (f, O), that respond at all; 0 where none does.

    >>> _usual(torch.tensor([[0.0, 0.0, 0.0, 0.5, 1.0]]))
    tensor([[0.5000]])
    """
    moving = response > 1e-3 * response.amax(dim=1, keepdim=True).clamp_min(0)
    # dead features would drag the median to 0, though they say nothing of the others
    return response.where(moving, torch.nan).nanmedian(dim=1, keepdim=True).values.nan_to_num(0.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Separation:
    """How far the classes stand apart at the head's input.

    Attributes:
        targets, residuals: Forget prototypes and what mixtures do not explain of them, (f, O).
        separability: s^2 of the forgotten classes, a mean over them.
        kept: Squared distance of the retain prototypes from their mean, a mean over them, in the
            same metric.
    """

    targets: Tensor
    residuals: Tensor
    separability: float
    kept: float

    @classmethod
    def from_statistics(cls, statistics: Statistics, forget: Sequence[int]) -> _Separation:
        """From statistics of the head's input."""
        geometry = Case.from_statistics(statistics, forget).geometry()
        # squared Mahalanobis lengths, (f,) and (r,)
        squared, others = (
            geometry.metric.whiten(rows).square().sum(1)
            for rows in (geometry.residuals, geometry.retain - geometry.reference)
        )
        return cls(
            geometry.targets, geometry.residuals, float(squared.mean()), float(others.mean())
        )


@dataclass(frozen=True, slots=True, eq=False)
class _HeadInput:
    """Measures the head's input, by one pass over the data each time."""

    model: nn.Module
    batches: Batches
    retired: tuple[int, ...]
    use: OperatorUse
    before: Statistics

    def statistics(self) -> Statistics:
        """Of the head's input as it is now."""
        collection = collect_one(
            self.model, self.use, self.batches, self.before, ignore=self.retired
        )
        raise_together(collection.problems)
        return collection.measurement.statistics[self.use.operator.name]


@dataclass(frozen=True, slots=True, eq=False)
class _Term:
    """The term that is added to a layer: it reads classes in its input and writes against them.

    Attributes:
        layer: Which.
        weight, bias: As they were, (O, d, K) and (O,), float64.
        reads: How much of each class an input x holds is (x - reference) reads, (d, f): 1 for the
            class's own prototype, 0 for those of the others.
        reference: Mean of the retain prototypes, (d,).
    """

    layer: Operator
    weight: Tensor
    bias: Tensor
    reads: Tensor
    reference: Tensor

    @classmethod
    def from_statistics(
        cls, layer: Operator, statistics: Statistics, forget: Sequence[int]
    ) -> _Term:
        """For a layer and the statistics of its inputs; it gets a bias where it had none."""
        geometry = Case.from_statistics(statistics, forget).geometry()
        dual = whitened_subspace(geometry.residuals, geometry.metric).dual  # (d, k)
        layer.ensure_biases()
        return cls(
            layer=layer,
            weight=layer.weight().double().clone(),
            bias=_bias(layer).double().clone(),
            # (d, k) @ pinv((f, d) @ (d, k)): the identity on the forget prototypes, (d, f)
            reads=dual @ torch.linalg.pinv((geometry.targets - geometry.reference) @ dual),
            reference=geometry.reference,
        )

    def put(self, writes: Tensor) -> None:
        """Have it write -writes (f, O) for what it reads; at the middle of a kernel."""
        change = writes.T @ self.reads.T  # (O, f) @ (f, d)
        weight = self.weight.clone()
        # pooled inputs have no position: one kernel position carries the term for all
        weight[:, :, weight.shape[-1] // 2] -= change
        self.layer.weight().copy_(weight)
        # the term is 0 at the mean retain prototype, which is answered as before
        _bias(self.layer).copy_(self.bias + change @ self.reference)


def _bias(layer: Operator) -> Tensor:
    return layer.layer.get_parameter(layer.part.bias).detach()
