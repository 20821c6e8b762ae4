"""Which rows the audits see: all of a small data set, a fixed share per class of a large one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.store import canonical, digest_bytes

if TYPE_CHECKING:
    from torch import Tensor

Facts = dict[str, Any]

FORGET_TRAIN, RETAIN_TRAIN, TEST = 2000, 200, 1000
"""Rows per class at most: of the forgotten classes' and the retain classes' training data, and of
the test data. Membership of the forgotten class is the audit that needs the most."""
SPLIT_SEED = 20260416
"""Fixed, so that a model's observation can be kept and used by the next event on the same data."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuditRows:
    """Rows for the audits and the key that names this choice."""

    train_inputs: Tensor
    train_labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    key: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.test_inputs.shape[1:])


def for_audit(data: Facts, model: Facts) -> AuditRows:
    """The audits' rows of an event's data, without classes that an earlier event took out."""
    from flows import datasets

    dataset = datasets.load(datasets.DataSpec(**data["spec"])).without(model["retired"])
    forget = set(data["forget"])
    caps = {c: FORGET_TRAIN if c in forget else RETAIN_TRAIN for c in range(dataset.classes)}
    train = _sample(dataset.train_labels, caps)
    test = _sample(dataset.test_labels, dict.fromkeys(range(dataset.classes), TEST))
    told = [data["before"]["version"], sorted(forget), model["retired"], sorted(caps.items()), TEST]
    return AuditRows(
        train_inputs=dataset.train_inputs[train],
        train_labels=dataset.train_labels[train],
        test_inputs=dataset.test_inputs[test],
        test_labels=dataset.test_labels[test],
        key=digest_bytes(canonical(told)),
    )


def _sample(labels: Tensor, caps: dict[int, int]) -> Tensor:
    """Row numbers, at most `caps[c]` of each class, in ascending order."""
    import torch

    generator = torch.Generator().manual_seed(SPLIT_SEED)
    kept = []
    for c, cap in caps.items():
        rows = torch.nonzero(labels == c).flatten()
        kept.append(rows[torch.randperm(len(rows), generator=generator)[:cap]])
    return torch.cat(kept).sort().values
