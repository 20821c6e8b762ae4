"""What a model says about the audit rows, read off once and shared by all audits."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from audits import feature_map, finetuning
from audits.errors import BadEvidence
from audits.images import Images, at_once
from audits.observation import PENULTIMATE, Head, Observation, Readout, from_arrays, to_arrays
from audits.tuning import Tuning
from damp.errors import Unsupported
from damp.layouts import CONSTANT, Layout
from damp.operators import Operator, find
from damp.tracing import OperatorUse, Trace, capture_inputs, trace

__all__ = [
    "Observation",
    "Tuning",
    "called_operators",
    "from_arrays",
    "head_inputs",
    "observe",
    "to_arrays",
]

Pooled = dict[str, list[np.ndarray]]


def observe(
    model: nn.Module,
    train_inputs: Images,
    test_inputs: Images,
    *,
    depths: int = 5,
    batch_size: int = 512,
    device: str | torch.device | None = None,
    retired: Sequence[int] = (),
    digest: str,
    fresh: Images | None = None,
    unseen: Images | None = None,
    tuning: Tuning | None = None,
    weights: bool = False,
) -> Observation:
    """Logits of all rows and pooled operator inputs of the test rows; the model stays as it is.

    Args:
        model: The plain network, before any output is retired.
        train_inputs: Members of the training set, (n_train, ...).
        test_inputs: Held-out rows, (n_test, ...).
        depths: Operators whose inputs are kept, evenly spaced in the order of the forward pass;
            the head's is always among them. The first operator reads the image itself, the same
            for every model, and is left out.
        batch_size: Rows per forward pass; fewer where images are large.
        device: Where to run; by default where the model is.
        retired: Outputs that the deployed model masks.
        digest: Identity of the weights.
        fresh: Perturbed rows, (m, ...); see `audits.perturbation`.
        unseen: Rows of classes that nobody was trained on, (u, ...).
        tuning: How to fine-tune a copy, for the relearning curves; None: not at all.
        weights: Whether to keep the operators' weights, which `edit_leakage` compares.
    Raises:
        BadEvidence: no rows, no operator, or outputs that are not (n, C).
    """
    copied = copy.deepcopy(model).eval()  # the caller's model keeps its mode, device and gradients
    if device is not None:
        copied = copied.to(device)
    chosen = _spread(_readings(copied, test_inputs[:2]), depths)
    with feature_map.watching(copied) as cells:
        test = _readout(copied, test_inputs, batch_size, chosen)
    train_logits = _logits(copied, train_inputs, batch_size)
    rows = len(train_inputs) + len(test_inputs)  # cost is counted in passes over these rows
    more = [x for x in (fresh, unseen) if x is not None]
    head = chosen[PENULTIMATE].operator
    curves, spent = finetuning.curves(copied, head, test_inputs, tuning)
    return Observation(
        digest=digest,
        train_logits=train_logits,
        test_logits=test.logits,
        features=test.features,
        retired=tuple(int(c) for c in retired),
        head=_head(head, classes=test.logits.shape[1]),
        weights={name: _matrix(use.operator) for name, use in chosen.items()} if weights else {},
        fresh=None if fresh is None else _readout(copied, fresh, batch_size, chosen),
        unseen=None if unseen is None else _readout(copied, unseen, batch_size, chosen),
        relearned=curves,
        cells=cells.all(),
        passes={"observe": 1 + sum(map(len, more)) / rows, "relearning": spent / rows},
    )


def called_operators(model: nn.Module, inputs: Tensor) -> list[Operator]:
    """Operators in the order in which a forward pass calls them, each once; the head is the last.

    Raises:
        BadEvidence: none is called, or there is no input to show.
    """
    return [reading.operator for reading in _readings(model, inputs)]


def _readings(model: nn.Module, inputs: Tensor) -> list[OperatorUse]:
    """How the model uses its operators; of those that read the same inputs the first one."""
    if not len(inputs):
        raise BadEvidence("There are no rows to observe: give at least one.")
    parameter = next(model.parameters(), None)
    try:
        rows = inputs if parameter is None else inputs.to(parameter.device)
        trace_of_rows = trace(model, find(model)[0], rows)
    except Unsupported as error:
        raise BadEvidence(f"The model cannot be observed. {error}") from error
    if not trace_of_rows.uses:
        raise BadEvidence(
            "The forward pass calls no Linear, Conv or MultiheadAttention layer, so there are no "
            "features to read: give a model that has one."
        )
    head = _dead_head(trace_of_rows) or list(trace_of_rows.uses.values())[-1]
    others = [
        trace_of_rows.uses[name] for name in trace_of_rows.input_groups if name != head.input_group
    ]
    return [*others, head]


def _dead_head(trace_of_rows: Trace) -> OperatorUse | None:
    """The last operator where it reads features that are the same for every image.

    It must not be passed over: the layer before it would be taken for the head, and the class read
    where nobody looks for it. Its features are read as they are, and the audits say what they lack.
    """
    last = trace_of_rows.called[-1]
    reasons = {skipped.name: skipped.reason for skipped in trace_of_rows.skipped}
    if reasons.get(last.name) != CONSTANT:
        return None
    no_bias = torch.zeros(last.outputs, dtype=torch.bool)
    layout = Layout(axis=0)
    return OperatorUse(
        operator=last, layout=layout, calls=1, input_group=last.name, bias_applied=no_bias
    )


def head_inputs(model: nn.Module, inputs: Images, batch_size: int = 512) -> np.ndarray:
    """Pooled inputs of the head, (n, D), float32. The model must be in evaluation mode."""
    chosen = {PENULTIMATE: _readings(model, inputs[:2])[-1]}
    return _readout(model, inputs, batch_size, chosen).features[PENULTIMATE]


def _spread(called: Sequence[OperatorUse], depths: int) -> dict[str, OperatorUse]:
    """Evenly spaced operators by depth name, the head last."""
    if depths < 1:
        raise BadEvidence(f"{depths} depths were asked for: the last features need at least 1.")
    # called[0] reads the image itself, the same for every model
    inner, head = called[1:-1], called[-1]
    count = min(depths - 1, len(inner))
    # from the deep end, so that the layer before the head is always read; then ascending
    positions = np.linspace(len(inner) - 1, 0, count).round().astype(int)[::-1]
    return {inner[i].operator.name: inner[i] for i in positions} | {PENULTIMATE: head}


def _readout(
    model: nn.Module, inputs: Images, batch_size: int, chosen: dict[str, OperatorUse]
) -> Readout:
    features: Pooled = {name: [] for name in chosen}
    logits = _logits(model, inputs, batch_size, chosen, features)
    return Readout(
        logits=logits, features={name: np.concatenate(parts) for name, parts in features.items()}
    )


def _logits(
    model: nn.Module,
    inputs: Images,
    batch_size: int,
    chosen: dict[str, OperatorUse] | None = None,
    features: Pooled | None = None,
) -> np.ndarray:
    """Logits (n, C) in float64; pooled inputs of the chosen operators are added to `features`."""
    depth_of = {reading.operator.name: depth for depth, reading in (chosen or {}).items()}
    calls: dict[str, list[Tensor]] = {name: [] for name in depth_of}

    def keep(name: str, pooled: Tensor) -> None:
        calls[name].append(pooled)

    parts = []
    for batch in inputs.split(at_once(inputs, batch_size)):
        with capture_inputs((chosen or {}).values(), len(batch), keep):
            parts.append(_forward(model, batch))  # (b, C)
        for name, depth in depth_of.items():
            if features is not None:
                mean = torch.stack(calls[name]).mean(0)  # of a layer that is used more than once
                features[depth].append(mean.float().cpu().numpy())  # (b, D)
            calls[name].clear()
    return np.concatenate([part.double().cpu().numpy() for part in parts])


def _forward(model: nn.Module, inputs: Tensor) -> Tensor:
    parameter = next(model.parameters(), None)
    with torch.inference_mode():
        logits: Tensor = model(inputs if parameter is None else inputs.to(parameter.device))
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise BadEvidence(
            "The model's output is no (n, C) tensor of logits: wrap it so that it is."
        )
    return logits


def _head(operator: Operator, *, classes: int) -> Head | None:
    """The last layer's weights; None where it is no linear layer with an output per class."""
    layer = operator.layer
    if not isinstance(layer, nn.Linear) or layer.out_features != classes:
        return None
    weight = layer.weight.detach().double().cpu().numpy()
    bias = np.zeros(classes) if layer.bias is None else layer.bias.detach().double().cpu().numpy()
    return Head(weight=weight, bias=bias)


def _matrix(operator: Operator) -> np.ndarray:
    """The weight as (rows, D): every output at every kernel position acts on D features.

    In a convolution in groups an output acts on its own group's features and on no others.
    """
    weight = operator.weight().float().cpu()
    # weight: (out, D / groups, positions)
    rows, width = weight.shape[0] // operator.groups, weight.shape[1]
    # (out, D, positions), zero outside an output's own group
    whole = torch.zeros(weight.shape[0], operator.features, weight.shape[2])
    for place in range(operator.groups):
        span = slice(place * rows, (place + 1) * rows)
        whole[span, place * width : (place + 1) * width] = weight[span]
    matrix: np.ndarray = whole.movedim(1, -1).reshape(-1, operator.features).numpy()
    return matrix
