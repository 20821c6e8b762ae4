"""Trace seven samples through the model, twice, to see how it uses its operators.

What the layers alone do not say shows here, before the pass over the data and before any
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
class OperatorUse:
    """How a model uses one operator.

    Attributes:
        operator: Which.
        layout: Where its inputs keep the samples.
        calls: Calls in one forward pass.
        input_group: Name of the first operator that reads the very same inputs, its own if none
            does: one set of statistics serves all who share them.
        bias_applied: Outputs to which the model adds the operator's own bias, (O,), bool.
    """

    operator: Operator
    layout: Layout
    calls: int
    input_group: str
    bias_applied: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """How a model uses its operators.

    Attributes:
        uses: Usable operators by name, in the order of their first calls.
        skipped: Operators that are used in a way that forbids an edit, and why.
        called: All operators that were called, in the order of their first calls.
        classes: Logits per sample, C.
    """

    uses: dict[str, OperatorUse]
    skipped: tuple[Skipped, ...]
    called: tuple[Operator, ...]
    classes: int

    @property
    def input_groups(self) -> list[str]:
        """One operator per set of inputs, in the order of the calls."""
        return [name for name, use in self.uses.items() if use.input_group == name]


def trace(model: nn.Module, operators: Sequence[Operator], inputs: Tensor) -> Trace:
    """Run the model on a few samples and record each use of each operator's weight.

    Args:
        model: It runs in evaluation mode and is left as it was.
        operators: Those to look at.
        inputs: A batch, (B, ...), at least one sample.
    Raises:
        Unsupported: the model cannot be called with the inputs alone, fails on them, or gives no
            logits.
    """
    _require_single_argument(model)
    first, second = _CallLog(), _CallLog()
    with evaluating(model), torch.no_grad(), _distinct_biases(operators):
        for calls, rows in zip((first, second), small_batch(inputs), strict=True):
            with Watch(operators, calls.record, calls.record_other):
                output = _call(model, rows)
    uses: dict[str, OperatorUse] = {}
    skipped: list[Skipped] = []
    # forward order: of operators with the same inputs the first one names the group
    for operator in [*first.order.values(), *_unused(operators, first)]:
        use = _operator_use(operator, first, second, uses)
        if isinstance(use, OperatorUse):
            uses[operator.name] = use
        else:
            skipped.append(Skipped(name=operator.name, kind=operator.kind, reason=use))
    classes = logits_of(output, SAMPLES).shape[1]
    return Trace(
        uses=uses,
        skipped=tuple(skipped),
        called=tuple(first.order.values()),
        classes=classes,
    )


@contextmanager
def capture_inputs(
    uses: Iterable[OperatorUse], rows: int, keep: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """While this is open, each call of an operator gives its pooled inputs to `keep`.

    Args:
        uses: Operators whose inputs are wanted.
        rows: Samples in the batches that run meanwhile, B.
        keep: Called with the operator's name and its pooled inputs, (B, D).
    Raises:
        Unsupported: an input does not fit that many samples.
    """
    by_name = {use.operator.name: use for use in uses}

    def record(operator: Operator, inputs: Tensor, _: Tensor | None) -> None:
        layout = by_name[operator.name].layout
        pooled = layout.pooled(inputs.detach(), operator.part.axis, rows)
        if pooled is None:
            raise Unsupported(
                f"The input of {operator.name!r} has shape {tuple(inputs.shape)}, which does not "
                f"fit {rows} samples: give images of one size."
            )
        keep(operator.name, pooled)

    with Watch([use.operator for use in by_name.values()], record):
        yield


def _unused(operators: Sequence[Operator], log: _CallLog) -> list[Operator]:
    return [operator for operator in operators if operator.name not in log.order]


def _require_single_argument(model: nn.Module) -> None:
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
def _distinct_biases(operators: Sequence[Operator]) -> Iterator[None]:
    """Biases that cannot be taken for any others, missing ones included; afterwards as before."""
    owners = {id(owner): (owner, op.part.bias) for op in operators for owner in op.owners}
    places = list(owners.values())
    originals = [owner._parameters.get(bias) for owner, bias in places]
    try:
        for (owner, bias), original in zip(places, originals, strict=True):
            if original is None:
                add_bias(owner)
            value = owner.get_parameter(bias).detach()
            # no two entries alike, so that each shows which one was added; a millionth beside the
            # model's own values changes no layout
            steps = torch.linspace(1, 2, len(value), dtype=value.dtype, device=value.device)
            owner._parameters[bias] = nn.Parameter(value + 1e-6 * steps, requires_grad=False)
        yield
    finally:
        for (owner, bias), original in zip(places, originals, strict=True):
            owner._parameters[bias] = original


@dataclass(slots=True, kw_only=True, eq=False)
class _Call:
    """One call of an operator.

    Attributes:
        inputs: The tensor that went in; it is kept, so that no other takes its identity.
        content: What was in it then.
        version: How often it had been changed in place.
        bias_applied: Outputs that got the operator's own bias, (O,).
    """

    inputs: Tensor
    content: Tensor
    version: int | None
    bias_applied: Tensor

    def same_inputs(self, other: _Call) -> bool:
        """Whether two uses read one tensor with one content."""
        # identity alone is not enough: a tensor may be changed in place between two calls
        unchanged = self.version is not None and self.version == other.version
        return unchanged and self.inputs is other.inputs


@dataclass(slots=True, kw_only=True, eq=False)
class _CallLog:
    """The calls of one forward pass, by operator, and other uses of its weights."""

    order: dict[str, Operator] = field(default_factory=dict)
    calls: dict[str, list[_Call]] = field(default_factory=dict)
    other_uses: dict[str, str] = field(default_factory=dict)

    def record(self, operator: Operator, inputs: Tensor, bias: Tensor | None) -> None:
        self.order.setdefault(operator.name, operator)
        call = _Call(
            inputs=inputs,
            content=inputs.detach().clone(),
            version=version(inputs),
            bias_applied=_bias_applied(operator, bias),
        )
        self.calls.setdefault(operator.name, []).append(call)

    def record_other(self, operator: Operator, function: str) -> None:
        self.other_uses.setdefault(operator.name, function)


def _bias_applied(operator: Operator, bias: Tensor | None) -> Tensor:
    """Outputs whose entry in the bias that was used is one of the operator's own, (O,)."""
    if bias is None:
        return torch.zeros(operator.outputs, dtype=torch.bool)
    start = operator.part.bias_start
    used = bias.detach()[start : start + operator.outputs]
    # a shared weight has several owners, each with its own bias: any of them will do
    own = [used == mine for mine in operator.biases() if mine is not None]  # each (O,)
    return torch.stack(own).any(0).cpu()


def _operator_use(
    operator: Operator, first: _CallLog, second: _CallLog, earlier: dict[str, OperatorUse]
) -> OperatorUse | str:
    """How an operator is used, or why that forbids an edit."""
    name = operator.name
    if name in first.other_uses:
        return f"its weight is used by `{first.other_uses[name]}` too, which would feel the edit"
    before, after = first.calls.get(name, []), second.calls.get(name, [])
    if not before:
        return (
            "it was never called in a forward pass in evaluation mode (an auxiliary head?): it "
            "keeps what it learnt of the class, so remove it before the model is released"
        )
    # only the sample in the middle differs between the two runs, which shows where samples lie
    layout = _layout(operator, before, after)
    if isinstance(layout, str):
        return layout
    return OperatorUse(
        operator=operator,
        layout=layout,
        calls=len(before),
        input_group=_input_group(operator, before, layout, first, earlier),
        bias_applied=torch.stack([call.bias_applied for call in before]).all(0),
    )


def _layout(operator: Operator, before: Sequence[_Call], after: Sequence[_Call]) -> Layout | str:
    """The one layout of all calls."""
    if len(before) != len(after):
        return "how often it is called depends on the images"
    layouts = {
        layout_of(one.content, other.content, operator.part.axis, SAMPLES // 2)
        for one, other in zip(before, after, strict=True)
    }
    reasons = sorted(layout for layout in layouts if isinstance(layout, str))
    if reasons:
        return reasons[0]
    return layouts.pop() if len(layouts) == 1 else "its calls keep the samples on different axes"


def _input_group(
    operator: Operator,
    calls: Sequence[_Call],
    layout: Layout,
    log: _CallLog,
    earlier: dict[str, OperatorUse],
) -> str:
    """The first operator that reads the same inputs in the same way."""
    for name, use in earlier.items():
        alike = (
            use.input_group == name
            and use.layout == layout
            and use.calls == len(calls)
            and use.operator.part.axis == operator.part.axis
            and use.operator.groups == operator.groups
        )
        others = log.calls[name] if alike else []
        if alike and all(c.same_inputs(o) for c, o in zip(calls, others, strict=True)):
            return name
    return operator.name
