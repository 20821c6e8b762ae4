from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from audits import head_refit, sampling

FORGET = 2


def test_a_class_that_a_fresh_head_recovers_is_seen(world, figures, judge):
    clean, planted = (
        figures(head_refit.audit(world.evidence(candidate), draws=2))
        for candidate in (None, world.model("edited", knows=True))
    )
    assert judge(clean["head_refit.forget"], 0.25, 0.25) == "within"
    assert judge(planted["head_refit.forget"], 0.25, 0.25) == "outside"
    assert abs(clean["head_refit.retain"].difference) < 0.05


def test_the_head_agrees_with_sklearns_pipeline(world, figures):
    """Fitted on the support images alone, scored on the others, draw by draw."""
    evidence, draws = world.evidence(), 2
    measured = figures(head_refit.audit(evidence, draws=draws))["head_refit.forget"].value
    features = evidence.candidate.features["penultimate"].astype(float)
    labels = world.test_labels
    chosen = sampling.supports(
        labels, range(6), shots=10, draws=draws, generator=evidence.rng("head_refit")
    )
    hits = np.full((draws, len(labels)), np.nan)
    for draw, support in enumerate(chosen):
        rows = support.ravel()
        head = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000, tol=1e-3))
        head.fit(features[rows], labels[rows])
        hits[draw] = head.predict(features) == labels
        hits[draw, rows] = np.nan
    own = hits[:, labels == FORGET]
    expected = np.nanmean(own[:, ~np.isnan(own).all(0)], axis=0).mean()
    assert measured == pytest.approx(expected, abs=0.01)


def test_rescaled_features_hide_nothing(world, figures):
    remembering = world.model("edited", knows=True)
    scale = np.logspace(-4, 3, 16)
    features = {**remembering.features, "penultimate": remembering.features["penultimate"] * scale}
    hidden = replace(remembering, digest="rescaled", features=features)
    plain, disguised = (
        figures(head_refit.audit(world.evidence(m), draws=2))["head_refit.forget"].value
        for m in (remembering, hidden)
    )
    assert disguised == pytest.approx(plain, abs=0.02)


def test_constant_features_do_not_run(world):
    model = world.model("retrained", knows=False)
    features = {**model.features, "penultimate": np.ones((360, 16))}
    finding = head_refit.audit(
        world.evidence(replace(model, digest="constant", features=features)), draws=2
    )
    assert finding.status == "NOT_RUN"
    assert "the features are the same for every image" in finding.reason


def test_a_fit_that_does_not_converge_is_left_out_and_gives_no_number(world):
    finding = head_refit.audit(world.evidence(), draws=2, steps=1)
    assert (finding.status, finding.measurements) == ("NOT_RUN", ())
    assert "did not converge in 1 steps" in finding.reason
    assert "allow more steps" in finding.reason
    assert head_refit.audit(world.evidence(), draws=2).status == "RUN"


def test_too_few_rows_do_not_run(make_world):
    finding = head_refit.audit(make_world(per_class=15).evidence())
    assert finding.status == "NOT_RUN"
    assert "Class 2 has 15 test rows and 20 are needed" in finding.reason


def test_a_small_cap_leaves_each_class_its_shots_and_its_questions(world, figures):
    """Fifteen rows of six classes are fewer than ten shots each: more of them are taken."""
    capped = head_refit.audit(world.evidence(), draws=2, rows=15)
    every = figures(head_refit.audit(world.evidence(), draws=2))
    assert capped.status == "RUN"
    assert figures(capped)["head_refit.forget"].value == pytest.approx(
        every["head_refit.forget"].value, abs=0.25
    )
