import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score

from audits import accuracy, outputs

FORGET = 2


def test_a_model_that_still_predicts_the_class_is_seen(world, figures):
    original = figures(accuracy.audit(world.evidence(world.model("original", knows=True))))
    clean = figures(accuracy.audit(world.evidence()))
    assert original["accuracy.forget_before_retiring"].interval[0] > 0.9
    assert clean["accuracy.forget_before_retiring"].interval[1] < 0.07


def test_a_masked_output_hides_nothing_before_retiring(world, figures):
    """The published mistake: accuracy over the label space that is left is 0 for anybody."""
    masked = world.model("masked", knows=True, retired=(FORGET,))
    measured = figures(accuracy.audit(world.evidence(masked)))
    assert measured["accuracy.forget_after_retiring"].value == 0
    assert measured["accuracy.forget_before_retiring"].value > 0.9


def test_the_figures_agree_with_sklearn_and_scipy(world, figures):
    model = world.model("original", knows=True)
    measured = figures(accuracy.audit(world.evidence(model)))
    chosen, labels = model.test_logits.argmax(1), world.test_labels
    forgotten = labels == FORGET
    assert measured["accuracy.forget_before_retiring"].value == pytest.approx(
        accuracy_score(labels[forgotten], chosen[forgotten])
    )
    assert measured["accuracy.retain"].value == pytest.approx(
        accuracy_score(labels[~forgotten], chosen[~forgotten])
    )
    hits = int((chosen == labels)[forgotten].sum())
    theirs = stats.binomtest(hits, int(forgotten.sum())).proportion_ci(0.95, method="exact")
    assert measured["accuracy.forget_before_retiring"].interval == pytest.approx(tuple(theirs))


def test_selectivity_is_what_the_class_lost_beyond_the_others(world, figures):
    """Counted by hand on logits that are made up row by row."""
    original = world.model("original", knows=True)
    logits = np.full_like(original.test_logits, -5.0)
    logits[np.arange(len(logits)), world.test_labels] = 5.0
    perfect = replace(original, digest="perfect", test_logits=logits)
    spoilt = logits.copy()
    forgotten = np.flatnonzero(world.test_labels == FORGET)
    retained = np.flatnonzero(world.test_labels != FORGET)
    spoilt[forgotten[:45], FORGET] = -9.0
    spoilt[retained[:30]] *= -1
    edited = replace(original, digest="edited", test_logits=spoilt)
    evidence = world.evidence(edited, original=perfect)
    measured = figures(accuracy.audit(evidence))["accuracy.selectivity"]
    assert measured.value == pytest.approx(45 / 60 - 30 / 300)


def test_without_references_nothing_is_compared(world, figures):
    measured = figures(accuracy.audit(world.evidence(references=())))
    assert {m.against for m in measured.values()} == {"none"}
    assert all(m.difference is None and m.null == () for m in measured.values())


def test_a_class_that_an_earlier_event_retired_cannot_be_chosen(world, figures):
    original = replace(world.model("original", knows=True), retired=(5,))
    logits = original.test_logits.copy()
    logits[:, 5] = 100.0
    loud = replace(original, digest="loud", test_logits=logits, retired=(5, FORGET))
    rows = world.test_labels != 5
    measured = outputs.correct(world.evidence(loud, original=original), loud)
    assert measured[rows].mean() > 0.7


def test_the_picture_shows_every_class_against_the_range_of_the_retrained(world):
    series = accuracy.audit(world.evidence()).series["per_class"]
    assert series["forgotten"] == [c == FORGET for c in range(6)]
    for low, middle, high in zip(
        series["retrained_low"], series["retrained"], series["retrained_high"], strict=True
    ):
        assert low <= middle <= high


def test_nan_and_too_few_rows_are_named(world, make_world, with_nan):
    finding = accuracy.audit(world.evidence(with_nan(world.model("retrained", knows=False))))
    assert finding.status == "NOT_RUN"
    assert "The logits of the candidate hold NaN or infinity" in finding.reason
    few = make_world(per_class=1)
    finding = accuracy.audit(few.evidence())
    assert finding.status == "NOT_RUN"
    assert "Class 2 has 1 test rows and 2 are needed" in finding.reason


def test_a_selectivity_of_equal_answers_is_no_certainty(world):
    """60 images of the class and 300 others, none lost: as if one of each had been."""
    original = world.model("original", knows=True)
    evidence = world.evidence(replace(original, digest="the same"), original=original)
    own = accuracy.accuracies(evidence, evidence.candidate)["accuracy.selectivity"]
    assert own.value == 0
    assert [part.variance() for part in own.parts] == pytest.approx([1 / 60**2, 1 / 300**2])


def test_a_selectivity_lies_between_the_worst_and_the_best_and_has_two_groups_of_images():
    lost = np.array([1.0, 1.0, 0.0, -1.0, 0.0, 1.0])
    estimate = accuracy._selectivity(lost, lost, np.array([0, 1]), np.array([2, 3, 4, 5]))
    assert estimate.value == pytest.approx(1.0 - 0.0)
    assert estimate.bounds == (-1.0, 1.0)
    assert [part.freedom for part in estimate.parts] == [1, 3]


def test_a_class_without_test_rows_has_no_accuracy_and_warns_of_nothing(world):
    labels = np.where(world.test_labels == 5, 4, world.test_labels)
    evidence = world.evidence(test_labels=labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shares = accuracy.per_class(evidence, evidence.original)
    assert np.isnan(shares).tolist() == [False] * 5 + [True]
    hits = outputs.correct(evidence, evidence.original, masked=())
    assert shares[4] == pytest.approx(hits[labels == 4].mean())


def test_the_confidence_that_is_named_is_that_of_the_intervals(world, figures):
    """Where all of n answers are right, an exact interval begins at (half the error)^(1 / n)."""
    original = world.model("original", knows=True)
    logits = np.full_like(original.test_logits, -5.0)
    logits[np.arange(len(logits)), world.test_labels] = 5.0
    finding = accuracy.audit(
        world.evidence(replace(original, digest="all right", test_logits=logits))
    )
    forget, retain = (
        figures(finding)[name].interval
        for name in ("accuracy.forget_before_retiring", "accuracy.retain")
    )
    named = finding.parameters["confidence"]
    assert [1 - 2 * forget[0] ** 60, 1 - 2 * retain[0] ** 300] == pytest.approx([named, named])
