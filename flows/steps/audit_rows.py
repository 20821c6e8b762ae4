"""Which rows the audits see: all of a small data set, a fixed share per class of a large one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.state.files import canonical, digest_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from audits.images import Images
    from audits.tuning import Tuning
    from flows.state.facts import Data, Model

FORGET_TRAIN, RETAIN_TRAIN = 2000, 200
"""Training rows per class at most, of the forgotten classes and of the others. Membership of the
forgotten class is the audit that needs the most."""
FORGET_TEST, RETAIN_TEST = 2000, 1000
"""Held-out rows per class at most. The forgotten class's are what sampling errors come from: the
others are pooled, so that a thousand of each leave next to nothing."""
SPLIT_SEED = 20260416
"""Fixed, so that a model's observation can be kept and used by the next event on the same data."""


UNSEEN = 8
"""Classes that nobody was trained on, from which their spread is known well enough to decide by."""
FORMAT = 5
"""Of what is kept of an observation: one kept in another form is made again."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuditRows:
    """Rows for the audits and the key that names this choice.

    Attributes:
        train_inputs: And `train_labels`: members of the training set.
        test_inputs: And `test_labels`: held out.
        fresh_inputs: And `fresh_labels`: training images moved a little, from the plan's seed.
        tuning: How copies of each model are fine-tuned.
        key: Names all of it.
        train_places: Which rows of the training data they are, without retired classes.
        test_places: The same of the held-out data.
        counted: Training and held-out rows of the data, without retired classes.
        unseen_inputs: And `unseen_labels`: classes that nobody was trained on, where some are
            given.
    """

    train_inputs: Images
    train_labels: Tensor
    test_inputs: Images
    test_labels: Tensor
    fresh_inputs: Tensor
    fresh_labels: Tensor
    tuning: Tuning
    key: str
    train_places: Tensor
    test_places: Tensor
    counted: tuple[int, int]
    unseen_inputs: Images | None = None
    unseen_labels: Tensor | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.test_inputs.shape[1:])


def for_audit(data: Data, model: Model, *, seed: int) -> AuditRows:
    """The audits' rows of an event's data, without classes that an earlier event took out.

    Args:
        seed: The plan's, which did not exist when the model was handed in.
    """
    from audits import fresh
    from audits.tuning import Tuning
    from flows.data import loaders
    from flows.data.view import chosen

    dataset = loaders.learned(data, model)
    forget = set(data.forget)
    caps = {c: FORGET_TRAIN if c in forget else RETAIN_TRAIN for c in range(dataset.classes)}
    train = _sample(dataset.train_labels, caps)
    held_out = {c: FORGET_TEST if c in forget else RETAIN_TEST for c in range(dataset.classes)}
    test = _sample(dataset.test_labels, held_out)
    further = _unseen(data, seed)
    moved = fresh.choose(dataset.train_labels, sorted(forget), seed=seed)
    unseen = data.unseen.to_json() if data.unseen else None
    version = data.before.version
    scope = [sorted(forget), model.retired, sorted(caps.items()), sorted(held_out.items())]
    applied = [data.spec.preprocessing.digest()] if data.spec.preprocessing else []
    tuning = Tuning(
        labels=dataset.test_labels[test].numpy(),
        forget=tuple(sorted(forget)),
        live=tuple(dataset.test_labels.unique().tolist()),
        seed=seed,
    )
    return AuditRows(
        train_inputs=chosen(dataset.train_inputs, train),
        train_labels=dataset.train_labels[train],
        test_inputs=chosen(dataset.test_inputs, test),
        test_labels=dataset.test_labels[test],
        fresh_inputs=fresh.perturbed(dataset.train_inputs[moved], seed=seed),
        fresh_labels=dataset.train_labels[moved],
        tuning=tuning,
        key=digest_bytes(canonical([version, *scope, FORGET_TEST, seed, FORMAT, unseen, *applied])),
        train_places=train,
        test_places=test,
        counted=(len(dataset.train_labels), len(dataset.test_labels)),
        unseen_inputs=further[0] if further else None,
        unseen_labels=further[1] if further else None,
    )


def smallest(data: Data) -> dict[str, int]:
    """Rows of the rarest class to forget that the audits will see."""
    from flows.data import loaders

    dataset = loaders.load(data.spec)
    counted = {
        "forget_train": (dataset.train_labels, FORGET_TRAIN),
        "forget_test": (dataset.test_labels, FORGET_TEST),
    }
    return {
        name: min(cap, *(int((labels == c).sum()) for c in data.forget))
        for name, (labels, cap) in counted.items()
    }


def drawn(classes: Sequence[int], seed: int) -> list[int]:
    """Half of the classes that were given, eight at least, all where there are no more.

    Drawn from a seed that did not exist when the model was handed in: nobody knew which they are.

    >>> drawn(range(6), 1), len(drawn(range(12), 1)), len(drawn(range(40), 1))
    ([0, 1, 2, 3, 4, 5], 8, 20)
    """
    import random

    count = min(len(classes), max(UNSEEN, len(classes) // 2))
    return sorted(random.Random(f"unseen {seed}").sample(list(classes), count))  # noqa: S311


def _unseen(data: Data, seed: int) -> tuple[Images, Tensor] | None:
    """Held-out rows of classes that nobody was trained on, as many of each as of a test class.

    Args:
        seed: The plan's, by which classes are drawn where more are given than are needed.
    Raises:
        DataError: They cannot be read, or do not have the shape of the event's images.
    """
    from flows.data import loaders
    from flows.data.view import chosen
    from flows.state.errors import DataError

    if data.unseen is None:
        return None
    dataset = loaders.load(data.unseen)
    shape = loaders.load(data.spec).input_shape
    if dataset.input_shape != shape:
        raise DataError(
            f"The unseen classes of '{dataset.name}' are {dataset.input_shape}, the model takes "
            f"{shape}. Give rows of the same kind, resized alike."
        )
    classes = drawn(dataset.test_labels.unique().tolist(), seed)
    rows = _sample(dataset.test_labels, dict.fromkeys(classes, FORGET_TEST))
    return chosen(dataset.test_inputs, rows), dataset.test_labels[rows]


def _sample(labels: Tensor, caps: dict[int, int]) -> Tensor:
    """Row numbers, at most `caps[c]` of each class, in ascending order."""
    import torch

    generator = torch.Generator().manual_seed(SPLIT_SEED)
    kept = []
    for c, cap in caps.items():
        rows = torch.nonzero(labels == c).flatten()
        kept.append(rows[torch.randperm(len(rows), generator=generator)[:cap]])
    return torch.cat(kept).sort().values
