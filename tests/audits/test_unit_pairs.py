"""Products of two little used units: which units, in whose units, and of which rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from audits import discriminant, sampling, unit_pairs, whitening
from audits.observation import Head


def by_hand(evidence, observation, units, rows):
    """Standardised products of the rows that are read, by loops."""
    parts = whitening.halves(evidence, rows, "unit_pairs")
    features = observation.features["penultimate"]
    retained = observation.head.weight[[0, 1, 3, 4, 5]]
    use = [
        np.linalg.norm(column - column.mean()) * unit.std()
        for column, unit in zip(retained.T, features.T, strict=True)
    ]
    alive = [j for j in range(features.shape[1]) if np.ptp(features[:, j]) > 0]
    chosen = sorted(sorted(alive, key=lambda j: use[j])[:units])
    # the scale of a unit is that of the retain rows that are not read, a dead one's the others'
    aside = features[parts.basis][:, chosen]
    floor = 1e-3 * aside.std()
    columns = {
        j: np.clip((features[parts.read, j] - own.mean()) / max(own.std(), floor), -4, 4)
        for j, own in zip(chosen, aside.T, strict=True)
    }
    products = np.stack([columns[i] * columns[j] for i, j in combinations(chosen, 2)], axis=1)
    return parts, (products - products.mean(0)) / products.std(0)


@pytest.mark.parametrize("rows", [4000, 120])
@pytest.mark.parametrize("units", [4, 12])
def test_both_figures_are_those_of_a_discriminant_on_the_products(world, units, rows):
    evidence = world.evidence()
    model = world.model("original", knows=True)
    features = model.features["penultimate"].copy()
    features[:, 3] = 0.7  # never used, and dead
    features[world.test_labels != 2, 5] = 0.1  # dead on all rows but the class's
    model = replace(model, features={**model.features, "penultimate": features})
    parts, products = by_hand(evidence, model, units, rows)
    labels = evidence.test_labels[parts.read]
    fold = sampling.folds(labels, 5, evidence.rng("unit_pairs.folds"))
    expected = discriminant.figures(evidence, products, labels, fold, (0.01,))
    measured = unit_pairs.multiplied(
        evidence, model, units=units, folds=5, shrinkage=0.01, rows=rows
    )
    assert list(measured) == ["unit_pairs.dprime@penultimate", "unit_pairs.auc@penultimate"]
    for figure in ("dprime", "auc"):
        one = measured[f"unit_pairs.{figure}@penultimate"]
        assert one.value == pytest.approx(expected[figure].value)
        assert one.interval() == pytest.approx(expected[figure].interval())


@pytest.mark.parametrize(("count", "runs"), [(10, True), (9, False)])
def test_two_rows_of_the_class_in_each_fold_are_enough(world, count, runs):
    labels = world.test_labels.copy()
    labels[np.flatnonzero(labels == 2)[count:]] = 0
    finding = unit_pairs.audit(world.evidence(test_labels=labels))
    assert (finding.status == "RUN") is runs
    assert runs or "Class 2 has 9 test rows and 10 are needed" in finding.reason
    assert finding.parameters["units"] == 12


@pytest.mark.parametrize(
    ("width", "varying", "words"),
    [(4, 4, ""), (4, 2, ""), (4, 1, "fewer than two of its units vary"), (5, 4, "reads 4 units")],
)
def test_pairs_need_the_units_of_the_head_and_two_that_vary(width, varying, words):
    features = np.ones((9, width))
    features[:, :varying] = np.random.default_rng(0).normal(size=(9, varying))
    head = Head(weight=np.ones((3, 4)), bias=np.zeros(3))
    why = unit_pairs._unusable(head, features)
    assert why == "" if not words else words in why
    assert "is not linear" in unit_pairs._unusable(None, features)


def test_the_least_used_units_move_a_softmax_least_and_dead_ones_are_none():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(50, 6)) * np.array([1.0, 2.0, 0.0, 0.1, 5.0, 1.0])
    weight = rng.normal(size=(3, 6))
    weight[:, 4] = 7.0  # the same for every class: a softmax does not see it
    use = [
        np.linalg.norm(weight[:, j] - weight[:, j].mean()) * features[:, j].std() for j in range(6)
    ]
    ranked = [j for j in np.argsort(use) if j != 2]
    assert ranked[0] == 4
    for units in (1, 3, 9):
        chosen = unit_pairs.least_used(weight, features, units)
        assert chosen.tolist() == sorted(ranked[:units])
