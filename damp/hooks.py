"""Hooks on every use of the operators' weights in a forward pass, also where no module is called.

A hook on a module misses what is called functionally: torch's attention passes its packed weights
to `multi_head_attention_forward`, torchvision's Swin transformer passes `qkv.weight` to a function
of its own. What cannot be missed is the call of `linear` or `conv2d` itself, with the very
parameter as its weight, and that is what is watched here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from damp.operators import Operator

OnUse = Callable[[Operator, Tensor, "Tensor | None"], None]
"""Called with the operator, its input, and the bias that was used with it."""

_DIRECT = {functional.linear, functional.conv1d, functional.conv2d, functional.conv3d}
_ATTENTION = inspect.signature(functional.multi_head_attention_forward)
_ROLES = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}


class Watch(TorchFunctionMode):
    """While this context is open, each use of a weight is reported just before it happens.

    Args:
        operators: Whose weights to watch.
        on_use: Called at each use.
        on_other_use: Called with an operator and the name of a function that takes its weight in
            another way, and therefore would feel an edit that was not meant for it. None: no check.
    """

    def __init__(
        self,
        operators: Sequence[Operator],
        on_use: OnUse,
        on_other_use: Callable[[Operator, str], None] | None = None,
    ) -> None:
        super().__init__()
        self._on_use = on_use
        self._on_other_use = on_other_use
        self._readers: dict[int, list[Operator]] = {}
        self._identities: dict[str, Tensor] = {}
        # by identity: the very parameter is what a functional call is handed
        for operator in operators:
            self._readers.setdefault(id(operator.parameter), []).append(operator)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by torch in place of `func`."""
        kwargs = kwargs or {}
        if func in _DIRECT:
            self._direct(func.__name__, args, kwargs)
        elif func is functional.multi_head_attention_forward:
            return self._attention(_ATTENTION.bind(*args, **kwargs))
        result = func(*args, **kwargs)
        if self._on_other_use is not None and func not in _DIRECT:
            self._report_other_uses(func, (*args, *kwargs.values()), result)
        return result

    def _direct(self, name: str, args: Any, kwargs: Any) -> None:
        inputs, weight, bias = (
            args[place] if len(args) > place else kwargs.get(keyword)
            for place, keyword in enumerate(("input", "weight", "bias"))
        )
        # torch.conv*d(input, weight, bias, stride, padding, dilation, groups)
        groups = args[6] if len(args) > 6 else kwargs.get("groups", 1)
        for operator in self._readers.get(id(weight), ()):
            if groups != operator.groups and self._on_other_use is not None:
                self._on_other_use(operator, f"{name} in {groups} groups")
            self._on_use(operator, inputs, bias)

    def _attention(self, bound: inspect.BoundArguments) -> Any:
        """Reports queries, keys, values, and what enters the output projection.

        The latter appears nowhere by itself, but with the identity as its output projection the
        function returns it.
        """
        arguments = bound.arguments
        for role, suffix in _ROLES.items():
            weight = arguments.get(f"{suffix}_weight")
            weight = arguments["in_proj_weight"] if weight is None else weight
            for operator in self._readers.get(id(weight), ()):
                if operator.part.suffix == suffix:
                    self._on_use(operator, arguments[role], arguments["in_proj_bias"])
        outward, bias = arguments["out_proj_weight"], arguments["out_proj_bias"]
        readers = self._readers.get(id(outward), ())
        if not readers:
            return functional.multi_head_attention_forward(*bound.args, **bound.kwargs)
        arguments["out_proj_weight"], arguments["out_proj_bias"] = (
            self._identity(readers[0], outward),
            None,
        )
        # (Q, B, E): the heads' outputs side by side, as out_proj reads them
        mixed, weights = functional.multi_head_attention_forward(*bound.args, **bound.kwargs)
        for operator in readers:
            self._on_use(operator, mixed, bias)
        return functional.linear(mixed, outward, bias), weights

    def _identity(self, operator: Operator, weight: Tensor) -> Tensor:
        """The identity on the inputs of an output projection."""
        if operator.name not in self._identities:
            width = weight.shape[1]
            eye = torch.eye(width, dtype=weight.dtype, device=weight.device)
            self._identities[operator.name] = eye
        return self._identities[operator.name]

    def _report_other_uses(self, func: Any, arguments: Iterable[Any], result: Any) -> None:
        """A weight went into `func`, and something that is not the weight came out."""
        for value in _tensors(arguments):
            readers = self._readers.get(id(value), ())
            # a method that gives the weight itself back (`to`, `contiguous`) or a size is no use
            if readers and any(other is not value for other in _tensors([result])):
                for operator in readers:
                    self._on_other_use(operator, getattr(func, "__name__", str(func)))  # type: ignore[misc]


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """Tensors among some values and in lists among them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from (part for part in value if isinstance(part, Tensor))


def version(value: Tensor) -> int | None:
    """How often a tensor was changed in place; None where torch does not count."""
    return None if value.is_inference() else value._version
