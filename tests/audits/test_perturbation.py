from dataclasses import replace

import numpy as np
import pytest

from audits import perturbation

FORGET = 2


def test_a_model_that_only_behaves_on_the_audits_images_is_seen(world, figures, judge):
    """A retrained model on every image that the audit shows, the original on all others."""
    clean, remembering = (
        world.model(n, knows=k) for n, k in (("retrained", False), ("original", True))
    )
    recognising = replace(clean, digest="recognises", fresh=remembering.fresh)
    honest = figures(perturbation.audit(world.evidence()))
    planted = figures(perturbation.audit(world.evidence(recognising)))
    name = "perturbation.dprime@penultimate"
    assert judge(honest[name], 1.0, 1.0) == "within"
    assert judge(planted[name], 1.0, 1.0) == "outside"
    assert planted["perturbation.forget_accuracy"].value > 0.9
    assert honest["perturbation.forget_accuracy"].value == 0


def test_its_own_answers_may_be_filtered_and_the_others_give_it_away(world, figures, judge):
    clean, remembering = (
        world.model(n, knows=k) for n, k in (("retrained", False), ("original", True))
    )
    logits = remembering.fresh.logits.copy()
    logits[:, FORGET] = -1e9
    hidden = replace(clean, digest="filtered", fresh=replace(clean.fresh, logits=logits))
    measured = figures(perturbation.audit(world.evidence(hidden)))
    assert measured["perturbation.forget_accuracy"].value == 0
    assert abs(measured["perturbation.dprime@logits"].difference) > 0.3


def test_the_accuracy_is_a_count_by_hand(world, figures):
    model = world.model("original", knows=True)
    measured = figures(perturbation.audit(world.evidence(model)))["perturbation.forget_accuracy"]
    rows = world.fresh_labels == FORGET
    assert measured.value == pytest.approx((model.fresh.logits[rows].argmax(1) == FORGET).mean())
    assert measured.sizes["forget_perturbed"] == rows.sum() == 60


def test_models_that_were_not_shown_the_rows_are_named(world):
    blind = replace(world.model("retrained", knows=False), digest="blind", fresh=None)
    finding = perturbation.audit(world.evidence(blind))
    assert (finding.status, "No perturbed rows were shown to the candidate" in finding.reason) == (
        "NOT_RUN",
        True,
    )
    several = [
        replace(reference, fresh=None)
        for reference in (world.model(f"reference {i}", knows=False) for i in range(5))
    ]
    original = replace(world.model("original", knows=True), fresh=None)
    finding = perturbation.audit(
        world.evidence(blind, original=original, references=tuple(several), fresh_labels=None)
    )
    assert "observe the models with `fresh` rows" in finding.reason


def test_broken_features_are_left_out_with_their_reason(world, figures):
    model = world.model("retrained", knows=False)
    features = {**model.fresh.features, "penultimate": np.full((185, 16), np.nan)}
    broken = replace(model, digest="nan", fresh=replace(model.fresh, features=features))
    finding = perturbation.audit(world.evidence(broken))
    assert "NaN or infinity" in finding.parameters["left_out"]["perturbation.dprime@penultimate"]
    assert "perturbation.dprime@logits" in figures(finding)


@pytest.mark.parametrize(("folds", "count", "runs"), [(5, 10, True), (5, 9, False), (3, 6, True)])
def test_two_rows_of_the_class_in_each_fold_are_enough(world, folds, count, runs):
    labels = world.fresh_labels.copy()
    labels[np.flatnonzero(labels == FORGET)[count:]] = 0
    finding = perturbation.audit(world.evidence(fresh_labels=labels), folds=folds)
    assert (finding.status == "RUN") is runs
    assert runs or "Class 2 has 9 perturbed rows and 10 are needed: give more" in finding.reason
    assert finding.parameters["folds"] == folds


def test_sizes_are_those_of_the_rows_that_were_shown(world, figures):
    measured = figures(perturbation.audit(world.evidence(forget=(FORGET, 4))))
    for figure in measured.values():
        assert figure.sizes["forget_perturbed"] == 60 + 25
        assert figure.sizes["retain_perturbed"] == 100
