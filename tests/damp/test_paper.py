"""Plans of the presets for statistics that are small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from damp import paper, plans, strength
from damp.accumulator import Accumulator, RowOrder
from damp.collection import group_numbers
from damp.plans import Case, OperatorPlan, PlanSettings

CPU = torch.device("cpu")
GROUPS = ((0,), (1,), (2,), (3,))


def statistics_of(rows, labels):
    """Of rows (n, D) of four classes, each with a second moment of its own."""
    sums = Accumulator(rows.shape[1], 1, GROUPS, 4, CPU)
    sums.add(torch.tensor(rows))
    order = RowOrder.from_labels(torch.tensor(labels), group_numbers(GROUPS, 4), 4, CPU)
    sums.add_block(order, len(labels))
    return sums.freeze()


def clouds(means, spread=0.1, seed=0):
    """Six rows about each of these means, whose means they are exactly."""
    noise = np.random.default_rng(seed).normal(size=(len(means), 6, len(means[0])))
    noise -= noise.mean(1, keepdims=True)
    rows = (np.array(means)[:, None] + spread * noise).reshape(-1, len(means[0]))
    return rows, np.repeat(np.arange(len(means)), 6)


MEANS = [[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [3.0, 3.0, 4.0, 0.0], [1.0, 1.0, 0.0, 1e-4]]
"""Two to keep that span the first two axes; one that holds 4 beyond, and one 1e-4."""


def case_of(forget):
    statistics = statistics_of(*clouds(MEANS))
    return Case.from_statistics(statistics, forget)


def test_the_plan_of_the_paper_takes_what_the_kept_classes_do_not_span():
    case = Case(
        statistics=statistics_of(*clouds(MEANS)),
        forget=(2,),
        retain=(0, 1),
        spread=statistics_of(*clouds(MEANS)).covariance((0, 1)),
    )
    ours = paper.plan(case, PlanSettings(gain=7.0, ramp=0.5))
    assert isinstance(ours, OperatorPlan)
    basis = ours.subspace.basis
    torch.testing.assert_close(
        basis @ ours.subspace.dual.T, torch.diag(torch.tensor([0, 0, 1.0, 0])).double()
    )
    (separability,) = ours.separability
    expected = strength.probe_separability(case.statistics, (2,), case.spread)
    assert separability == pytest.approx(expected)
    # one strength for all directions, times the ramp; the gain is for other presets
    assert ours.strength.tolist() == pytest.approx([separability * 0.5])
    assert ours.reference is None
    assert ours.residual == pytest.approx(4 / np.sqrt(34))


def test_directions_below_the_gate_are_noise_and_are_not_taken():
    """Both classes go: one holds .69 of itself beyond the others, the other .00007."""
    both = Case(
        statistics=statistics_of(*clouds(MEANS)),
        forget=(2, 3),
        retain=(0, 1),
        spread=statistics_of(*clouds(MEANS)).covariance((0, 1)),
    )
    ours = paper.plan(both, PlanSettings(gain=1.0, ramp=1.0))
    assert isinstance(ours, OperatorPlan)
    assert ours.subspace.basis.shape == (4, 1)
    assert abs(float(ours.subspace.basis[2, 0])) == pytest.approx(1.0)
    faint = Case(statistics=both.statistics, forget=(3,), retain=(0, 1), spread=both.spread)
    why = paper.plan(faint, PlanSettings(gain=1.0, ramp=1.0))
    assert why == (
        "its residual is 7.1e-05 of the prototype, not above the gate of 0.001: the classes to "
        "keep explain the class to forget"
    )


@pytest.mark.parametrize(("above", "planned"), [(1e-9, True), (0.0, False)])
def test_a_residual_at_the_gate_is_noise(monkeypatch, above, planned):
    """The gate is put where the class's own share lies, or just below it."""
    case = Case(
        statistics=statistics_of(*clouds(MEANS)),
        forget=(2,),
        retain=(0, 1),
        spread=statistics_of(*clouds(MEANS)).covariance((0, 1)),
    )
    whole = paper.plan(case, PlanSettings(gain=1.0, ramp=1.0))
    monkeypatch.setattr(paper, "GATE", whole.residual - above)
    assert isinstance(paper.plan(case, PlanSettings(gain=1.0, ramp=1.0)), OperatorPlan) is planned
    # beside one far above it, a class at the gate adds no direction
    statistics = statistics_of(
        *clouds([[1.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 4.0, 0], [3.0, 0, 0, 4.0]])
    )
    two = Case(
        statistics=statistics, forget=(2, 3), retain=(0, 1), spread=statistics.covariance((0, 1))
    )
    lone = Case(statistics=statistics, forget=(3,), retain=(0, 1), spread=two.spread)
    monkeypatch.setattr(paper, "GATE", 0.0)
    share = paper.plan(lone, PlanSettings(gain=1.0, ramp=1.0)).residual
    monkeypatch.setattr(paper, "GATE", share - above)
    ours = paper.plan(two, PlanSettings(gain=1.0, ramp=1.0))
    assert ours.subspace.basis.shape == (4, 2 if planned else 1)


def test_a_case_keeps_the_classes_that_have_samples():
    rows, labels = clouds(MEANS)
    statistics = statistics_of(rows[labels != 1], labels[labels != 1])
    case = Case.from_statistics(statistics, [2])
    assert (case.forget, case.retain) == ((2,), (0, 3))
    own = rows[np.isin(labels, (0, 3))]
    np.testing.assert_allclose(case.spread.matrix, np.cov(own, rowvar=False, bias=True), atol=1e-12)


def test_the_geometry_is_what_the_nearest_mixture_leaves(brute):
    rows, labels = clouds(MEANS, spread=0.4)
    geometry = case_of((2,)).geometry()
    statistics = statistics_of(rows, labels)
    geometry = Case.from_statistics(statistics, (2,)).geometry()
    kept = brute.prototypes(rows, labels, [0, 1, 3])
    covariance = brute.covariance(rows[labels != 2])
    weights = brute.mixture_weights(rows[labels == 2].mean(0), kept, covariance)
    expected = rows[labels == 2].mean(0) - weights @ kept
    np.testing.assert_allclose(geometry.residuals[0], expected, atol=1e-5)
    np.testing.assert_allclose(geometry.targets[0], [3, 3, 4, 0], atol=1e-12)
    np.testing.assert_allclose(geometry.retain, kept, atol=1e-12)
    np.testing.assert_allclose(geometry.reference, kept.mean(0), atol=1e-12)


def test_a_gate_says_the_largest_share():
    said = plans.below_gate(torch.tensor([1e-4, 2.5e-4]))
    assert said.startswith("its residual is 2.5e-04 of the prototype")
