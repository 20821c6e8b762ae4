"""Refit the head: give retain samples their original logits back, as far as the features allow.

Cutting disturbs what the head reads of retain samples as well. The features stay as the edit made
them, so that no probe of them reads more or less than before; only the head's rows of the classes
to keep are refitted, by ridge regression on retain samples alone. The rows of the forgotten
classes stay as the edit left them: no audit is decided by what they say.

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
from damp.running import Batches, evaluating, exemplar, read_batches
from damp.whitening import WIDEST, ridged

RIDGE = 1e-3
"""Added to the diagonal of the features' covariance, as a share of its mean diagonal."""


@dataclass(slots=True, eq=False)
class RegressionSums:
    """Sums over rows of features x (n, D) and of what their logits lack, e (n, C), in float64.

    Both are taken less a pivot, the mean of the first rows, so that large means cost no digits.
    """

    rows: int = 0
    pivot: Tensor | None = None
    features: Tensor | float = 0.0  # (D,)
    deficit: Tensor | float = 0.0  # (C,)
    gram: Tensor | float = 0.0  # (D, D)
    cross: Tensor | float = 0.0  # (D, C)

    def add(self, features: Tensor, deficit: Tensor) -> None:
        """More rows."""
        x, e = features.double(), deficit.double()  # (n, D), (n, C)
        if self.pivot is None:
            self.pivot = x.mean(0)  # (D,)
        x = x - self.pivot
        self.rows += len(x)
        self.features = self.features + x.sum(0)
        self.deficit = self.deficit + e.sum(0)
        self.gram = self.gram + x.T @ x
        self.cross = self.cross + x.T @ e

    def regression(self) -> tuple[Tensor, Tensor]:
        """Weights (C, D) and bias (C,) with the least squared error, the weights ridged.

        With S, Q the covariances of x with itself and with e: weights' = (S + ridge)^-1 Q, and the
        bias makes the mean error 0.
        """
        x, e = torch.as_tensor(self.features) / self.rows, torch.as_tensor(self.deficit) / self.rows
        spread = torch.as_tensor(self.gram) / self.rows - torch.outer(x, x)  # S, (D, D)
        shared = torch.as_tensor(self.cross) / self.rows - torch.outer(x, e)  # Q, (D, C)
        # features that do not vary explain nothing: only the bias can move
        if not float(spread.diagonal().sum()) > 0:
            return torch.zeros_like(shared.T), e
        factor = torch.linalg.cholesky(ridged(spread, RIDGE))
        weights = torch.cholesky_solve(shared, factor).T
        # sums were taken about the pivot, the head reads features as they are
        return weights, e - weights @ (x + torch.as_tensor(self.pivot))


def refit_head(
    edited: nn.Module,
    original: nn.Module,
    head: tuple[Operator, Reader],
    batches: Batches,
    excluded: Sequence[int],
) -> str | None:
    """Refit the head's rows of the classes to keep, in place; one pass through both networks.

    Args:
        edited: After its cut; its batch norms are as they will stay.
        original: Before it; stays as it is.
        head: The last operator of `edited`, and how the network reads with it.
        batches: Pairs of inputs and labels; rows of `excluded` classes are passed over.
        excluded: Classes whose rows of the head stay: forgotten now, or retired before.
    Returns:
        None, or the reason why the head stays as it is.
    """
    operator, reader = head
    reason = _obstacle(operator, reader)
    if reason is not None:
        return reason
    sums = RegressionSums()
    with evaluating(edited), evaluating(original):
        for inputs, _ in read_batches(batches, exemplar(edited), ignore=excluded):
            calls: list[tuple[Tensor, Tensor]] = []
            handle = operator.layer.register_forward_hook(
                lambda _, args, output, calls=calls: calls.append((args[0], output))
            )
            try:
                logits = logits_of(edited(inputs), len(inputs))
            finally:
                handle.remove()
            if not _outputs_logits(calls, logits):
                return "the head is not refitted: what it gives are not the logits themselves"
            # e = what the original answered and the edited network does not, (B, C)
            before = logits_of(original(inputs.to(exemplar(original))), len(inputs))
            sums.add(calls[0][0], before.to(logits) - logits)
    if sums.rows:
        _add_to_rows(operator, *sums.regression(), excluded)
    return None


def _obstacle(operator: Operator, reader: Reader) -> str | None:
    """Why a head cannot be refitted, None where it can."""
    if not isinstance(operator.layer, nn.Linear) or operator.sharing:
        return "the head is not refitted: it is no linear layer with a weight of its own"
    if operator.features > WIDEST:
        return f"the head is not refitted: it reads {operator.features} features, above {WIDEST}"
    if not reader.bias_fully_applied:
        return "the head is not refitted: its bias is not applied unmodified in forward()"
    return None


def _outputs_logits(calls: Sequence[tuple[Tensor, Tensor]], logits: Tensor) -> bool:
    """Whether the head was called once, on one vector a sample, and gave the logits."""
    return len(calls) == 1 and calls[0][0].ndim == 2 and torch.equal(calls[0][1], logits)


def _add_to_rows(
    operator: Operator, weights: Tensor, bias: Tensor, excluded: Sequence[int]
) -> None:
    """Add to the head's rows, except those of excluded classes."""
    operator.ensure_biases()
    own, (shift,) = operator.parameter.detach(), operator.biases()  # (C, D), (C,)
    kept = [label for label in range(len(own)) if label not in excluded]
    own[kept] = (own[kept].double() + weights[kept]).to(own)
    if shift is not None:
        shift[kept] = (shift[kept].double() + bias[kept]).to(shift)
