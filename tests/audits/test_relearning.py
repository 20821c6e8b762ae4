from dataclasses import replace

import numpy as np
import pytest

from audits import relearning


def test_a_class_that_comes_back_at_once_is_seen(world, figures, judge):
    clean = figures(relearning.audit(world.evidence()))
    planted = figures(relearning.audit(world.evidence(world.model("edited", knows=True))))
    assert judge(clean["relearning.few.mean"], 0.15, 0.15) == "within"
    assert judge(planted["relearning.few.mean"], 0.15, 0.15) == "outside"


def test_a_class_that_retain_tuning_alone_revives_is_seen(world, figures, judge):
    """Quick to learn like a retrained model, and back unasked: hidden, not gone."""
    clean, remembering = (world.model(n, knows=k) for n, k in (("retrained", False), ("hid", True)))
    hidden = replace(
        clean,
        digest="hidden",
        relearned={**clean.relearned, "retain_only": remembering.relearned["retain_only"]},
    )
    measured = figures(relearning.audit(world.evidence(hidden)))
    assert judge(measured["relearning.retain_only.mean"], 0.15, 0.15) == "outside"
    assert judge(measured["relearning.few.mean"], 0.15, 0.15) == "within"


def test_the_figures_are_means_over_the_curves_by_hand(world, figures):
    evidence = world.evidence()
    measured = figures(relearning.audit(evidence))
    hits = evidence.candidate.relearned["few"]
    images = [
        [hits[d, 1:, q].mean() for d in range(2) if not np.isnan(hits[d, 0, q])]
        for q in range(hits.shape[2])
    ]
    expected = np.mean([np.mean(of_draws) for of_draws in images if of_draws])
    assert measured["relearning.few.mean"].value == pytest.approx(expected)
    low, high = measured["relearning.few.last"].interval
    assert low <= np.nanmean(hits[:, -1]) <= high


def test_both_curves_are_there_for_the_picture(world):
    curves = relearning.audit(world.evidence()).series["curves"]
    for curve in ("few", "retain_only"):
        assert curves[curve]["steps"] == [0, 4, 8, 12]
        assert len(curves[curve]["candidate"]) == 4
        assert np.array(curves[curve]["retrained"]).shape == (5, 4)
    assert curves["few"]["original"][-1] > 0.9


def test_models_that_were_not_tuned_are_named(world):
    bare = replace(world.model("retrained", knows=False), digest="bare", relearned={})
    finding = relearning.audit(world.evidence(bare))
    assert finding.status == "NOT_RUN"
    assert "No copy was tuned of the candidate: observe them again" in finding.reason
    finding = relearning.audit(world.evidence(tuning=None))
    assert "observe the models with a `tuning`" in finding.reason


def test_a_model_without_a_linear_head_is_tuned_on_the_others_alone(world, figures):
    model = world.model("retrained", knows=False)
    convolutional = replace(
        model, digest="conv", relearned={"retain_only": model.relearned["retain_only"]}
    )
    finding = relearning.audit(world.evidence(convolutional))
    assert "no Linear layer" in finding.parameters["left_out"]["relearning.few.mean"]
    assert "relearning.retain_only.mean" in figures(finding)


def test_too_few_rows_to_tune_on_are_told(make_world):
    small = make_world(per_class=11)
    finding = relearning.audit(small.evidence(tuning=replace(small.tuning(), shots=12)))
    assert finding.status == "NOT_RUN"
    assert "a class has 11 test rows and 12 are tuned on" in finding.reason
