"""The preset `paper`: residuals to the span of the retain prototypes, as DAMP has them.

Source: arXiv:2604.15166.
"""

from __future__ import annotations

import torch

from damp.plans import Case, OperatorPlan, PlanSettings, below_gate
from damp.residuals import GATE, relative, span_residuals, span_subspace
from damp.strength import probe_separability


def plan(case: Case, settings: PlanSettings) -> OperatorPlan | str:
    """Residuals to the span, one strength from a probe and the depth, bias untouched."""
    targets = case.statistics.prototypes(case.forget)  # (f, D)
    residuals = span_residuals(targets, case.statistics.prototypes(case.retain))  # (f, D)
    shares = relative(residuals, targets)  # (f,)
    if not (shares > GATE).any():
        return below_gate(shares)
    subspace = span_subspace(residuals[shares > GATE])
    separability = probe_separability(case.statistics, case.forget, case.spread)
    return OperatorPlan(
        subspace=subspace,
        # the same for all directions: the probe sees the classes to forget as one, (k,)
        strength=torch.full_like(subspace.separability, separability * settings.ramp),
        separability=(separability,),
        reference=None,
        residual=float(shares.max()),
    )
