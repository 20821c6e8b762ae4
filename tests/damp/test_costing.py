"""What forgetting a class would cost, before it is done."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import damp
from damp.errors import BadOption, NoSamples, SeveralProblems, UnknownClass


@pytest.fixture
def measured(cnn, clouds, split):
    inputs, labels = clouds(0, 4, (2, 6, 6))
    return damp.measure(cnn(), split(inputs.float(), labels))


@pytest.mark.parametrize(("preset", "gain"), [("mixture", 1.0), ("mixture", 5.0), ("paper", 1.0)])
def test_predicted_strengths_are_those_of_the_edit(cnn, measured, preset, gain):
    for cost in damp.costs(measured, preset=preset, gain=gain):
        edited = damp.forget(
            cnn(), None, forget=cost.forget, measured=measured, preset=preset, gain=gain,
            recalibrate=False,
        )  # fmt: skip
        edits = {edit.name: edit for edit in edited.operators}
        assert [operator.name for operator in cost.operators] == ["0", "3", "7"]
        for operator in cost.operators:
            if operator.name in edits:
                assert operator.strength == max(edits[operator.name].strength)
                assert operator.separability == max(edits[operator.name].separability)
            else:
                assert operator.strength == operator.separability == operator.disturbance == 0


def test_every_class_with_samples_has_a_cost(measured):
    predicted = damp.costs(measured)
    assert [(cost.forget, cost.samples) for cost in predicted] == [(c, 40) for c in range(4)]
    assert [cost.forget for cost in damp.costs(measured, classes=[2])] == [2]


def test_the_disturbance_is_the_share_of_retained_variance_that_goes(clouds, split):
    inputs, labels = clouds(0, 4, (6,), samples=400)
    measured = damp.measure(nn.Linear(6, 4).double(), split(inputs, labels))
    (cost,) = damp.costs(measured, classes=1, preset="mixture", gain=1e12)
    assert cost.operators[0].disturbance == pytest.approx(1 / 6)
    assert cost.operators[0].strength == pytest.approx(1)


def test_images_are_said_to_go_to_the_classes_whose_mixture_they_are(split):
    generator = torch.Generator().manual_seed(0)
    corners = torch.eye(4, dtype=torch.float64)[:, :3] * 4
    corners[3] = 0.7 * corners[0] + 0.3 * corners[2]
    labels = torch.arange(4000) % 4
    noise = torch.randn(4000, 3, generator=generator, dtype=torch.float64)
    measured = damp.measure(nn.Linear(3, 4).double(), [(corners[labels] + noise, labels)])
    (cost,) = damp.costs(measured, classes=[3])
    assert [label for label, _ in cost.destination[:2]] == [0, 2]
    assert dict(cost.destination)[0] == pytest.approx(0.7, abs=0.05)
    assert sum(weight for _, weight in cost.destination) == pytest.approx(1)
    weights = [weight for _, weight in cost.destination]
    assert weights == sorted(weights, reverse=True)


def test_a_class_that_is_hard_to_tell_costs_less_than_one_that_is_easy(digits, digit_net, split):
    measured = damp.measure(digit_net, split(*digits[0], 100))
    predicted = damp.costs(measured)
    assert all(cost.operators[0].strength < cost.operators[-1].strength for cost in predicted)
    assert {cost.samples for cost in predicted} == set(measured.counts.tolist())


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"classes": 7}, UnknownClass, "no class 7"),
        ({"classes": [1, -2]}, UnknownClass, "-2 is no class"),
        ({"gain": 0}, BadOption, "Gain"),
        ({"preset": "magic"}, BadOption, "unknown"),
        ({"preset": "magic", "classes": 9}, SeveralProblems, "2 problems"),
    ],
)
def test_questions_without_meaning_are_refused(measured, options, error, says):
    with pytest.raises(error, match=says):
        damp.costs(measured, **options)


def test_a_class_without_samples_has_no_cost(cnn, clouds, split):
    inputs, labels = clouds(0, 4, (2, 6, 6))
    kept = labels != 2
    measured = damp.measure(cnn(), split(inputs[kept].float(), labels[kept]))
    assert [cost.forget for cost in damp.costs(measured)] == [0, 1, 3]
    with pytest.raises(NoSamples, match="No sample of class 2"):
        damp.costs(measured, classes=[2])


def test_retained_samples_that_are_all_alike_lead_nowhere():
    inputs = torch.ones(8, 3).double()
    inputs[4:] = torch.arange(4.0)[:, None] + torch.randn(3)
    measured = damp.measure(nn.Linear(3, 2).double(), [(inputs, torch.arange(8) // 4)])
    (cost,) = damp.costs(measured, classes=[1])
    assert cost.destination == ()
    assert cost.operators[0].strength == 0
