"""Mend the head: give retain samples their original logits back, as far as the features allow.

Cutting disturbs what the head reads of retain samples as well. The features stay as the edit made
them, so that no probe of them reads more or less than before; only the head's rows of the classes
to keep are fitted anew, by ridge regression on retain samples alone. The rows of the forgotten
classes stay as the edit left them: what they say is not what decides an audit.

Source: ridge regression, A. Hoerl and R. Kennard 1970.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from damp.measurement import Reader
from damp.operators import Operator
from damp.outputs import logits_of
from damp.running import Batches, evaluating, exemplar, reading
from damp.whitening import WIDEST, ridged

RIDGE = 1e-3
"""Added to the diagonal of the features' covariance, as a share of its mean diagonal."""


@dataclass(slots=True, eq=False)
class Moments:
    """Sums over rows of features x (n, D) and of what their logits lack, e (n, C), in float64.

    Both are taken less a pivot, the mean of the first rows, so that large means cost no digits.
    """

    rows: int = 0
    pivot: Tensor | None = None
    features: Tensor | float = 0.0
    lacking: Tensor | float = 0.0
    gram: Tensor | float = 0.0
    cross: Tensor | float = 0.0

    def add(self, features: Tensor, lacking: Tensor) -> None:
        """More rows."""
        x, e = features.double(), lacking.double()
        if self.pivot is None:
            self.pivot = x.mean(0)
        x = x - self.pivot
        self.rows += len(x)
        self.features = self.features + x.sum(0)
        self.lacking = self.lacking + e.sum(0)
        self.gram = self.gram + x.T @ x
        self.cross = self.cross + x.T @ e

    def regression(self) -> tuple[Tensor, Tensor]:
        """Weights (C, D) and bias (C,) with the least squared error, the weights ridged.

        With S, Q the covariances of x with itself and with e: weights' = (S + ridge)^-1 Q, and the
        bias makes the mean error 0.
        """
        x, e = torch.as_tensor(self.features) / self.rows, torch.as_tensor(self.lacking) / self.rows
        spread = torch.as_tensor(self.gram) / self.rows - torch.outer(x, x)
        shared = torch.as_tensor(self.cross) / self.rows - torch.outer(x, e)
        if not float(spread.diagonal().sum()) > 0:
            return torch.zeros_like(shared.T), e
        factor = torch.linalg.cholesky(ridged(spread, RIDGE))
        weights = torch.cholesky_solve(shared, factor).T
        return weights, e - weights @ (x + torch.as_tensor(self.pivot))


def mend(
    edited: nn.Module,
    original: nn.Module,
    head: tuple[Operator, Reader],
    batches: Batches,
    gone: Sequence[int],
) -> str | None:
    """Fit the head's rows of the classes to keep anew, in place; one pass through both networks.

    Args:
        edited: After its cut; its batch norms are as they will stay.
        original: Before it; stays as it is.
        head: The last operator of `edited`, and how the network reads with it.
        batches: Pairs of inputs and labels; rows of `gone` classes are passed over.
        gone: Classes whose rows of the head stay: forgotten now, or retired before.
    Returns:
        None, or the reason why the head stays as it is.
    """
    operator, reader = head
    reason = _obstacle(operator, reader)
    if reason is not None:
        return reason
    found = Moments()
    with evaluating(edited), evaluating(original):
        for inputs, _ in reading(batches, exemplar(edited), ignore=gone):
            taken: list[tuple[Tensor, Tensor]] = []
            handle = operator.layer.register_forward_hook(
                lambda _, given, made, taken=taken: taken.append((given[0], made))
            )
            try:
                logits = logits_of(edited(inputs), len(inputs))
            finally:
                handle.remove()
            if not _gives(taken, logits):
                return "the head is not mended: what it gives are not the logits themselves"
            before = logits_of(original(inputs.to(exemplar(original))), len(inputs))
            found.add(taken[0][0], before.to(logits) - logits)
    if found.rows:
        _move(operator, *found.regression(), gone)
    return None


def _obstacle(operator: Operator, reader: Reader) -> str | None:
    """Why a head cannot be fitted anew, None where it can."""
    if not isinstance(operator.layer, nn.Linear) or operator.sharing:
        return "the head is not mended: it is no linear layer with a weight of its own"
    if operator.features > WIDEST:
        return f"the head is not mended: it reads {operator.features} features, above {WIDEST}"
    if not reader.all_heard:
        return "the head is not mended: the model does not add its bias as it stands"
    return None


def _gives(taken: Sequence[tuple[Tensor, Tensor]], logits: Tensor) -> bool:
    """Whether the head was called once, on one vector a sample, and gave the logits."""
    return len(taken) == 1 and taken[0][0].ndim == 2 and torch.equal(taken[0][1], logits)


def _move(operator: Operator, weights: Tensor, bias: Tensor, gone: Sequence[int]) -> None:
    """Add to the head's rows, except those of classes that are gone."""
    operator.give_biases()
    own, (shift,) = operator.parameter.detach(), operator.biases()
    kept = [label for label in range(len(own)) if label not in gone]
    own[kept] = (own[kept].double() + weights[kept]).to(own)
    if shift is not None:
        shift[kept] = (shift[kept].double() + bias[kept]).to(shift)
