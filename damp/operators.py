"""Which layers can be cut, how their weights are seen, and which layers are left alone and why.

An operator is a layer whose weight mixes input features. Every kind is seen the same way: a weight
(O, D, K) with D input features at K kernel positions, and inputs pooled to (B, D). A new kind of
layer is one decorated function here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from damp.errors import Unsupported

WIDEST = 16_384
"""Input features above which the Gram matrix (D * D * 8 bytes, twice) is not collected."""

ELEMENTWISE = (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.PReLU)
"""Layers with weights that mix no features: nothing to cut, nothing to report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A layer that stays as it is, and why."""

    name: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightView:
    """How a layer holds its features: D of them, on which axis of its input, of how many axes."""

    features: int
    axis: int
    ndim: int | None = None  # None: any number of axes from two on


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operator:
    """A layer that can be cut.

    Attributes:
        name: Name of the module in the model, "features.3".
        kind: Its class, "Conv2d".
        layer: The module itself.
        view: Where its input features lie.
    """

    name: str
    kind: str
    layer: nn.Module
    view: WeightView

    @property
    def features(self) -> int:
        """Dimension D of the edit space."""
        return self.view.features

    def weight(self) -> Tensor:
        """The weight as (O, D, K), K kernel positions (1 for `Linear`), sharing its memory."""
        weight = self.layer.get_parameter("weight").detach()
        return weight.reshape(weight.shape[0], weight.shape[1], -1)

    def pool(self, inputs: Tensor) -> Tensor:
        """Inputs averaged over positions or tokens, (B, D), in memory of their own.

        >>> operator = find(nn.Conv2d(3, 8, 3))[0][0]
        >>> operator.pool(torch.ones(2, 3, 5, 5)).shape
        torch.Size([2, 3])
        """
        kept = (0, self.view.axis % inputs.ndim)
        pooled = [axis for axis in range(inputs.ndim) if axis not in kept]
        return inputs.mean(pooled) if pooled else inputs.clone()

    def unusable(self, inputs: Tensor, samples: int) -> str | None:
        """Why these inputs cannot be pooled per sample, None where they can."""
        if self.view.ndim not in (None, inputs.ndim) or inputs.ndim < 2:
            return f"its input has {inputs.ndim} axes, so samples cannot be told apart"
        if inputs.shape[0] != samples:
            return f"its input has {inputs.shape[0]} rows for {samples} samples"
        return None


Registered = Callable[[nn.Module], "WeightView | str"]
_VIEWS: dict[type[nn.Module], Registered] = {}


def weight_view(kind: type[nn.Module]) -> Callable[[Registered], Registered]:
    """Register how layers of `kind` are seen: a `WeightView`, or the reason to skip one (a str)."""

    def register(function: Registered) -> Registered:
        _VIEWS[kind] = function
        return function

    return register


@weight_view(nn.Linear)
def _linear(layer: nn.Module) -> WeightView | str:
    return WeightView(features=layer.get_parameter("weight").shape[1], axis=-1)


@weight_view(nn.Conv1d)
@weight_view(nn.Conv2d)
def _convolution(layer: nn.Module) -> WeightView | str:
    groups = getattr(layer, "groups", 1)
    if groups != 1:
        return f"it is a convolution in {groups} groups, which cannot take a mixing edit"
    weight = layer.get_parameter("weight")
    return WeightView(features=weight.shape[1], axis=1, ndim=weight.ndim)


def _unsupported(layer: nn.Module) -> str | None:
    """Why a layer that has weights cannot be an operator, None where it has none to speak of."""
    if isinstance(layer, nn.MultiheadAttention):
        return "its projections are packed and called functionally: replace it by Linear layers"
    if isinstance(layer, _ConvTransposeNd):
        return "transposed convolutions are not supported"
    if isinstance(layer, _ConvNd):
        return "only one- and two-dimensional convolutions are supported"
    own = _matrices(layer)
    if own and not any(True for _ in layer.children()):
        return f"its weights ({', '.join(own)}) are of a kind that is not supported"
    return None


def _matrices(layer: nn.Module) -> list[str]:
    """Names of a layer's own parameters that might mix features."""
    if isinstance(layer, ELEMENTWISE):
        return []
    return [name for name, value in layer.named_parameters(recurse=False) if value.ndim > 1]


def _loose(name: str, layer: nn.Module) -> Iterator[Skipped]:
    """Parameters that a container holds beside its layers, such as position embeddings."""
    if any(True for _ in layer.children()) and not isinstance(layer, nn.MultiheadAttention):
        for own in _matrices(layer):
            yield Skipped(
                name=f"{name}.{own}".lstrip("."),
                kind="Parameter",
                reason="it belongs to no layer that can be cut",
            )


def _view(layer: nn.Module) -> WeightView | str | None:
    """How a layer is seen, the reason to skip it, or None where there is nothing to see."""
    for kind, function in _VIEWS.items():
        if isinstance(layer, kind):
            return _obstacle(layer, kind) or function(layer)
    return _unsupported(layer)


def _obstacle(layer: nn.Module, kind: type[nn.Module]) -> str | None:
    """Why a layer of a known kind cannot be edited by changing its weight."""
    if type(layer).forward is not kind.forward:
        return f"its class changes what {kind.__name__}.forward does"
    if not isinstance(layer._parameters.get("weight"), nn.Parameter):
        return "its weight is computed from other parameters (a parametrization)"
    if isinstance(layer.weight, nn.parameter.UninitializedParameter):
        return "it is lazy and has not seen an input yet"
    width = layer.get_parameter("weight").shape[1]
    return f"it has {width} input features, above the limit of {WIDEST}" if width > WIDEST else None


def _visible(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules by name, without what lies inside a `MultiheadAttention`."""
    hidden: list[str] = []
    for name, layer in model.named_modules():
        if any(name.startswith(prefix) for prefix in hidden):
            continue
        if isinstance(layer, nn.MultiheadAttention):
            hidden.append(f"{name}." if name else "")
        yield name, layer


def find(model: nn.Module) -> tuple[list[Operator], list[Skipped]]:
    """The operators of a model and the layers left alone, both in module order.

    A weight that two modules share is left alone: cutting it for one would cut it for the other.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Linear(4, 2))
    >>> operators, skipped = find(net)
    >>> [operator.name for operator in operators], [(s.name, s.reason) for s in skipped]
    (['0', '2'], [('1', 'it is a convolution in 4 groups, which cannot take a mixing edit')])
    """
    operators: list[Operator] = []
    skipped: list[Skipped] = []
    shared = _shared(model)
    for name, layer in _visible(model):
        view, kind = _view(layer), type(layer).__name__
        if isinstance(view, WeightView) and name in shared:
            view = f"it shares its weight with {shared[name]!r}"
        if isinstance(view, WeightView):
            operators.append(Operator(name=name, kind=kind, layer=layer, view=view))
        elif view:
            skipped.append(Skipped(name=name, kind=kind, reason=view))
        else:
            skipped.extend(_loose(name, layer))
    return operators, skipped


def _shared(model: nn.Module) -> dict[str, str]:
    """Modules whose weight another module holds too: name -> name of the other."""
    owners: dict[int, list[str]] = {}
    for name, layer in model.named_modules():
        weight = layer._parameters.get("weight")
        if weight is not None:
            owners.setdefault(id(weight), []).append(name)
    groups = [names for names in owners.values() if len(names) > 1]
    return {name: next(o for o in names if o != name) for names in groups for name in names}


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
            "The model has no Linear, Conv1d or Conv2d layer: there is nothing to cut. "
            "Give a model that has one."
        )
    return operators[-1].name


def add_missing_biases(model: nn.Module, keys: Iterable[str]) -> list[str]:
    """Give zero biases to operators that have none but have one in `keys` (of a state dict).

    An edited layer needs a bias; this lets the plain architecture load edited weights.

    Returns:
        Names of the layers that got a bias.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False))
    >>> add_missing_biases(net, ["0.weight", "0.bias"]), tuple(net[0].bias.shape)
    (['0'], (4,))
    """
    wanted = set(keys)
    operators, _ = find(model)
    missing = [
        operator
        for operator in operators
        if operator.layer.bias is None and f"{operator.name}.bias".lstrip(".") in wanted
    ]
    for operator in missing:
        add_bias(operator.layer)
    return [operator.name for operator in missing]


def add_bias(layer: nn.Module) -> None:
    """Give a layer without bias a bias of zeros, trainable if its weight is."""
    weight = layer.get_parameter("weight")
    zeros = torch.zeros(weight.shape[0], dtype=weight.dtype, device=weight.device)
    layer.bias = nn.Parameter(zeros, requires_grad=weight.requires_grad)
