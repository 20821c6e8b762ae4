"""One model probed at every depth: what is asked of the discriminant, and what comes back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audits import depth_probe, discriminant, sampling, whitening
from audits.estimates import TEST_ROWS

SETTINGS = {"folds": 4, "shrinkage": 1e-3, "rows": 200, "widest": 512}
FIGURES = ("dprime", "auc", "recall", "tail")
DEPTHS = ("body", "penultimate", "logits")


def at(observation, depth):
    """Features at a depth; the logits are those of the classes that stay, centred."""
    if depth != "logits":
        return np.asarray(observation.features[depth], dtype=np.float64)
    kept = observation.test_logits[:, [0, 1, 3, 4, 5]]
    return kept - kept.mean(1, keepdims=True)


@pytest.fixture(scope="module")
def evidence(world):
    return world.evidence()


def test_every_figure_of_every_depth_is_that_of_the_discriminant(world, evidence):
    model = evidence.original
    estimates = depth_probe.probed(evidence, model, **SETTINGS)
    assert list(estimates) == [f"linear_probe.{f}@{d}" for d in DEPTHS for f in FIGURES]
    chosen = sampling.capped(evidence, 200, "linear_probe.rows")
    labels = world.test_labels[chosen]
    fold = sampling.folds(labels, 4, evidence.rng("linear_probe.folds"))
    parts = whitening.halves(evidence, 200, "linear_probe.tail")
    of_read = world.test_labels[parts.read]
    fold_of_read = sampling.folds(of_read, 4, evidence.rng("linear_probe.tail.folds"))
    for depth in DEPTHS:
        features = at(model, depth)
        scaled = discriminant.standardised(features[chosen])
        plain = discriminant.figures(evidence, scaled, labels, fold, 1e-3)
        for figure in ("dprime", "auc", "recall"):
            ours = estimates[f"linear_probe.{figure}@{depth}"]
            assert ours.value == pytest.approx(plain[figure].value)
        basis = whitening.components(features[parts.basis])
        low = discriminant.standardised(whitening.tail(basis, features[parts.read]))
        tail = discriminant.figures(evidence, low, of_read, fold_of_read, (1e-6, 1e-4, 1e-2))
        ours = estimates[f"linear_probe.tail@{depth}"]
        assert ours.value == pytest.approx(tail["dprime"].value)


def test_a_distance_says_of_which_test_rows_it_is(world, evidence):
    estimates = depth_probe.probed(evidence, evidence.original, **SETTINGS)
    chosen = sampling.capped(evidence, 200, "linear_probe.rows")
    own, others = estimates["linear_probe.dprime@body"].parts
    labels = world.test_labels[chosen]
    assert own.units.source == others.units.source == TEST_ROWS
    assert own.units.rows.tolist() == chosen[labels == 2].tolist()
    assert others.units.rows.tolist() == chosen[labels != 2].tolist()


def test_a_depth_without_numbers_says_so_and_the_others_are_read(evidence):
    model = evidence.original
    broken = model.features["body"].copy()
    broken[:] = 1.0
    changed = replace(
        model,
        digest="flat",
        features={"body": broken, "penultimate": model.features["penultimate"]},
    )
    estimates = depth_probe.probed(evidence, changed, **SETTINGS)
    why = "the features are the same for every image"
    assert [estimates[f"linear_probe.{f}@body"] for f in FIGURES] == [why] * 4
    assert not isinstance(estimates["linear_probe.dprime@penultimate"], str)


def test_too_few_rows_for_directions_leave_the_tail_out(make_world):
    few = make_world(per_class=4)
    evidence = few.evidence()
    estimates = depth_probe.probed(evidence, evidence.original, **{**SETTINGS, "folds": 2})
    why = "retain rows are left to find directions by and 10 are needed"
    few_rows = make_world(per_class=3).evidence()
    lacking = depth_probe.probed(few_rows, few_rows.original, **{**SETTINGS, "folds": 2})
    assert why in lacking["linear_probe.tail@body"]
    assert not isinstance(estimates["linear_probe.tail@body"], str)


def test_a_tail_in_which_nothing_varies_is_left_out(evidence):
    """One unit varies on the retain rows; without it all rows are alike."""
    model = evidence.original
    single = np.zeros_like(model.features["body"])
    single[:, 0] = model.features["body"][:, 0]
    changed = replace(model, digest="single", features={"body": single})
    estimates = depth_probe.probed(evidence, changed, **SETTINGS)
    assert estimates["linear_probe.tail@body"] == "the features are the same for every image"
    assert not isinstance(estimates["linear_probe.dprime@body"], str)


@pytest.mark.parametrize(
    ("rows", "width", "one"),
    [(40, 10, True), (39, 10, False), (40, 11, False), (44, 11, False), (400, 10, True)],
)
def test_four_rows_a_feature_determine_a_covariance_up_to_a_width(rows, width, one):
    shrinkages = depth_probe.enough(np.zeros((rows, width)), 0.5, 10)
    assert shrinkages == (0.5 if one else (1e-6, 1e-4, 1e-2))


def test_both_audits_read_a_model_once_with_the_same_settings():
    assert dict(depth_probe.SETTINGS) == {
        "folds": 5,
        "shrinkage": 1e-6,
        "rows": 4000,
        "widest": 512,
    }
