"""Rewrite the layer before the head, so that what it writes no longer tells the forgotten classes.

Cutting what layers read leaves what they write: a rectifier behind a cut layer lets part of a class
through in another form, and a skip connection carries it past every reader. One of the last layers
that write the head's input is therefore given one more term, of rank f: it reads in its own input
how much of each class there is, and writes against it, so that the head's input comes to lie where
the nearest mixture of retain prototypes is. What lies between (a norm, a rectifier, pooling) is
asked, not assumed: all features are moved a little, and it is measured how far each one follows.
No gradient is taken.

Source: docs/method.md, `rewritten`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from damp.collection import Survey, again, survey
from damp.errors import raise_together
from damp.grouping import for_request
from damp.measuring import spare
from damp.operators import Operator, Skipped
from damp.presets import Case
from damp.residuals import whitened_subspace
from damp.running import Batches
from damp.statistics import Statistics
from damp.tracing import Reading

ROUNDS = 6
"""Corrections at most; each takes two passes."""

STEP = 0.5
"""Share of what is left that one correction takes away: gates open and close on the way."""

FLOOR = 0.5
"""A feature is taken to follow at least so well, as a share of the median: behind a closed gate it
hardly follows at all, and would be pushed without bound."""

ENOUGH = 0.05
"""Share of the separability at which there is nothing more to correct."""

KEPT = 0.9
"""Share of the retain prototypes' distances that must be left, squared, in the same metric."""


def rewrite(
    model: nn.Module,
    operators: Sequence[Operator],
    leaders: Mapping[str, str],
    separability: Mapping[str, float],
    batches: Batches,
    forget: Sequence[int],
    retired: Sequence[int],
) -> str | Skipped:
    """Change a layer that writes the head's input, in place.

    Args:
        model: After its cut; its batch norms are as they will stay.
        operators: In the order in which they are called, the head last.
        leaders: Name of the first operator that reads the same input, by name.
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
        return spare(
            head, f"nothing before it is rewritten: no layer has {width} outputs, its inputs"
        )
    layer = writers[-1]
    if leaders[layer.name] != layer.name:
        # a skip, called after its branch: whichever sees the classes better
        layer = max(writers[-2:], key=lambda writer: separability.get(writer.name, 0.0))
    found = survey(model, [layer, head], batches, for_request(forget), ignore=retired)
    raise_together(found.problems)
    reason = _obstacle(found, layer, head, forget)
    if reason is not None:
        return spare(layer, f"it is not rewritten: {reason}")
    seen, reads = found.measurement.statistics, found.readings[head.name]
    sight = _Sight(model, batches, tuple(retired), reads, seen[head.name])
    term = _Term.of(layer, seen[layer.name], forget)
    writes = _search(term, sight, forget)
    term.put(writes)
    if not bool(writes.any()):
        return spare(
            layer, "it is not rewritten: nothing that was tried made the classes less seen"
        )
    return layer.name


def _obstacle(found: Survey, layer: Operator, head: Operator, forget: Sequence[int]) -> str | None:
    """Why a layer cannot be rewritten, None where it can."""
    readings, statistics = found.readings, found.measurement.statistics
    if head.outputs != found.measurement.classes:
        return "the last layer that is cut does not give the logits"
    if layer.name not in readings or head.name not in readings:
        return "the model does not use it as it stands"
    if readings[head.name].leader != head.name:
        return "the head reads the very same input"
    if layer.groups > 1 or layer.sharing or layer.part.count is not None:
        return "its weight is in groups, shared, or part of a larger one"
    if readings[layer.name].uses > 1 or readings[head.name].uses > 1:
        return "it or the head is used more than once"
    if not bool(readings[layer.name].heard.all()):
        return "the model does not add its bias as it stands"
    if not all(seen.varies(seen.others(forget)) for seen in statistics.values()):
        return "the samples to keep are all alike at its input or at the head's"
    return None


def _search(term: _Term, sight: _Sight, forget: Sequence[int]) -> Tensor:
    """What to write for each class, (f, O): the least separable of all that is tried, 0 as well.

    A correction that blurs the classes to keep is taken back, and a smaller one tried: drowning
    everything in noise would make the forgotten classes inseparable, too.
    """
    best = first = _Look.at(sight.before, forget)
    writes = torch.zeros_like(first.residuals)
    size, step = float(first.residuals.abs().mean()) / 2, STEP
    for _ in range(ROUNDS):
        # each in its own direction: a layer norm takes back what moves all features alike
        nudge = torch.where(best.residuals < 0, -size, size)
        term.put(writes + nudge)
        follows = (best.targets - sight.statistics().prototypes(forget)) / nudge
        usual = _usual(follows)
        if not bool((usual > 0).all()):
            break
        tried = writes + step * best.residuals / torch.maximum(follows, FLOOR * usual)
        term.put(tried)
        now = _Look.at(sight.statistics(), forget)
        if now.separability < best.separability and now.kept > KEPT * first.kept:
            writes, best = tried, now
        else:
            step /= 2
        if best.separability < ENOUGH * first.separability:
            break
    return writes


def _usual(follows: Tensor) -> Tensor:
    """The median, (f, 1), of those features, (f, O), that follow at all; 0 where none does.

    >>> _usual(torch.tensor([[0.0, 0.0, 0.0, 0.5, 1.0]]))
    tensor([[0.5000]])
    """
    moving = follows > 1e-3 * follows.amax(dim=1, keepdim=True).clamp_min(0)
    return follows.where(moving, torch.nan).nanmedian(dim=1, keepdim=True).values.nan_to_num(0.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """The head's input as it is.

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
    def at(cls, statistics: Statistics, forget: Sequence[int]) -> _Look:
        """What statistics of the head's input say."""
        found = Case.of(statistics, forget).standing()
        squared, others = (
            found.metric.whiten(rows).square().sum(1)
            for rows in (found.residuals, found.retain - found.reference)
        )
        return cls(found.targets, found.residuals, float(squared.mean()), float(others.mean()))


@dataclass(frozen=True, slots=True, eq=False)
class _Sight:
    """Sees the head's input, by one pass over the data each time."""

    model: nn.Module
    batches: Batches
    retired: tuple[int, ...]
    use: Reading
    before: Statistics

    def statistics(self) -> Statistics:
        """Of the head's input as it is now."""
        found = again(self.model, self.use, self.batches, self.before, ignore=self.retired)
        raise_together(found.problems)
        return found.measurement.statistics[self.use.operator.name]


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
    def of(cls, layer: Operator, statistics: Statistics, forget: Sequence[int]) -> _Term:
        """For a layer and the statistics of its inputs; it is given a bias where it had none."""
        found = Case.of(statistics, forget).standing()
        dual = whitened_subspace(found.residuals, found.metric).dual
        layer.give_biases()
        return cls(
            layer=layer,
            weight=layer.weight().double().clone(),
            bias=_bias(layer).double().clone(),
            reads=dual @ torch.linalg.pinv((found.targets - found.reference) @ dual),
            reference=found.reference,
        )

    def put(self, writes: Tensor) -> None:
        """Have it write -writes (f, O) for what it reads; at the middle of a kernel."""
        change = writes.T @ self.reads.T
        weight = self.weight.clone()
        weight[:, :, weight.shape[-1] // 2] -= change
        self.layer.weight().copy_(weight)
        _bias(self.layer).copy_(self.bias + change @ self.reference)


def _bias(layer: Operator) -> Tensor:
    return layer.layer.get_parameter(layer.part.bias).detach()
