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
