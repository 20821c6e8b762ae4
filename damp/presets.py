"""The two presets: from the statistics of one operator to a plan of what to take away.

A preset is one function and one entry in `PRESETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from damp.residuals import (
    GATE,
    Subspace,
    mixture_residuals,
    relative,
    ridged,
    span_residuals,
    span_subspace,
    whitened_subspace,
)
from damp.statistics import Statistics
from damp.strength import probe_separability, shrinkage


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What to do to one operator.

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
    """What a preset may depend on beside the statistics: `gain` (mixture), `ramp` (paper)."""

    gain: float
    ramp: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Preset:
    """A way to plan an edit, and whether batch norms are re-estimated after it."""

    plan: Callable[[Statistics, Settings], Plan | str]
    recalibrates: bool


def mixture(statistics: Statistics, settings: Settings) -> Plan | str:
    """Residuals to the nearest mixtures, strengths from their separability, bias compensated."""
    retain = statistics.prototypes(statistics.retain)
    targets = statistics.prototypes(statistics.forget)
    factor = torch.linalg.cholesky(ridged(statistics.retain_covariance()))
    residuals = mixture_residuals(targets, retain, factor)
    shares = relative(residuals, targets)
    if not (shares > GATE).any():
        return below_gate(shares)
    subspace = whitened_subspace(residuals[shares > GATE], factor)
    return Plan(
        subspace=subspace,
        strength=shrinkage(subspace.separability, settings.gain),
        separability=tuple(subspace.separability.tolist()),
        reference=retain.mean(0),
        residual=float(shares.max()),
    )


def paper(statistics: Statistics, settings: Settings) -> Plan | str:
    """Residuals to the span, one strength from a probe and the depth, bias untouched."""
    targets = statistics.prototypes(statistics.forget)
    residuals = span_residuals(targets, statistics.prototypes(statistics.retain))
    shares = relative(residuals, targets)
    if not (shares > GATE).any():
        return below_gate(shares)
    subspace = span_subspace(residuals[shares > GATE])
    separability = probe_separability(statistics)
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
}


def plan(preset: str, statistics: Statistics, settings: Settings) -> Plan | str:
    """The plan for one operator, or the reason why it stays as it is."""
    if not statistics.forget:
        return "there is no class to forget"
    if not statistics.varies():
        return "the samples to keep are all alike at its input"
    return PRESETS[preset].plan(statistics, settings)


def below_gate(shares: Tensor) -> str:
    """Why an operator without a residual stays as it is."""
    largest = float(shares.max())
    return (
        f"its residual is {largest:.1e} of the prototype, not above the gate of {GATE:g}: "
        "the classes to keep explain the class to forget"
    )
