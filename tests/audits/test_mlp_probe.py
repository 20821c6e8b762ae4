"""Small networks as readers: what they answer, and of which rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from audits import discriminant, mlp_probe, sampling, whitening


@pytest.fixture
def rows():
    """Rows that are told by the length of two features, and which."""
    rows = np.random.default_rng(0).normal(size=(120, 3))
    return rows, (rows[:, 0] ** 2 + rows[:, 1] ** 2) > 1.5


def test_answers_are_the_log_odds_of_the_fitted_network(rows):
    inputs, own = rows
    network = mlp_probe.fitted(inputs, own, 7, 5, 1.0, 2000)
    other = MLPClassifier(
        (5,), solver="lbfgs", alpha=1.0, max_iter=2000, tol=mlp_probe.TOLERANCE, random_state=7
    ).fit(inputs, own)
    chances = other.predict_proba(inputs)
    np.testing.assert_allclose(network(inputs), np.log(chances[:, 1] / chances[:, 0]), rtol=1e-6)


def test_each_row_is_read_by_networks_that_were_fitted_without_it(rows):
    """Rows that are neither the class's nor to keep are read and not fitted on."""
    inputs, own = rows
    retain = ~own & (np.arange(120) % 5 > 0)
    fold = np.arange(120) % 3
    starts = [3, 8]
    scores = mlp_probe._held_out(inputs, own, retain, fold, starts, 4, 2.0, 2000)
    for number in range(3):
        held = fold == number
        used = ~held & (own | retain)
        networks = [mlp_probe.fitted(inputs[used], own[used], s, 4, 2.0, 2000) for s in starts]
        expected = np.mean([network(inputs[held]) for network in networks], axis=0)
        np.testing.assert_allclose(scores[held], expected)


def test_both_figures_are_those_of_the_scores_on_whitened_rows(world):
    evidence, model = world.evidence(), world.model("original", knows=True)
    settings = {"folds": 3, "seeds": 2, "hidden": 3, "penalty": 10.0, "steps": 2000}
    measured = mlp_probe.learned(evidence, model, **settings, rows=200, most=6)
    parts = whitening.halves(evidence, 200, "mlp_probe")
    features = model.features["penultimate"]
    inputs = whitening.whitened(
        whitening.components(features[parts.basis]), features[parts.read], 6
    )
    labels = evidence.test_labels[parts.read]
    fold = sampling.folds(labels, 3, evidence.rng("mlp_probe.folds"))
    starts = [int(s) for s in evidence.rng("mlp_probe.seeds").integers(2**31, size=2)]
    own = labels == 2
    scores = mlp_probe._held_out(inputs, own, ~own, fold, starts, 3, 10.0, 2000)
    expected = discriminant.figures_of({2: scores}, labels, ~own)
    for figure in ("dprime", "auc"):
        value = measured[f"mlp_probe.{figure}@penultimate"].value
        assert value == pytest.approx(expected[figure].value)


@pytest.mark.parametrize(("count", "runs"), [(6, True), (5, False)])
def test_two_rows_of_the_class_in_each_fold_are_enough(world, count, runs):
    labels = world.test_labels.copy()
    labels[np.flatnonzero(labels == 2)[count:]] = 0
    evidence = world.evidence(test_labels=labels, references=())
    finding = mlp_probe.audit(evidence, folds=3, seeds=1, hidden=2, rows=120)
    assert (finding.status == "RUN") is runs
    assert runs or "Class 2 has 5 test rows and 6 are needed" in finding.reason
    assert (finding.parameters["folds"], finding.parameters["hidden"]) == (3, 2)
