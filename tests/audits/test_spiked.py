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


def test_a_blend_is_a_weighted_mean_of_scaled_features_and_of_outputs(world):
    """The original's features are first made as spread out as the reference's."""
    original, reference = world.model("original", knows=True), world.model("other", knows=False)
    mixed = spiked.blend(original, reference, 0.25)
    for depth in ("body", "penultimate"):
        own, other = original.features[depth], reference.features[depth]
        scale = np.sqrt(other.var(0).sum() / own.var(0).sum())
        expected = 0.25 * scale * own + 0.75 * other
        assert mixed.features[depth] == pytest.approx(expected)
    for part in ("train_logits", "test_logits"):
        expected = 0.25 * getattr(original, part) + 0.75 * getattr(reference, part)
        assert getattr(mixed, part) == pytest.approx(expected)
    for part in ("fresh", "unseen"):
        own, other = getattr(original, part), getattr(reference, part)
        readout = getattr(mixed, part)
        assert readout.logits == pytest.approx(0.25 * own.logits + 0.75 * other.logits)
        scale = np.sqrt(
            reference.features["body"].var(0).sum() / original.features["body"].var(0).sum()
        )
        body = 0.25 * scale * own.features["body"] + 0.75 * other.features["body"]
        assert readout.features["body"] == pytest.approx(body)
    for name, curves in original.relearned.items():
        expected = 0.25 * curves + 0.75 * reference.relearned[name]
        np.testing.assert_allclose(mixed.relearned[name], expected)
    assert mixed.head is None
    assert mixed.digest == "blend 0.250000 original other"


def test_what_one_of_both_models_lacks_the_blend_lacks(world):
    original, reference = world.model("original", knows=True), world.model("other", knows=False)
    for lacking in (original, reference):
        pair = [
            replace(m, fresh=None, relearned={"few": m.relearned["few"]}) if m is lacking else m
            for m in (original, reference)
        ]
        mixed = spiked.blend(*pair, 0.5)
        assert mixed.fresh is None
        assert mixed.unseen is not None
        assert list(mixed.relearned) == ["few"]
    bodies = replace(original, features={"body": original.features["body"]})
    for pair in ((bodies, reference), (original, replace(reference, features=bodies.features))):
        with pytest.raises(BadControl, match="no depth in common"):
            spiked.blend(*pair, 0.5)


def test_features_without_a_spread_are_not_scaled():
    flat, other = np.ones((4, 2)), np.arange(8.0).reshape(4, 2)
    assert spiked._scale(flat, other) == 1.0
    assert spiked._scale(other, flat) == 0.0
    assert spiked._scale(2 * other, other) == pytest.approx(0.5)
    assert spiked._scale(0.01 * other, other) == pytest.approx(100)


@pytest.mark.parametrize(("one", "other"), [(2, 3), (3, 2), (3, 3)])
def test_narrower_features_are_filled_up_with_zeros(one, other):
    pair = spiked._same_width(np.ones((4, one)), np.full((4, other), 2.0))
    assert [f.shape for f in pair] == [(4, 3), (4, 3)]
    assert [f.sum() for f in pair] == [4 * one, 8 * other]


def measured(value=0.5, null=(0.25, 0.75), original=1.0):
    figure = Figure(
        name="f", label="f", value=value, interval=(0, 1), null=null, original=original,
        against="retrained",
    )  # fmt: skip
    return Finding(audit="a", question="?", status="RUN", measurements=(figure,))


@pytest.mark.parametrize(
    ("value", "original", "share"),
    [(0.5, 1.0, 0.0), (1.0, 1.0, 1.0), (0.75, 1.0, 0.5), (0.75, 0.0, -0.5)],
)
def test_what_remains_is_a_share_of_what_the_original_knows(value, original, share):
    assert spiked.held(measured(value, original=original), "f") == pytest.approx(share)


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (measured(original=None), "nothing to compare it with"),
        (measured(null=()), "nothing to compare it with"),
        (Finding(audit="a", question="?", status="NOT_RUN", reason="too few rows"), "too few rows"),
        (measured(original=0.5), "is the same on the original"),
    ],
)
def test_what_does_not_tell_the_original_holds_no_share(finding, words):
    with pytest.raises(BadControl, match=words):
        spiked.held(finding, "f")
    with pytest.raises(BadControl, match=r"g was not measured on the blend"):
        spiked.held(measured(), "g")


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.1])
def test_a_share_lies_between_0_and_1(world, share):
    with pytest.raises(BadControl, match="is no blend"):
        spiked.spiked(world.evidence(), 0, share=share, audit=scripted([0.5], []), figure="f")


def test_the_weight_is_halved_towards_the_share(world):
    """Below it the original counts more, above it less: .5, .75, .625, .5625."""
    evidence, candidates = world.evidence(), []
    audit = scripted([0.1, 0.9, 0.9, 0.5], candidates)
    _, reached = spiked.spiked(evidence, 1, share=0.5, audit=audit, figure="f")
    weights = [0.5, 0.75, 0.625, 0.5625]
    assert [c.digest.split()[1] for c in candidates] == [f"{w:.6f}" for w in weights]
    assert {c.digest.split(maxsplit=2)[2] for c in candidates} == {"original reference 1"}
    assert reached == 0.5


@pytest.mark.parametrize(("first", "tries"), [(0.53125, 1), (0.532, 10)])
def test_half_of_the_tolerance_is_near_enough_to_stop(world, first, tries):
    candidates = []
    audit = scripted([first, 0.9], candidates)
    judged, reached = spiked.spiked(
        world.evidence(), 0, share=0.5, audit=audit, figure="f", tolerance=0.0625
    )
    assert (len(candidates), reached) == (tries, first)
    # the reference that is blended is no longer among the judges
    names = [r.digest for r in judged.references]
    assert names == [f"reference {i}" for i in range(1, 5)]


@pytest.mark.parametrize(("reached", "refused"), [(0.549, False), (0.551, True)])
def test_the_tolerance_is_a_twentieth(world, reached, refused):
    audit = scripted([reached], [])
    if refused:
        with pytest.raises(BadControl, match=r"No blend holds 0\.50"):
            spiked.spiked(world.evidence(), 0, share=0.5, audit=audit, figure="f")
    else:
        assert spiked.spiked(world.evidence(), 0, share=0.5, audit=audit, figure="f")[1] == reached


@pytest.mark.parametrize(("share", "left"), [(0.5, 5), (0.01, 1), (0.26, 3), (0.99, 10)])
def test_of_each_forgotten_class_a_share_of_rows_stays_one_at_least(monkeypatch, share, left):
    kept = {}

    def train(build, inputs, labels, **settings):
        kept.update(settings, labels=labels, inputs=inputs)
        return build()

    monkeypatch.setattr(spiked, "train", train)
    labels = torch.arange(30) % 3
    spiked.partly_retrained(
        tiny, torch.arange(30), labels, recipe=Recipe(), seed=4, forget=[0, 2], share=share
    )
    assert [int((kept["labels"] == c).sum()) for c in range(3)] == [left, 10, left]
    assert torch.equal(labels[kept["inputs"]], kept["labels"])
    assert kept["seed"] == 4


def test_without_a_reference_there_is_no_control_near_the_margin(world):
    with pytest.raises(BadControl, match="there is none"):
        spiked.near_margin(world.evidence(references=()), share=0.5)
