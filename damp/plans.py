"""What a preset is asked, and what it answers: the plan for one block of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from damp.residuals import GATE, Subspace, mixture_weights
from damp.statistics import Statistics
from damp.whitening import Covariance, Metric


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OperatorPlan:
    """What to do to the operators that read one block of features.

    Attributes:
        subspace: Directions to take away.
        strength: a_j per direction, (k,).
        separability: What the strengths rest on.
        reference: m, (D,), which the edit leaves in place; None leaves the bias alone.
        residual: |d_f| / |mu_f|, the largest over the forget classes.
    """

    subspace: Subspace
    strength: Tensor
    separability: tuple[float, ...]
    reference: Tensor | None
    residual: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """What a preset may depend on beside the statistics: `ramp` for `paper`, `gain` for others."""

    gain: float
    ramp: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """What a preset is asked about: one block of one operator's features.

    Attributes:
        statistics: Of its pooled inputs.
        forget: Classes to forget, at least one.
        retain: Classes to keep that have samples.
        spread: Covariance of the samples to keep.
    """

    statistics: Statistics
    forget: tuple[int, ...]
    retain: tuple[int, ...]
    spread: Covariance

    @classmethod
    def from_statistics(cls, statistics: Statistics, forget: Sequence[int]) -> Case:
        """Of classes that all have samples, beside others that have some."""
        kept = statistics.others(forget)
        return cls(
            statistics=statistics,
            forget=tuple(forget),
            retain=kept,
            spread=statistics.covariance(kept),
        )

    def geometry(self) -> ClassGeometry:
        """Where the classes to forget lie beside the nearest mixtures of those to keep."""
        retain = self.statistics.prototypes(self.retain)  # (r, D)
        targets = self.statistics.prototypes(self.forget)  # (f, D)
        metric = self.spread.metric()
        # d_f = mu_f - t_f with t_f = sum_r w_r mu_r: docs/method.md, `mixture`, step 1
        residuals = targets - mixture_weights(targets, retain, metric) @ retain  # (f, D)
        return ClassGeometry(targets=targets, retain=retain, residuals=residuals, metric=metric)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassGeometry:
    """Prototypes as one block of features has them.

    Attributes:
        targets: Of the classes to forget, (f, D).
        retain: Of the classes to keep, (r, D).
        residuals: What the nearest mixtures do not explain, d_f = mu_f - t_f, (f, D).
        metric: The one in which samples to keep are round.
    """

    targets: Tensor
    retain: Tensor
    residuals: Tensor
    metric: Metric

    @property
    def reference(self) -> Tensor:
        """m, the mean of the retain prototypes, (D,)."""
        return self.retain.mean(0)


def below_gate(shares: Tensor) -> str:
    """Why an operator without a residual stays as it is; shares are |d_f| / |mu_f|, (f,)."""
    largest = float(shares.max())
    return (
        f"its residual is {largest:.1e} of the prototype, not above the gate of {GATE:g}: "
        "the classes to keep explain the class to forget"
    )
