"""How much is taken away."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score
from torch import nn

from damp.accumulator import Accumulator, RowOrder
from damp.measuring import measure, select_operators
from damp.strength import linear_ramp, probe_separability, shrinkage


def statistics(features, batches):
    """Of the inputs themselves."""
    return measure(torch.nn.Linear(features, 2).double(), batches).statistics[""]


@pytest.mark.parametrize("separability", [0.01, 0.5, 3.0, 200.0])
def test_shrinkage_balances_leftover_signal_and_disturbance(separability):
    best = minimize_scalar(lambda a: (1 - a) ** 2 * separability + a**2, bounds=(0, 1))
    strength = float(shrinkage(torch.tensor(separability, dtype=torch.float64)))
    assert strength == pytest.approx(best.x, abs=1e-5)


def test_shrinkage_stays_between_nothing_and_all():
    values = shrinkage(torch.tensor([0.0, 1e-9, 1.0, 1e9]), gain=3.0)
    assert values[0] == 0
    assert bool((values <= 1).all())
    assert bool((values.diff() > 0).all())


def test_the_ramp_grows_with_depth_and_ends_at_one():
    ramp = [linear_ramp(position, 5) for position in range(5)]
    assert ramp == sorted(ramp)
    assert ramp[-1] == 1


@pytest.mark.parametrize("spread", [1.0, 3.0, 8.0])
def test_probe_separability_is_that_of_an_independent_discriminant(clouds, split, spread):
    inputs, labels = clouds(3, 2, (5,), samples=2000, spread=spread)
    sums = statistics(5, split(inputs, labels))
    probe = LinearDiscriminantAnalysis().fit(inputs.numpy(), labels.numpy())
    scores = probe.decision_function(inputs.numpy())
    auc = roc_auc_score(labels.numpy(), scores)
    assert probe_separability(sums, (1,), sums.covariance([0])) == pytest.approx(
        2 * auc - 1, abs=0.02
    )


def test_classes_that_overlap_have_no_separability(split):
    generator = np.random.default_rng(0)
    inputs = torch.from_numpy(generator.normal(size=(4000, 3)))
    labels = torch.arange(4000) % 2
    sums = statistics(3, split(inputs, labels))
    assert probe_separability(sums, (1,), sums.covariance([0])) < 0.06


def test_the_probe_s_separability_is_that_of_fisher_s_discriminant(brute):
    """By explicit covariances: erf(D / 2) with D between the means of all samples of a group."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [30, 20, 10])
    rows = rng.normal(size=(60, 3)) * [1.0, 2.0, 0.5] + np.array([4.0, 5.0, 4.3])[labels][:, None]
    groups = ((0,), (1,), (2,))
    sums = Accumulator(3, 1, groups, 3, torch.device("cpu"))
    sums.add(torch.tensor(rows))
    place = torch.device("cpu")
    sums.add_block(RowOrder.from_labels(torch.tensor(labels), torch.arange(3), 3, place), 60)
    statistics = sums.freeze()
    own, others = rows[labels == 2], rows[labels != 2]
    raw = sum(np.cov(part, rowvar=False, bias=True) for part in (own, others)) / 2
    spread = raw + 0.01 * np.mean(np.diag(raw)) * np.eye(3)
    apart = own.mean(0) - others.mean(0)
    distance = math.sqrt(apart @ np.linalg.inv(spread) @ apart)
    ours = probe_separability(statistics, (2,), statistics.covariance((0, 1)))
    assert ours == pytest.approx(math.erf(distance / 2))


def test_a_container_or_an_operator_is_skipped_by_its_name_alone():
    model = nn.ModuleDict({"body": nn.Sequential(nn.Linear(2, 2)), "bodyguard": nn.Linear(2, 2)})
    for name, kept in (
        ("body", ["bodyguard"]),
        ("bodyguard", ["body.0"]),
        ("body.0", ["bodyguard"]),
    ):
        operators, skipped = select_operators(model, [name])
        assert [op.name for op in operators] == kept
        assert {entry.reason for entry in skipped} == {"it is named in `skip`"}
