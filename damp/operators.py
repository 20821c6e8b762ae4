"""Which layers can be cut, where their weights lie, and which layers are left alone and why.

An operator is a weight that mixes input features. Most layers are one operator; attention packs
several into one layer. Every operator is seen the same way: a weight (O, d, K), O outputs that read
d input features at K kernel positions, in one or more groups that share no feature. A new kind of
layer is one decorated function here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from damp.errors import Unsupported

ELEMENTWISE = (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.PReLU)
"""Layers with weights that mix no features: nothing to cut, nothing to report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A layer that stays as it is, and why."""

    name: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One reader of features inside a layer.

    Attributes:
        suffix: What its name adds to the layer's; empty where the layer is one operator.
        weight, bias: Names of the layer's parameters.
        start, count: Its outputs among the rows of the weight; all of them by default.
        bias_start: Where its outputs begin in the bias.
        axis: Where an input keeps its features: 1 after the samples, or -1, last.
        groups: Equal shares of the features, each read by an equal share of the outputs.
    """

    suffix: str = ""
    weight: str = "weight"
    bias: str = "bias"
    start: int = 0
    count: int | None = None
    bias_start: int = 0
    axis: int = -1
    groups: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operator:
    """A weight that can be cut.

    Attributes:
        name: Name of the module in the model, "features.3"; of attention "attn.q_proj".
        kind: The module's class, "Conv2d".
        layer: The module itself.
        part: Which of the module's parameters it is.
        sharing: Other modules that hold the very same weight, each with a bias of its own.
    """

    name: str
    kind: str
    layer: nn.Module
    part: Part
    sharing: tuple[nn.Module, ...] = ()

    @property
    def parameter(self) -> nn.Parameter:
        """The parameter that holds the weight, other operators' rows included."""
        return self.layer.get_parameter(self.part.weight)

    @property
    def groups(self) -> int:
        """Number of edit spaces: blocks of features that are read apart from each other."""
        return self.part.groups

    @property
    def features(self) -> int:
        """Input features D, those of all groups together."""
        return self.parameter.shape[1] * self.part.groups

    @property
    def outputs(self) -> int:
        """Number of outputs O."""
        return _outputs(self.layer, self.part)

    def weight(self) -> Tensor:
        """The weight as (O, d, K), K kernel positions (1 for `Linear`), sharing its memory."""
        start = self.part.start
        weight = self.parameter.detach()[start : start + self.outputs]  # (O, d, ...)
        return weight.reshape(weight.shape[0], weight.shape[1], -1)

    @property
    def owners(self) -> tuple[nn.Module, ...]:
        """The modules that hold the weight."""
        return (self.layer, *self.sharing)

    def ensure_biases(self) -> None:
        """A bias of zeros to each owner that has none."""
        for owner in self.owners:
            if owner._parameters.get(self.part.bias) is None:
                add_bias(owner)

    def biases(self) -> list[Tensor | None]:
        """The bias entries of its outputs, (O,), in each owner; None where there is no bias."""
        span = slice(self.part.bias_start, self.part.bias_start + self.outputs)
        own = [owner._parameters.get(self.part.bias) for owner in self.owners]
        return [None if bias is None else bias.detach()[span] for bias in own]


Registered = Callable[[nn.Module], "list[Part] | str"]
_PARTS: dict[type[nn.Module], Registered] = {}


def layer_kind(kind: type[nn.Module]) -> Callable[[Registered], Registered]:
    """Register what layers of `kind` read with: their parts, or the reason to skip one (a str)."""

    def register(function: Registered) -> Registered:
        _PARTS[kind] = function
        return function

    return register


@layer_kind(nn.Linear)
def _linear(layer: nn.Module) -> list[Part] | str:
    return [Part()]


@layer_kind(nn.Conv1d)
@layer_kind(nn.Conv2d)
@layer_kind(nn.Conv3d)
def _convolution(layer: nn.Module) -> list[Part] | str:
    groups = int(layer.groups)  # type: ignore[arg-type]
    # a weight is (O, D / groups, ...): each output of a depthwise one reads a single channel
    if groups > 1 and layer.get_parameter("weight").shape[1] == 1:
        return "it is a depthwise convolution: it mixes no channels, so there is nothing to project"
    return [Part(axis=1, groups=groups)]


@layer_kind(nn.MultiheadAttention)
def _attention(layer: nn.Module) -> list[Part] | str:
    """Query, key and value projections; `out_proj` is a Linear layer of its own."""
    # one weight (3E, E) where queries, keys and values are equally wide, else three of their own;
    # the bias is one vector (3E,) in both forms
    packed = layer._parameters.get("in_proj_weight") is not None
    width = int(layer.embed_dim)  # type: ignore[arg-type]
    return [
        Part(
            suffix=f"{role}_proj",
            weight="in_proj_weight" if packed else f"{role}_proj_weight",
            bias="in_proj_bias",
            start=place * width if packed else 0,
            count=width,
            bias_start=place * width,
        )
        for place, role in enumerate("qkv")
    ]


def _parts(layer: nn.Module) -> list[Part] | str | None:
    """What a layer reads with, the reason to skip it, or None where there is nothing to see."""
    # instances, not types: a subclass with a forward() of its own is traced like any other
    for kind, function in _PARTS.items():
        if isinstance(layer, kind):
            parts = _obstacle(layer) or function(layer)
            return parts if isinstance(parts, str) else _checked(layer, parts)
    return _unsupported(layer)


def _obstacle(layer: nn.Module) -> str | None:
    """Why a layer of a known kind cannot be edited by changing its weight."""
    if isinstance(layer, nn.MultiheadAttention):  # its weights have other names
        return None
    weight = layer._parameters.get("weight")
    if weight is None:
        return (
            "its weight is computed from other parameters (a parametrization such as weight norm): "
            "remove it with torch.nn.utils.parametrize.remove_parametrizations and cut again"
        )
    if isinstance(weight, nn.parameter.UninitializedParameter):
        return "it is lazy and has not seen an input yet: run the model once and cut again"
    return None


def _checked(layer: nn.Module, parts: list[Part]) -> list[Part] | str:
    """Parts whose weights are there, in a type that can be computed with."""
    for part in parts:
        weight = layer._parameters.get(part.weight)
        if weight is None:
            return f"its {part.weight} is no parameter"
        if not weight.is_floating_point():
            return f"its weights are {weight.dtype}, not floating point"
    return parts


def _unsupported(layer: nn.Module) -> str | None:
    """Why a layer that has weights cannot be an operator, None where it has none to speak of."""
    if isinstance(layer, _ConvTransposeNd):
        return "transposed convolutions are not supported"
    if isinstance(layer, _ConvNd):
        return "convolutions of this kind are not supported"
    # a container's own parameters are listed one by one, with the layers it holds
    own = _matrices(layer)
    if own and not any(True for _ in layer.children()):
        return f"its weights ({', '.join(own)}) are of a kind that is not supported"
    return None


def _matrices(layer: nn.Module) -> list[str]:
    """Names of a layer's own parameters that might mix features."""
    if isinstance(layer, ELEMENTWISE):
        return []
    return [name for name, value in layer.named_parameters(recurse=False) if value.ndim > 1]


def _container_parameters(name: str, layer: nn.Module) -> Iterator[Skipped]:
    """Parameters that a container holds beside its layers, such as position embeddings."""
    if any(True for _ in layer.children()):
        for own in _matrices(layer):
            yield Skipped(
                name=joined(name, own),
                kind="Parameter",
                reason="it belongs to no layer that can be cut",
            )


def joined(*names: str) -> str:
    """Parts of a name with dots between those that are not empty.

    >>> joined("", "weight"), joined("block.attn", "q_proj"), joined("", "")
    ('weight', 'block.attn.q_proj', '')
    """
    return ".".join(name for name in names if name)


def find(model: nn.Module) -> tuple[list[Operator], list[Skipped]]:
    """The operators of a model and the layers left alone, both in module order.

    A weight that several modules share is one operator under the first one's name, since cutting
    it for one cuts it for all. Whether a model uses its operators as they stand shows only when it
    runs: `damp.tracing` records it.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Linear(4, 2))
    >>> operators, skipped = find(net)
    >>> [operator.name for operator in operators], [layer.name for layer in skipped]
    (['0', '2'], ['1'])
    """
    operators: dict[tuple[int, int], Operator] = {}
    skipped: list[Skipped] = []
    foreign = _foreign_weights(model)
    for name, layer in model.named_modules():
        parts, kind = _parts(layer), type(layer).__name__
        if parts is None:
            skipped.extend(_container_parameters(name, layer))
        elif isinstance(parts, str):
            skipped.append(Skipped(name=name, kind=kind, reason=parts))
        for part in parts if isinstance(parts, list) else ():
            operator = Operator(name=joined(name, part.suffix), kind=kind, layer=layer, part=part)
            _register(operator, operators, skipped, foreign)
    return list(operators.values()), skipped


def _register(
    operator: Operator,
    operators: dict[tuple[int, int], Operator],
    skipped: list[Skipped],
    foreign: dict[int, str],
) -> None:
    """A new operator, one more owner of a known one, or a layer to leave alone."""
    weight = id(operator.parameter)
    # packed attention is three operators with one weight, distinguished by their rows
    key = weight, operator.part.bias_start
    if weight in foreign:
        reason = f"it shares its weight with {foreign[weight]!r}, which cannot be cut"
        skipped.append(Skipped(name=operator.name, kind=operator.kind, reason=reason))
    elif key not in operators:
        operators[key] = operator
    else:
        first = operators[key]
        operators[key] = replace(first, sharing=(*first.sharing, operator.layer))


def _foreign_weights(model: nn.Module) -> dict[int, str]:
    """Parameters of layers that are no operators, by identity: name of the layer."""
    return {
        id(value): name
        for name, layer in model.named_modules()
        if not isinstance(_parts(layer), list)
        for value in layer._parameters.values()
        if value is not None
    }


def head(model: nn.Module) -> str:
    """Name of the last operator, the one that gives the logits as far as module order tells.

    Raises:
        Unsupported: the model has no operator.

    >>> head(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
    '2'
    """
    operators, _ = find(model)
    if not operators:
        raise Unsupported(
            "The model has no Linear, Conv or MultiheadAttention layer: there is nothing to cut. "
            "Give a model that has one."
        )
    return operators[-1].name


def add_missing_biases(model: nn.Module, keys: Iterable[str]) -> list[str]:
    """Give zero biases to layers that have none but have one in `keys` (of a state dict).

    An edited layer needs a bias; this lets the plain architecture load edited weights.

    Returns:
        Names of the layers that got a bias.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False))
    >>> add_missing_biases(net, ["0.weight", "0.bias"]), tuple(net[0].bias.shape)
    (['0'], (4,))
    """
    wanted = set(keys)
    names: list[str] = []
    for name, layer in model.named_modules():
        parts = _parts(layer)
        for bias in {part.bias for part in parts} if isinstance(parts, list) else ():
            if layer._parameters.get(bias) is None and joined(name, bias) in wanted:
                add_bias(layer)
                names.append(name)
    return names


def add_bias(layer: nn.Module) -> None:
    """Give a layer without bias a bias of zeros, trainable if its weight is.

    Raises:
        Unsupported: the layer is none that could have one.
    """
    parts = _parts(layer)
    if not isinstance(parts, list):
        raise Unsupported(f"A {type(layer).__name__} takes no bias: name a layer that can be cut.")
    weight = layer.get_parameter(parts[0].weight)
    # of packed projections one bias serves all parts
    size = max(part.bias_start + _outputs(layer, part) for part in parts)
    zeros = torch.zeros(size, dtype=weight.dtype, device=weight.device)
    bias = nn.Parameter(zeros, requires_grad=weight.requires_grad)
    layer.register_parameter(parts[0].bias, bias)


def _outputs(layer: nn.Module, part: Part) -> int:
    return layer.get_parameter(part.weight).shape[0] if part.count is None else part.count
