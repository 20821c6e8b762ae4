from dataclasses import replace

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix

from audits import utility
from audits.outputs import confidence, correct

FORGET = 2


def broken(world, share):
    """A model that never saw the class and answers a share of class 4 wrong."""
    model = world.model("retrained", knows=False)
    logits = model.test_logits.copy()
    rows = np.flatnonzero(world.test_labels == 4)
    logits[rows[: int(share * len(rows))], 0] = 50.0
    return replace(model, digest=f"broken {share}", test_logits=logits)


def test_a_damaged_class_is_seen_and_a_retrained_model_is_not(world, figures, judge):
    clean = figures(utility.audit(world.evidence()))
    planted = figures(utility.audit(world.evidence(broken(world, 0.5))))
    assert judge(clean["utility.worst_class"], 0.15, 1.0) == "within"
    assert judge(planted["utility.worst_class"], 0.15, 1.0) == "outside"
    assert planted["utility.retain_accuracy"].difference == pytest.approx(-0.1, abs=0.02)
    assert planted["utility.retain_accuracy"].against == "original"


def test_the_worst_class_is_the_least_on_sklearns_diagonal(world, figures):
    model = broken(world, 0.3)
    measured = figures(utility.audit(world.evidence(model)))["utility.worst_class"].value
    table = confusion_matrix(world.test_labels, model.test_logits.argmax(1), normalize="true")
    assert measured == pytest.approx(np.delete(table.diagonal(), FORGET).min())


def test_a_sure_and_wrong_model_is_badly_calibrated(world, figures):
    model = broken(world, 0.5)
    hot = replace(model, digest="hot", test_logits=model.test_logits * 20)
    measured = figures(utility.audit(world.evidence(hot)))["utility.ece"]
    clean = figures(utility.audit(world.evidence()))["utility.ece"]
    assert measured.value > clean.value + 0.05


def test_the_calibration_error_agrees_with_sklearns_curve(world):
    model = broken(world, 0.3)
    evidence = world.evidence(model)
    rows = evidence.test_rows(evidence.retain)
    hits, sure = correct(evidence, model)[rows], confidence(evidence, model)[rows]
    ours = utility.calibration_error(sure, hits, 15).value
    share, mean = calibration_curve(hits, sure, n_bins=15)
    edges = np.linspace(0, 1, 16)
    sizes = np.histogram(sure, edges)[0]
    assert ours == pytest.approx(np.abs(share - mean) @ sizes[sizes > 0] / len(rows))


def test_a_retired_output_takes_no_part_in_the_deployed_model(world, figures):
    model = world.model("edited", knows=True)
    loud = model.test_logits.copy()
    loud[:, FORGET] = 100.0
    shouting = replace(model, digest="loud", test_logits=loud)
    masked = replace(shouting, digest="masked", retired=(FORGET,))
    name = "utility.retain_accuracy"
    assert figures(utility.audit(world.evidence(shouting)))[name].value == 0
    assert figures(utility.audit(world.evidence(masked)))[name].value > 0.9


def test_without_references_the_original_is_still_compared_with(world, figures):
    measured = figures(utility.audit(world.evidence(references=())))
    assert measured["utility.retain_accuracy"].against == "original"
    assert measured["utility.worst_class"].against == "none"


def test_nan_does_not_run(world, with_nan):
    finding = utility.audit(world.evidence(with_nan(world.model("retrained", knows=False))))
    assert finding.status == "NOT_RUN"
    assert "NaN or infinity" in finding.reason


def test_calibration_and_the_worst_class_are_shares_with_the_images_they_are_of():
    """By loops over ten bins, and over resamples of classes of three and of five images."""
    rng = np.random.default_rng(5)
    sure, hits = np.append(rng.random(79), 1.0), (rng.random(80) < 0.7).astype(float)
    bins = [np.flatnonzero(np.minimum(np.floor(sure * 10), 9) == b) for b in range(10)]
    expected = sum(abs(sure[rows].sum() - hits[rows].sum()) for rows in bins if len(rows)) / 80
    error = utility.calibration_error(sure, hits, 10)
    assert error.value == pytest.approx(expected)
    assert (error.bounds, error.parts[0].freedom) == ((0.0, 1.0), 79)
    labels = np.array([0, 0, 0, 2, 2, 2, 2, 2])
    right = np.array([1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0])
    weights = np.array(
        [[1, 1, 1, 1, 1, 1, 1, 1], [0, 3, 0, 1, 1, 1, 2, 0], [2, 0, 1, 0, 0, 0, 5, 0]]
    )
    worst = utility._worst_class(right, labels, weights)
    assert worst.value == pytest.approx(2 / 3)
    resampled = np.array([2 / 3, 0.0, 0.0])
    assert worst.parts[0].contributions == pytest.approx(resampled)
    assert (worst.bounds, worst.parts[0].freedom) == ((0.0, 1.0), 2)
