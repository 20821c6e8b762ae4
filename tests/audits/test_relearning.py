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
    clean, known = (world.model(n, knows=k) for n, k in (("retrained", False), ("hid", True)))
    hidden = replace(
        clean,
        digest="hidden",
        relearned={**clean.relearned, "retain_only": known.relearned["retain_only"]},
    )
    seen = figures(relearning.audit(world.evidence(hidden)))
    assert judge(seen["relearning.retain_only.mean"], 0.15, 0.15) == "outside"
    assert judge(seen["relearning.few.mean"], 0.15, 0.15) == "within"


def test_the_figures_are_means_over_the_curves_by_hand(world, figures):
    evidence = world.evidence()
    seen = figures(relearning.audit(evidence))
    hits = evidence.candidate.relearned["few"]
    images = [
        [hits[d, 1:, q].mean() for d in range(2) if not np.isnan(hits[d, 0, q])]
        for q in range(hits.shape[2])
    ]
    expected = np.mean([np.mean(of_draws) for of_draws in images if of_draws])
    assert seen["relearning.few.mean"].value == pytest.approx(expected)
    low, high = seen["relearning.few.last"].interval
    assert low <= np.nanmean(hits[:, -1]) <= high


def test_both_curves_are_there_for_the_picture(world):
    told = relearning.audit(world.evidence()).series["curves"]
    for curve in ("few", "retain_only"):
        assert told[curve]["steps"] == [0, 4, 8, 12]
        assert len(told[curve]["candidate"]) == 4
        assert np.array(told[curve]["retrained"]).shape == (5, 4)
    assert told["few"]["original"][-1] > 0.9


def test_models_that_were_not_tuned_are_named(world):
    bare = replace(world.model("retrained", knows=False), digest="bare", relearned={})
    told = relearning.audit(world.evidence(bare))
    assert told.status == "NOT_RUN"
    assert "No copy was tuned of the candidate: observe them again" in told.reason
    told = relearning.audit(world.evidence(tuning=None))
    assert "observe the models with a `tuning`" in told.reason


def test_a_model_without_a_linear_head_is_tuned_on_the_others_alone(world, figures):
    model = world.model("retrained", knows=False)
    convolutional = replace(
        model, digest="conv", relearned={"retain_only": model.relearned["retain_only"]}
    )
    told = relearning.audit(world.evidence(convolutional))
    assert "no Linear layer" in told.parameters["left_out"]["relearning.few.mean"]
    assert "relearning.retain_only.mean" in figures(told)


def test_too_few_rows_to_tune_on_are_told(make_world):
    small = make_world(per_class=11)
    told = relearning.audit(small.evidence(tuning=replace(small.tuning(), shots=12)))
    assert told.status == "NOT_RUN"
    assert "a class has 11 test rows and 12 are tuned on" in told.reason
