"""The tensors that a network runs with, held against those of its file, bit for bit.

They are read from the modules' own tables. A class's `state_dict` is not asked, and its
`load_state_dict` not believed: either may say something else than what runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from flows.state.errors import ModelError, first_few


def of(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, tied ones under each of their names."""
    return dict(_of(network, "", ()))


def _of(module: nn.Module, prefix: str, above: tuple[int, ...]) -> Iterator[tuple[str, Tensor]]:
    own = vars(module)
    transient = own["_non_persistent_buffers_set"]
    for name, value in own["_parameters"].items():
        if value is not None:
            yield prefix + name, value.detach()
    for name, value in own["_buffers"].items():
        if value is not None and name not in transient:
            yield prefix + name, value.detach()
    for name, child in own["_modules"].items():
        if child is not None and id(child) not in above:
            yield from _of(child, f"{prefix}{name}.", (*above, id(module)))


def require(network: nn.Module, expected: Mapping[str, Tensor], *, what: str) -> None:
    """Refuse a network that does not hold exactly these tensors.

    Args:
        network: As it runs.
        expected: By name, in the types that it computes in.
        what: For the message: the architecture and the file.
    Raises:
        ModelError: A name, type, shape or byte differs.
    """
    held = of(network)
    other = sorted(expected.keys() ^ held.keys())
    other += [n for n in expected if n in held and not _is_same(held[n], expected[n])]
    if other:
        raise ModelError(
            f"{what}: after loading, the network holds other tensors than the file in "
            f"{first_few(other)}. Its class loads files in a way of its own, so that what runs is "
            "not what was handed in. Use a class that takes every tensor as it is."
        )


def _is_same(one: Tensor, other: Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return bool(torch.equal(_bytes(one), _bytes(other)))


def _bytes(value: Tensor) -> Tensor:
    return value.cpu().contiguous().reshape(-1).view(torch.uint8)


def digest(network: nn.Module) -> str:
    """SHA-256 of names, types, shapes and bytes."""
    total = hashlib.sha256()
    for name, value in sorted(of(network).items()):
        total.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        total.update(_bytes(value).numpy().tobytes())
    return total.hexdigest()


@contextmanager
def unchanged(network: nn.Module, what: str) -> Iterator[None]:
    """The network is used inside; what it holds is the same before and after.

    Raises:
        ModelError: It has changed its own tensors.
    """
    before = digest(network)
    yield
    if digest(network) != before:
        raise ModelError(
            f"{what} changed its own tensors while it was used: what was measured is not what the "
            "file holds. Use a class whose forward pass leaves its weights as they are."
        )
