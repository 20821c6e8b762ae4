"""The presets `mixture`, `mended` and `rewritten`: residuals to the nearest mixtures."""

from __future__ import annotations

from dataclasses import replace

from damp.plans import Case, OperatorPlan, PlanSettings, below_gate
from damp.residuals import GATE, relative, whitened_subspace
from damp.strength import shrinkage

LIGHT = 0.1
"""Share of the gain with which readers are cut where a low-rank update follows."""


def plan(case: Case, settings: PlanSettings) -> OperatorPlan | str:
    """Residuals to the nearest mixtures, strengths from their separability, bias compensated."""
    geometry = case.geometry()
    shares = relative(geometry.residuals, geometry.targets)  # (f,)
    # a class that the others explain has a residual of rounding errors, and no direction
    if not (shares > GATE).any():
        return below_gate(shares)
    subspace = whitened_subspace(geometry.residuals[shares > GATE], geometry.metric)
    return OperatorPlan(
        subspace=subspace,
        strength=shrinkage(subspace.separability, settings.gain),  # (k,)
        separability=tuple(subspace.separability.tolist()),
        reference=geometry.reference,
        residual=float(shares.max()),
    )


def plan_light(case: Case, settings: PlanSettings) -> OperatorPlan | str:
    """`plan` at a tenth of its gain: what readers leave is for the low-rank update to take."""
    return plan(case, replace(settings, gain=LIGHT * settings.gain))
