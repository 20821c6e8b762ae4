from dataclasses import replace

import numpy as np
import pytest

from audits import head_suppression
from audits.observation import Head

FORGET = 2


def suppressed(world, name="suppressed", bias=-1e9):
    """The original with its output pushed down and nothing else."""
    model = world.model("original", knows=True)
    shifted = model.head.bias.copy()
    shifted[FORGET] += bias
    logits = model.test_logits.copy()
    logits[:, FORGET] += bias
    return replace(
        model, digest=name, test_logits=logits, head=Head(weight=model.head.weight, bias=shifted)
    )


def test_forgetting_that_lives_in_the_head_comes_back_with_the_head(world, figures):
    measured = figures(head_suppression.audit(world.evidence(suppressed(world))))
    assert measured["head_suppression.share"].value == pytest.approx(1.0, abs=0.05)
    assert measured["head_suppression.original_head"].value > 0.9
    assert measured["head_suppression.original_head"].difference > 0.5


def test_forgetting_in_the_features_does_not(world, figures, judge):
    measured = figures(head_suppression.audit(world.evidence()))
    assert measured["head_suppression.share"].value < 0.4
    assert judge(measured["head_suppression.original_head"], 0.3, 0.3) == "within"
    assert measured["head_suppression.share"].original is None


def test_the_accuracy_with_the_original_head_is_a_product_by_hand(world, figures):
    evidence = world.evidence()
    measured = figures(head_suppression.audit(evidence))["head_suppression.original_head"].value
    head, rows = evidence.original.head, world.test_labels == FORGET
    logits = evidence.candidate.features["penultimate"][rows] @ head.weight.T + head.bias
    assert measured == pytest.approx((logits.argmax(1) == FORGET).mean())


def test_what_changed_in_the_head_is_told(world, figures):
    model = world.model("original", knows=True)
    weight = model.head.weight.copy()
    weight[FORGET] *= 0.25
    edited = replace(
        suppressed(world, "both", bias=-20.0),
        head=Head(weight=weight, bias=np.where(np.arange(6) == FORGET, -20.0, 0.0)),
    )
    measured = figures(head_suppression.audit(world.evidence(edited)))
    assert measured["head_suppression.row_change"].value == pytest.approx(0.75)
    retain = world.test_labels != FORGET
    spread = model.test_logits[retain, FORGET].std()
    assert measured["head_suppression.bias_shift"].value == pytest.approx(-20 / spread)


def test_a_share_of_nothing_is_not_made_up(world):
    finding = head_suppression.audit(world.evidence(world.model("unchanged", knows=True)))
    assert "lost less than 5 points" in finding.parameters["left_out"]["head_suppression.share"]


def test_heads_that_do_not_fit_are_named(world):
    original = replace(world.model("original", knows=True), head=None)
    finding = head_suppression.audit(world.evidence(original=original))
    assert "there is no head to put back" in finding.reason
    model = world.model("retrained", knows=False)
    narrow = {**model.features, "penultimate": model.features["penultimate"][:, :9]}
    finding = head_suppression.audit(world.evidence(replace(model, digest="9", features=narrow)))
    assert "does not fit the features of the candidate" in finding.reason


def test_the_error_of_a_share_is_that_of_a_ratio_of_means():
    """The delta method: d(a / b) = (da - share db) / b, image by image."""
    rng = np.random.default_rng(2)
    back, own, before = ((rng.random(80) < chance).astype(float) for chance in (0.6, 0.2, 0.9))
    estimate = head_suppression._share(back, own, before)
    gained, lost = (back - own).mean(), (before - own).mean()
    assert estimate.value == pytest.approx(gained / lost)
    variance = (
        np.var(back - own, ddof=1)
        + estimate.value**2 * np.var(before - own, ddof=1)
        - 2 * estimate.value * np.cov(back - own, before - own)[0, 1]
    ) / lost**2
    (part,) = estimate.parts
    assert part.variance() == pytest.approx(variance / 80)


@pytest.mark.parametrize(("lost", "measured"), [(3, True), (1, False)])
def test_five_points_of_a_hundred_are_enough_to_share_out(lost, measured):
    """Three of sixty are exactly five points."""
    count = 60 if lost == 3 else 40
    before = np.ones(count)
    own = (np.arange(count) >= lost).astype(float)
    estimate = head_suppression._share(before, own, before)
    assert (not isinstance(estimate, str)) is measured
    if measured:
        assert estimate.value == pytest.approx(1.0)


def test_without_a_head_there_is_nothing_to_put_back_or_to_compare(world):
    evidence = world.evidence()
    with pytest.raises(ValueError, match="there is no head"):
        head_suppression.with_head(evidence, evidence.candidate, None)
    headless = replace(evidence.candidate, digest="headless", head=None)
    figures = head_suppression.restored(evidence, headless)
    why = "its last layer is no Linear layer with an output per class"
    assert figures["head_suppression.row_change"] == figures["head_suppression.bias_shift"] == why


def test_a_row_of_zeros_and_a_logit_without_spread_are_their_own_units(world):
    """Then the change is in absolute terms."""
    original = world.model("original", knows=True)
    weight, logits = original.head.weight.copy(), original.test_logits.copy()
    weight[FORGET], logits[:, FORGET] = 0.0, 3.0
    flat = replace(
        original,
        digest="flat",
        test_logits=logits,
        head=Head(weight=weight, bias=np.arange(6.0)),
    )
    moved, bias = weight.copy(), np.arange(6.0) + 2.0
    bias[FORGET] -= 5.0
    moved[FORGET, 0] = 0.25
    moved[[0, 1, 3]] *= 1.125  # most of the others by an eighth, in their own units
    edited = replace(flat, digest="edited", head=Head(weight=moved, bias=bias))
    figures = head_suppression.restored(world.evidence(edited, original=flat), edited)
    assert figures["head_suppression.row_change"].value == pytest.approx(0.25 - 0.125)
    # the shift of all biases changes no prediction: five beyond it
    assert figures["head_suppression.bias_shift"].value == pytest.approx(-5.0)
    assert figures["head_suppression.bias_shift"].interval() == pytest.approx((-5.0, -5.0))


def test_units_are_those_of_the_original_however_small(world):
    """A tenth of a small row is a tenth, a shift is counted in spreads of a quiet logit."""
    original = world.model("original", knows=True)
    quiet = replace(
        original,
        digest="quiet",
        test_logits=original.test_logits / 100,
        head=Head(weight=original.head.weight / 100, bias=original.head.bias),
    )
    weight, bias = quiet.head.weight.copy(), quiet.head.bias.copy()
    weight[FORGET] *= 0.9
    bias[FORGET] -= 0.5
    edited = replace(quiet, digest="edited", head=Head(weight=weight, bias=bias))
    figures = head_suppression.restored(world.evidence(edited, original=quiet), edited)
    assert figures["head_suppression.row_change"].value == pytest.approx(0.1)
    spread = quiet.test_logits[world.test_labels != FORGET, FORGET].std()
    assert figures["head_suppression.bias_shift"].value == pytest.approx(-0.5 / spread)


def test_a_head_put_back_answers_with_its_biases_and_among_the_live_classes(world):
    rng = np.random.default_rng(3)
    original = replace(
        world.model("original", knows=True),
        retired=(5,),
        head=Head(weight=rng.normal(size=(6, 16)), bias=10 * rng.normal(size=6)),
    )
    evidence = world.evidence(original=original)
    right = head_suppression.with_head(evidence, evidence.candidate, original.head)
    scores = (
        evidence.candidate.features["penultimate"] @ original.head.weight.T + original.head.bias
    )
    expected = scores[:, :5].argmax(1) == world.test_labels
    assert right.tolist() == expected.astype(float).tolist()


def test_two_images_of_the_class_are_enough(make_world):
    two = head_suppression.audit(make_world(per_class=2).evidence())
    assert "Class 2 has" not in two.reason
    one = head_suppression.audit(make_world(per_class=1).evidence())
    assert "Class 2 has 1 test rows and 2 are needed" in one.reason


def test_the_picture_shows_both_heads_of_every_model(world):
    evidence = world.evidence(suppressed(world))
    heads = head_suppression.audit(evidence).series["heads"]
    own = world.test_labels == FORGET
    head = evidence.original.head

    def pair(model):
        logits = model.features["penultimate"][own] @ head.weight.T + head.bias
        rates = [
            (answers.argmax(1) == FORGET).mean() for answers in (model.test_logits[own], logits)
        ]
        return pytest.approx(rates, abs=5e-5)

    assert heads["candidate"] == pair(evidence.candidate)
    assert heads["original"] == pair(evidence.original)
    assert len(heads["retrained"]) == 5
    for shown, reference in zip(heads["retrained"], evidence.references, strict=True):
        assert shown == pair(reference)
