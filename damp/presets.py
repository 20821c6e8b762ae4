"""The presets: from the statistics of one operator to a plan of what to take away.

A preset is one function and one entry in `PRESETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from damp.residuals import (
    GATE,
    Subspace,
    mixture_weights,
    relative,
    span_residuals,
    span_subspace,
    whitened_subspace,
)
from damp.statistics import Statistics
from damp.strength import probe_separability, shrinkage
from damp.whitening import Covariance, Metric

LIGHT = 0.1
"""Share of the gain with which readers are cut where a writer is rewritten as well."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What to do to the readers of one block of features.

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
class Settings:
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
    def of(cls, statistics: Statistics, forget: Sequence[int]) -> Case:
        """Of classes that all have samples, beside others that have some."""
        kept = statistics.others(forget)
        return cls(
            statistics=statistics,
            forget=tuple(forget),
            retain=kept,
            spread=statistics.covariance(kept),
        )

    def standing(self) -> Standing:
        """Where the classes to forget stand beside the nearest mixtures of those to keep."""
        retain = self.statistics.prototypes(self.retain)
        targets = self.statistics.prototypes(self.forget)
        metric = self.spread.metric()
        residuals = targets - mixture_weights(targets, retain, metric) @ retain
        return Standing(targets=targets, retain=retain, residuals=residuals, metric=metric)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standing:
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Preset:
    """A way to plan an edit, and what follows it.

    Attributes:
        plan: From statistics to what is taken away.
        recalibrates: Batch norms are re-estimated on retain samples.
        rewrites: The layer before the head is then made to write against what is left.
        mends: The head is then fitted anew to give retain samples their original logits.
    """

    plan: Callable[[Case, Settings], Plan | str]
    recalibrates: bool
    rewrites: bool = False
    mends: bool = False


def mixture(case: Case, settings: Settings) -> Plan | str:
    """Residuals to the nearest mixtures, strengths from their separability, bias compensated."""
    found = case.standing()
    shares = relative(found.residuals, found.targets)
    if not (shares > GATE).any():
        return below_gate(shares)
    subspace = whitened_subspace(found.residuals[shares > GATE], found.metric)
    return Plan(
        subspace=subspace,
        strength=shrinkage(subspace.separability, settings.gain),
        separability=tuple(subspace.separability.tolist()),
        reference=found.reference,
        residual=float(shares.max()),
    )


def light(case: Case, settings: Settings) -> Plan | str:
    """`mixture` at a tenth of its gain: what readers leave is for the rewritten layer to take."""
    return mixture(case, replace(settings, gain=LIGHT * settings.gain))


def paper(case: Case, settings: Settings) -> Plan | str:
    """Residuals to the span, one strength from a probe and the depth, bias untouched."""
    targets = case.statistics.prototypes(case.forget)
    residuals = span_residuals(targets, case.statistics.prototypes(case.retain))
    shares = relative(residuals, targets)
    if not (shares > GATE).any():
        return below_gate(shares)
    subspace = span_subspace(residuals[shares > GATE])
    separability = probe_separability(case.statistics, case.forget, case.spread)
    return Plan(
        subspace=subspace,
        strength=torch.full_like(subspace.separability, separability * settings.ramp),
        separability=(separability,),
        reference=None,
        residual=float(shares.max()),
    )


PRESETS: Mapping[str, Preset] = {
    "paper": Preset(plan=paper, recalibrates=False),
    "mixture": Preset(plan=mixture, recalibrates=True),
    "mended": Preset(plan=mixture, recalibrates=True, mends=True),
    "rewritten": Preset(plan=light, recalibrates=True, rewrites=True, mends=True),
}


def plan(
    preset: str, statistics: Statistics, forget: Sequence[int], settings: Settings
) -> Plan | str:
    """The plan for the readers of one block of features, or the reason why they stay as they are.

    Args:
        preset: Key of `PRESETS`.
        statistics: Of one block.
        forget: Classes to forget; those without samples do not count.
        settings: What the preset may depend on.
    """
    cut = tuple(label for label in forget if label in statistics.seen)
    if not cut:
        return "there is no class to forget"
    if not statistics.varies(statistics.others(cut)):
        return "the samples to keep are all alike at its input"
    return PRESETS[preset].plan(Case.of(statistics, cut), settings)


def plans(
    preset: str, statistics: Statistics, forget: Sequence[int], settings: Settings
) -> list[Plan | str]:
    """The plan for each block of an operator's features."""
    return [
        plan(preset, statistics.block(place), forget, settings)
        for place in range(statistics.blocks)
    ]


def below_gate(shares: Tensor) -> str:
    """Why an operator without a residual stays as it is."""
    largest = float(shares.max())
    return (
        f"its residual is {largest:.1e} of the prototype, not above the gate of {GATE:g}: "
        "the classes to keep explain the class to forget"
    )
