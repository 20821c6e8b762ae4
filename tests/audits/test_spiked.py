from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from audits import few_shot, linear_probe, spiked
from audits.errors import BadControl, BadRecipe
from audits.finding import Figure, Finding
from audits.observation import PENULTIMATE
from audits.references import Recipe

FORGET = 2
FIGURE = "linear_probe.dprime@penultimate"


@pytest.mark.parametrize("share", [0.3, 0.55])
def test_a_blend_holds_the_share_that_was_asked_for(world, figures, share):
    evidence = world.evidence()
    judged, reached = spiked.spiked(
        evidence, 0, share=share, audit=linear_probe.audit, figure=FIGURE
    )
    assert reached == pytest.approx(share, abs=0.05)
    assert spiked.held(linear_probe.audit(judged), FIGURE) == pytest.approx(reached)
    assert len(judged.references) == len(evidence.references) - 1
    assert evidence.references[0] not in judged.references


def test_just_above_the_margin_it_is_not_within(world, figures, judge):
    """The margin is half of what the original knows; the blend holds .7 of it."""
    evidence = world.evidence()
    judged, _ = spiked.spiked(evidence, 0, share=0.7, audit=linear_probe.audit, figure=FIGURE)
    measured = figures(linear_probe.audit(judged))[FIGURE]
    gap = measured.original - np.mean(measured.null)
    assert judge(measured, gap, 0.5 * gap) != "within"
    honest = figures(linear_probe.audit(evidence))[FIGURE]
    assert judge(honest, gap, 0.5 * gap) == "within"


def test_the_ends_of_a_blend_are_the_two_models(world):
    original, reference = world.model("original", knows=True), world.model("r", knows=False)
    for weight, model in ((0.0, reference), (1.0, original)):
        mixed = spiked.blend(original, reference, weight)
        assert mixed.test_logits == pytest.approx(model.test_logits)
        assert mixed.fresh.logits == pytest.approx(model.fresh.logits)
        own, other = mixed.features[PENULTIMATE], model.features[PENULTIMATE]
        assert np.corrcoef(own.ravel(), other.ravel())[0, 1] == pytest.approx(1.0)
        assert mixed.relearned["few"] == pytest.approx(model.relearned["few"], nan_ok=True)


def test_a_narrower_reference_of_another_architecture_is_filled_up(world):
    original, reference = world.model("original", knows=True), world.model("r", knows=False)
    cut = {"other": np.ones((360, 2)), PENULTIMATE: reference.features[PENULTIMATE][:, :9]}
    narrow = replace(reference, features=cut, fresh=None, unseen=None)
    mixed = spiked.blend(original, narrow, 0.5)
    assert list(mixed.features) == [PENULTIMATE]
    assert mixed.features[PENULTIMATE].shape == (360, 16)


def test_a_share_that_cannot_be_made_is_refused(world):
    evidence = world.evidence()
    with pytest.raises(BadControl, match="between 0 and 1"):
        spiked.spiked(evidence, 0, share=1.0, audit=linear_probe.audit, figure=FIGURE)
    with pytest.raises(BadControl, match=r"few_shot\.7 was not measured on the blend"):
        spiked.spiked(evidence, 0, share=0.5, audit=few_shot.audit, figure="few_shot.7")


def tiny():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def test_a_part_of_the_rows_left_in_teaches_a_part_of_the_class(real_digits):
    torch.set_num_threads(1)
    images, labels = real_digits
    recipe = Recipe(epochs=8, learning_rate=1e-2)

    def recognised(share):
        model = spiked.partly_retrained(
            tiny, images[:900], labels[:900], recipe=recipe, seed=3, forget=[3], share=share
        )
        rows = labels[900:] == 3
        with torch.no_grad():
            return float((model(images[900:][rows]).argmax(1) == 3).float().mean())

    assert recognised(0.02) < recognised(0.9)
    assert recognised(0.9) > 0.7
    for whole in (0.0, 1.0):
        with pytest.raises(BadRecipe, match="no part of the rows"):
            recognised(whole)


def scripted(shares, candidates):
    """An audit that says these shares of whatever it is shown, one after another."""

    def audit(evidence):
        share = shares[min(len(candidates), len(shares) - 1)]
        candidates.append(evidence.candidate)
        figure = Figure(
            name="f", label="f", value=share, interval=(0, 1), null=(0.0, 0.0, 0.0), original=1.0,
            difference=share, standard_error=0.1, degrees_of_freedom=3.0, against="retrained",
        )  # fmt: skip
        return Finding(audit="a", question="?", status="RUN", measurements=(figure,))

    return audit


def test_the_nearest_blend_counts_and_not_the_last(world):
    evidence, candidates = world.evidence(), []
    audit = scripted([0.56, 0.9, 0.42, 0.9], candidates)
    judged, reached = spiked.spiked(evidence, 0, share=0.5, audit=audit, figure="f", tolerance=0.1)
    assert reached == 0.56
    assert judged.candidate is candidates[0]
    # it begins in the middle, of which half is either's
    half = spiked.blend(evidence.original, evidence.references[0], 0.5)
    assert candidates[0].test_logits == pytest.approx(half.test_logits)


def test_a_share_that_is_missed_by_more_than_the_tolerance_is_refused(world):
    with pytest.raises(BadControl, match=r"the nearest 0\.61"):
        spiked.spiked(
            world.evidence(),
            0,
            share=0.5,
            audit=scripted([0.61, 0.9], []),
            figure="f",
            tolerance=0.1,
        )
