"""The plan of the presets that rest on the nearest mixture, against matrices in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from damp import mixture
from damp.plans import Case, OperatorPlan, PlanSettings
from tests.damp.test_paper import clouds, statistics_of

MEANS = [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [3.0, 3.0, 4.0], [1.0, 1.0, 0.5]]


def case_of(means=MEANS, forget=(2,), spread=0.4):
    rows, labels = clouds(means, spread)
    return rows, labels, Case.from_statistics(statistics_of(rows, labels), forget)


@pytest.mark.parametrize("gain", [1.0, 0.3])
@pytest.mark.parametrize("forget", [(2,), (1, 2)])
def test_the_plan_is_the_matrix_of_the_formulas(brute, gain, forget):
    rows, labels, case = case_of(forget=forget)
    ours = mixture.plan(case, PlanSettings(gain=gain, ramp=0.0))
    light = mixture.plan_light(case, PlanSettings(gain=gain, ramp=0.0))
    for plan, size in ((ours, gain), (light, 0.1 * gain)):
        expected, reference = brute.mixture(rows, labels, list(forget), gain=size)
        taken = plan.subspace.basis @ torch.diag(plan.strength) @ plan.subspace.dual.T
        np.testing.assert_allclose(taken, expected, atol=1e-4)
        np.testing.assert_allclose(plan.reference, reference, atol=1e-12)
        signal = size * np.array(plan.separability)
        np.testing.assert_allclose(plan.strength, signal / (1 + signal))
    targets, shares = case.statistics.prototypes(forget).numpy(), []
    covariance = brute.covariance(rows[~np.isin(labels, forget)])
    kept = brute.prototypes(rows, labels, [c for c in range(4) if c not in forget])
    for target in targets:
        rest = target - brute.mixture_weights(target, kept, covariance) @ kept
        shares.append(np.linalg.norm(rest) / np.linalg.norm(target))
    assert ours.residual == pytest.approx(max(shares), rel=1e-4)


def test_a_class_in_the_midst_of_the_others_has_nothing_to_take():
    inside = [[2.0, 0, 0], [0, 2.0, 0], [1.0, 1.0, 0], [0, 0, 2.0]]
    _, _, case = case_of(inside)
    why = mixture.plan(case, PlanSettings(gain=1.0, ramp=0.0))
    assert "not above the gate of 0.001" in why


@pytest.mark.parametrize(("above", "planned"), [(1e-9, True), (0.0, False)])
def test_a_residual_at_the_gate_is_noise(monkeypatch, above, planned):
    """For a class by itself, and for one beside another that is far above."""
    settings = PlanSettings(gain=1.0, ramp=0.0)
    means = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [5.0, 5.0, 9.0, 0], [0.5, 0.5, 0, 0.3]]
    _, _, lone = case_of(means, forget=(3,))
    _, _, both = case_of(means, forget=(2, 3))
    share = mixture.plan(lone, settings).residual
    monkeypatch.setattr(mixture, "GATE", share - above)
    assert isinstance(mixture.plan(lone, settings), OperatorPlan) is planned
    geometry = both.geometry()
    shares = geometry.residuals.norm(dim=1) / geometry.targets.norm(dim=1)
    monkeypatch.setattr(mixture, "GATE", float(shares.min()) - above)
    plan = mixture.plan(both, settings)
    assert plan.subspace.basis.shape[1] == (2 if planned else 1)
