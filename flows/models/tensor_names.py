"""Which tensor of a file is which of a network, where the file's names are not the network's own.

Wrappers put their name before every tensor, tools leave out what is tied or only counts batches.
What can mean one thing only is taken; everything else stays as it is and is refused by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from flows.models import held_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

PREFIXES = ("module.", "_orig_mod.", "model.", "ema.", "ema_model.")
"""Of DataParallel, torch.compile, Lightning, and of averaged weights."""
COUNTERS = ("num_batches_tracked",)
"""Buffers that batch norm reads in training only: what lacks them starts to count at nought."""
AVERAGES = "n_averaged"
"""How often torch's AveragedModel has averaged, beside the average."""


def in_file(names: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """For each tensor of the network that the file holds, its name there.

    Args:
        names: Of the file.
        wanted: Of the network; those that the file may lack are left out of the answer.

    >>> in_file(["module.fc.weight", "module.fc.bias"], ["fc.weight", "fc.bias"])["fc.bias"]
    'module.fc.bias'
    """
    own = {name: name for name in names}
    needed = {name for name in wanted if not may_lack(name)}
    plain = {short: name for short, name in own.items() if short != AVERAGES}
    for candidate in (own, *_stripped(plain if AVERAGES in own else own)):
        if needed & candidate.keys():
            return candidate
    return own


def _stripped(names: Mapping[str, str]) -> Iterable[dict[str, str]]:
    """The names without the prefixes that all of them share, one more each time."""
    current = dict(names)
    while current:
        shared = [p for p in PREFIXES if all(name.startswith(p) for name in current)]
        if not shared:
            return
        current = {name.removeprefix(shared[0]): place for name, place in current.items()}
        yield current


def may_lack(name: str) -> bool:
    """Whether a file is complete without this tensor."""
    return name.rpartition(".")[2] in COUNTERS


def tied(network: nn.Module) -> dict[str, list[str]]:
    """For each tensor that has several names in the network, its other names."""
    groups: defaultdict[tuple[object, ...], list[str]] = defaultdict(list)
    for name, value in held_tensors.of(network).items():
        groups[_place(value)].append(name)
    return {
        name: [other for other in group if other != name]
        for group in groups.values()
        for name in group
        if len(group) > 1
    }


def _place(value: Tensor) -> tuple[object, ...]:
    if not value.numel():
        return (id(value),)  # nothing of no size is shared
    return value.data_ptr(), value.dtype, tuple(value.shape), value.stride()


def several_sets(names: Iterable[str]) -> list[str]:
    """Known prefixes under which a file holds a whole network each, where there is more than one.

    >>> several_sets(["model.fc.weight", "ema.fc.weight", "epoch"])
    ['model.', 'ema.']
    """
    below = {p: {n.removeprefix(p) for n in names if n.startswith(p)} for p in PREFIXES}
    present = {prefix: rest for prefix, rest in below.items() if rest}
    alike = [
        p for p, rest in present.items() if any(rest == o for q, o in present.items() if q != p)
    ]
    return alike
