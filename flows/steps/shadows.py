"""Shadow models: trained on random halves of all rows, so that an attack knows each image's odds.

Half of the training *and* held-out rows each, by the base model's recipe: every image is in half of
the shadows and out of the others. They were trained on the class, and what holds for copies of the
old weights holds for them: the report lists them, `damp purge` deletes them. Where the policy asks
for `edited_shadows`, the attack looks at copies of them that were edited as the candidate was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from audits.evidence import Shadow
    from audits.images import Images
    from flows.data.dataset import Dataset
    from flows.state.facts import Method
    from flows.steps.audit_rows import AuditRows

FIRST_SEED = 5000
"""Shadows take seeds from here on; two that follow one another share out the rows between them."""


def affordable(most: int, *, cost: float | None, references: int, rows: int, half: int) -> int:
    """How many shadows are trained: an even number, 0 where fewer than the attacks need.

    One training costs what its rows cost: the same recipe, so many images seen.

    Args:
        most: That the policy asks for.
        cost: How often what the references cost they may cost; None: whatever it is.
        references: How many are trained.
        rows: That each reference is trained on.
        half: That each shadow is trained on.

    >>> affordable(16, cost=1.0, references=10, rows=54000, half=35000)
    14
    >>> affordable(16, cost=1.0, references=5, rows=54000, half=35000)
    0
    """
    from compliance.documents.policy import LEAST_SHADOWS

    if cost is None:
        return most
    within = int(cost * references * rows / max(half, 1))
    count = min(most, within - within % 2)
    return count if count >= LEAST_SHADOWS else 0


def inside(train: int, test: int, seed: int) -> tuple[Tensor, Tensor]:
    """Which training and which held-out rows a shadow is trained on, (train,) and (test,), bool.

    An even seed draws a half of each, the odd one after it takes the other half.

    >>> both = [inside(4, 2, seed) for seed in (5000, 5001)]
    >>> [bool((one ^ other).all()) for one, other in zip(*both)]
    [True, True]
    """
    import torch

    generator = torch.Generator().manual_seed(seed // 2)
    parts = []
    for count in (train, test):
        kept = torch.zeros(count, dtype=torch.bool)
        kept[torch.randperm(count, generator=generator)[: count // 2]] = True
        parts.append(~kept if seed % 2 else kept)
    return parts[0], parts[1]


def half(dataset: Dataset, seed: int) -> tuple[Images, Tensor]:
    """The rows that a shadow is trained on, and their classes."""
    import torch

    from flows.data.view import chosen, joined

    train, test = inside(len(dataset.train_labels), len(dataset.test_labels), seed)
    return (
        joined([chosen(dataset.train_inputs, train), chosen(dataset.test_inputs, test)]),
        torch.cat([dataset.train_labels[train], dataset.test_labels[test]]),
    )


def edited(
    network: nn.Module, dataset: Dataset, seed: int, forget: Sequence[int], method: Method
) -> nn.Module:
    """A copy of a shadow out of which classes were cut as out of the candidate.

    Args:
        network: The shadow.
        dataset: The data whose half it was trained on; the cut sees rows of that half alone.
        seed: The shadow's.
        forget: Classes.
        method: Of the request.
    """
    from flows.steps import edit

    inputs, labels = half(dataset, seed)
    own = replace(dataset, train_inputs=inputs, train_labels=labels)
    return edit.forget_classes(network, own, forget, method).unretired


def as_evidence(
    train: np.ndarray, test: np.ndarray, rows: AuditRows, seed: int, *, edited: bool = False
) -> Shadow:
    """What a shadow says of the audit's rows, with which of them it was trained on.

    Args:
        train: Its logits of the audit's training rows, (n, C).
        test: The same of the held-out rows, (m, C).
        rows: The audit's rows, with their places in the data.
        seed: The shadow's.
        edited: Whether the class was cut out of it before.
    """
    from audits.evidence import Shadow

    own = inside(*rows.counted, seed)
    return Shadow(
        train_logits=train,
        test_logits=test,
        train_inside=own[0][rows.train_places].numpy(),
        test_inside=own[1][rows.test_places].numpy(),
        edited=edited,
    )
