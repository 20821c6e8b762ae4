"""A rehearsal: seven samples through the model, twice, to see how it uses its operators.

What cannot be told from the layers alone shows here, before the pass over the data and before any
weight changes: which operators are called, in which order and from which inputs, where their
inputs keep the samples, whether a weight is used in other ways too, and which entries of a bias the
model really adds (an edit needs them).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from damp.errors import Unsupported
from damp.hooks import Watch, version
from damp.layouts import SAMPLES, Layout, layout_of, small_batch
from damp.operators import Operator, Skipped, add_bias
from damp.outputs import logits_of
from damp.running import evaluating


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """How a model uses one operator.

    Attributes:
        operator: Which.
        layout: Where its inputs keep the samples.
        uses: Calls in one forward pass.
        leader: Name of the first operator that reads the very same inputs, its own if none does:
            one set of statistics serves all who share them.
        heard: Outputs to which the model adds the operator's own bias, (O,), bool.
    """

    operator: Operator
    layout: Layout
    uses: int
    leader: str
    heard: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rehearsal:
    """How a model uses its operators.

    Attributes:
        readings: Usable operators by name, in the order of their first calls.
        skipped: Operators that are used in a way that forbids an edit, and why.
        called: All operators that were called, in the order of their first calls.
        classes: Logits per sample, C.
    """

    readings: dict[str, Reading]
    skipped: tuple[Skipped, ...]
    called: tuple[Operator, ...]
    classes: int

    @property
    def leaders(self) -> list[str]:
        """One operator per set of inputs, in the order of the calls."""
        return [name for name, reading in self.readings.items() if reading.leader == name]


def rehearse(model: nn.Module, operators: Sequence[Operator], inputs: Tensor) -> Rehearsal:
    """Run the model on a few samples and see.

    Args:
        model: It runs in evaluation mode and is left as it was.
        operators: Those to look at.
        inputs: A batch, (B, ...), at least one sample.
    Raises:
        Unsupported: the model cannot be called with the inputs alone, fails on them, or gives no
            logits.
    """
    _refuse_other_arguments(model)
    first, second = _Notes(), _Notes()
    with evaluating(model), torch.no_grad(), _audible(operators):
        for notes, rows in zip((first, second), small_batch(inputs), strict=True):
            with Watch(operators, notes.note, notes.stray):
                output = _call(model, rows)
    readings: dict[str, Reading] = {}
    skipped: list[Skipped] = []
    for operator in [*first.order.values(), *_unused(operators, first)]:
        found = _reading(operator, first, second, readings)
        if isinstance(found, Reading):
            readings[operator.name] = found
        else:
            skipped.append(Skipped(name=operator.name, kind=operator.kind, reason=found))
    classes = logits_of(output, SAMPLES).shape[1]
    return Rehearsal(
        readings=readings,
        skipped=tuple(skipped),
        called=tuple(first.order.values()),
        classes=classes,
    )


@contextmanager
def listening(
    readings: Iterable[Reading], rows: int, keep: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """While this is open, each call of an operator gives its pooled inputs to `keep`.

    Args:
        readings: Operators to listen to.
        rows: Samples in the batches that run meanwhile, B.
        keep: Called with the operator's name and its pooled inputs, (B, D).
    Raises:
        Unsupported: an input does not fit that many samples.
    """
    known = {reading.operator.name: reading for reading in readings}

    def note(operator: Operator, inputs: Tensor, _: Tensor | None) -> None:
        reading = known[operator.name]
        pooled = reading.layout.pooled(inputs.detach(), operator.part.axis, rows)
        if pooled is None:
            raise Unsupported(
                f"The input of {operator.name!r} has shape {tuple(inputs.shape)}, which does not "
                f"fit {rows} samples: give images of one size."
            )
        keep(operator.name, pooled)

    with Watch([reading.operator for reading in known.values()], note):
        yield


def _unused(operators: Sequence[Operator], notes: _Notes) -> list[Operator]:
    return [operator for operator in operators if operator.name not in notes.order]


def _refuse_other_arguments(model: nn.Module) -> None:
    try:
        inspect.signature(model.forward).bind(object())
    except TypeError as error:
        raise Unsupported(
            f"The model cannot be called as model(inputs): {error}. Wrap it in a module whose "
            "forward takes the inputs alone and gives logits."
        ) from error


def _call(model: nn.Module, rows: Tensor) -> Any:
    try:
        return model(rows)
    except Exception as error:
        raise Unsupported(
            f"The model fails on inputs of shape {tuple(rows.shape)}: {error}. Give batches that "
            "it can be called with."
        ) from error


@contextmanager
def _audible(operators: Sequence[Operator]) -> Iterator[None]:
    """Biases that cannot be taken for any others, zeros and missing ones included; then as before.

    They differ from the model's own by a millionth, which no layout depends on.
    """
    owners = {id(owner): (owner, op.part.bias) for op in operators for owner in op.owners}
    places = list(owners.values())
    originals = [owner._parameters.get(bias) for owner, bias in places]
    try:
        for (owner, bias), original in zip(places, originals, strict=True):
            if original is None:
                add_bias(owner)
            value = owner.get_parameter(bias).detach()
            steps = torch.linspace(1, 2, len(value), dtype=value.dtype, device=value.device)
            owner._parameters[bias] = nn.Parameter(value + 1e-6 * steps, requires_grad=False)
        yield
    finally:
        for (owner, bias), original in zip(places, originals, strict=True):
            owner._parameters[bias] = original


@dataclass(slots=True, kw_only=True, eq=False)
class _Use:
    """One use of a weight.

    Attributes:
        inputs: The tensor that went in; it is kept, so that no other takes its identity.
        content: What was in it then.
        version: How often it had been changed in place.
        heard: Outputs that got the operator's own bias, (O,).
    """

    inputs: Tensor
    content: Tensor
    version: int | None
    heard: Tensor

    def same_inputs(self, other: _Use) -> bool:
        """Whether two uses read one tensor with one content."""
        known = self.version is not None and self.version == other.version
        return known and self.inputs is other.inputs


@dataclass(slots=True, kw_only=True, eq=False)
class _Notes:
    """The uses seen in one run."""

    order: dict[str, Operator] = field(default_factory=dict)
    uses: dict[str, list[_Use]] = field(default_factory=dict)
    strays: dict[str, str] = field(default_factory=dict)

    def note(self, operator: Operator, inputs: Tensor, bias: Tensor | None) -> None:
        self.order.setdefault(operator.name, operator)
        use = _Use(
            inputs=inputs,
            content=inputs.detach().clone(),
            version=version(inputs),
            heard=_heard(operator, bias),
        )
        self.uses.setdefault(operator.name, []).append(use)

    def stray(self, operator: Operator, function: str) -> None:
        self.strays.setdefault(operator.name, function)


def _heard(operator: Operator, bias: Tensor | None) -> Tensor:
    """Outputs whose entry in the bias that was used is one of the operator's own, (O,)."""
    if bias is None:
        return torch.zeros(operator.outputs, dtype=torch.bool)
    start = operator.part.bias_start
    used = bias.detach()[start : start + operator.outputs]
    own = [used == mine for mine in operator.biases() if mine is not None]
    return torch.stack(own).any(0).cpu()


def _reading(
    operator: Operator, first: _Notes, second: _Notes, known: dict[str, Reading]
) -> Reading | str:
    """How an operator is used, or why that forbids an edit."""
    name = operator.name
    if name in first.strays:
        return f"its weight is used by `{first.strays[name]}` too, which would feel the edit"
    before, after = first.uses.get(name, []), second.uses.get(name, [])
    if not before:
        return (
            "it was never called in a forward pass in evaluation mode (an auxiliary head?): it "
            "keeps what it knows, so drop it before the model leaves the house"
        )
    layout = _layout(operator, before, after)
    if isinstance(layout, str):
        return layout
    return Reading(
        operator=operator,
        layout=layout,
        uses=len(before),
        leader=_leader(operator, before, layout, first, known),
        heard=torch.stack([use.heard for use in before]).all(0),
    )


def _layout(operator: Operator, before: Sequence[_Use], after: Sequence[_Use]) -> Layout | str:
    """The one layout of all uses."""
    if len(before) != len(after):
        return "how often it is called depends on the images"
    found = {
        layout_of(one.content, other.content, operator.part.axis, SAMPLES // 2)
        for one, other in zip(before, after, strict=True)
    }
    reasons = sorted(layout for layout in found if isinstance(layout, str))
    if reasons:
        return reasons[0]
    return found.pop() if len(found) == 1 else "its calls keep the samples on different axes"


def _leader(
    operator: Operator,
    uses: Sequence[_Use],
    layout: Layout,
    notes: _Notes,
    known: dict[str, Reading],
) -> str:
    """The first operator that reads the same inputs in the same way."""
    for name, reading in known.items():
        alike = (
            reading.leader == name
            and reading.layout == layout
            and reading.uses == len(uses)
            and reading.operator.part.axis == operator.part.axis
            and reading.operator.groups == operator.groups
        )
        others = notes.uses[name] if alike else []
        if alike and all(u.same_inputs(o) for u, o in zip(uses, others, strict=True)):
            return name
    return operator.name
