"""What a model answers, worked out row by row."""

from dataclasses import replace

import numpy as np
import pytest

from audits import outputs

FORGET, RETAIN = 2, (0, 1, 3, 4, 5)


def chosen_by_hand(logits, hidden):
    """Largest of the outputs that are left, one row after the other."""
    left = [c for c in range(logits.shape[1]) if c not in hidden]
    return [max(left, key=lambda c, row=row: row[c]) for row in logits]


@pytest.fixture(scope="module")
def model(world):
    """Answers of noise: every output is the largest somewhere."""
    noise = np.random.default_rng(0).normal(size=(len(world.test_labels), 6))
    return replace(
        world.model("original", knows=True), digest="noise", test_logits=noise, retired=(FORGET,)
    )


@pytest.mark.parametrize(
    ("masked", "hidden"), [(None, (FORGET,)), ((), ()), ((0, 4), (0, 4)), ((FORGET,), (FORGET,))]
)
def test_the_largest_output_that_is_not_masked_is_predicted(world, model, masked, hidden):
    evidence = world.evidence(model)
    expected = chosen_by_hand(model.test_logits, hidden)
    assert outputs.predictions(evidence, model, masked=masked).tolist() == expected
    right = outputs.correct(evidence, model, masked=masked)
    assert right.dtype == np.float64
    assert right.tolist() == [
        float(c == label) for c, label in zip(expected, world.test_labels, strict=True)
    ]


def test_what_an_earlier_event_retired_is_never_predicted(world, model):
    original = replace(world.model("original", knows=True), retired=(5,))
    evidence = world.evidence(model, original=original)
    expected = chosen_by_hand(model.test_logits, (5,))
    assert outputs.predictions(evidence, model, masked=()).tolist() == expected
    assert np.isfinite(model.test_logits).all()  # the masks are of a copy


def test_the_confidence_is_the_largest_probability_over_what_is_left(world, model):
    evidence = world.evidence(model)
    chances = np.exp(model.test_logits[:, RETAIN])
    expected = chances.max(1) / chances.sum(1)
    assert outputs.confidence(evidence, model) == pytest.approx(expected)
    plain = replace(model, retired=())
    chances = np.exp(model.test_logits)
    assert outputs.confidence(evidence, plain) == pytest.approx(chances.max(1) / chances.sum(1))


def test_retain_logits_are_those_less_their_mean_in_each_row(world, model):
    evidence = world.evidence(model)
    answers = outputs.retain_logits(evidence, model)
    assert answers.shape == (len(world.test_labels), 5)
    for row, centred in zip(model.test_logits, answers, strict=True):
        middle = sum(row[c] for c in RETAIN) / 5
        assert centred == pytest.approx([row[c] - middle for c in RETAIN])
    # a softmax does not see a shift of the row, nor do they
    shifted = model.test_logits + np.arange(len(world.test_labels))[:, None]
    assert outputs.centred(evidence, shifted) == pytest.approx(answers)
