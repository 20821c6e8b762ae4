from dataclasses import replace

import numpy as np
import pytest

from audits.errors import BadEvidence


def test_what_does_not_belong_together_is_refused_with_every_problem(world):
    model = world.model("retrained", knows=False)
    short = replace(model, test_logits=model.test_logits[:-1])
    narrow = replace(model, train_logits=model.train_logits[:, :5])
    with pytest.raises(BadEvidence) as caught:
        world.evidence(short, original=narrow)
    message = str(caught.value)
    assert "test logits of the candidate are (359, 6), 360 labels" in message
    assert "training logits of the original are (360, 5), 360 labels and 6 classes" in message
    assert message.count("observe all models on the same rows") >= 2


def test_features_of_other_rows_are_refused(world):
    model = world.model("retrained", knows=False)
    features = {**model.features, "body": model.features["body"][:100]}
    with pytest.raises(BadEvidence, match=r"'body' of the candidate are \(100, 8\).*\(360, D\)"):
        world.evidence(replace(model, features=features))


@pytest.mark.parametrize("forget", [(), (6,), (-1,), (2, 9)])
def test_classes_that_are_not_there_are_refused(world, forget):
    with pytest.raises(BadEvidence, match="name at least one of"):
        world.evidence(forget=forget)


def test_something_must_stay(world):
    with pytest.raises(BadEvidence, match="Fewer than two classes are kept"):
        world.evidence(forget=(0, 1, 2, 3, 4))


def test_a_class_retired_before_is_neither_to_forget_nor_to_retain(world):
    original = replace(world.model("original", knows=True), retired=(5,))
    evidence = world.evidence(original=original)
    assert evidence.retain == (0, 1, 3, 4)
    with pytest.raises(BadEvidence, match="Classes to forget"):
        world.evidence(original=original, forget=(5,))


def test_a_model_is_measured_once_however_often_it_is_compared(world):
    evidence, asked = world.evidence(), []

    def signal(evidence, observation, *, power):
        asked.append(observation.digest)
        return float(observation.test_logits.mean()) ** power

    for _ in range(3):
        evidence.of(signal, evidence.original, power=2)
    other = evidence.with_candidate(evidence.original)
    other.of(signal, evidence.original, power=2)
    assert asked == ["original"]
    evidence.of(signal, evidence.original, power=1)
    evidence.of(signal, replace(evidence.original, retired=(2,)), power=2)
    assert len(asked) == 3


def test_draws_follow_the_seed_and_the_purpose(world):
    evidence = world.evidence()
    first = evidence.rng("rows").random(4)
    assert (evidence.rng("rows").random(4) == first).all()
    assert (evidence.rng("folds").random(4) != first).any()
    assert (replace(evidence, seed=12).rng("rows").random(4) != first).any()


def test_a_reference_that_is_left_out_may_be_one_judge_short(world):
    three = tuple(world.model(f"reference {i}", knows=False) for i in range(3))
    evidence = world.evidence(references=three)
    assert evidence.least_references == 3
    assert evidence.with_candidate(three[0], three[1:]).least_references == 2
    assert evidence.with_candidate(evidence.original).least_references == 3


def test_rows_are_those_of_the_classes(world):
    evidence = world.evidence()
    assert (world.test_labels[evidence.test_rows([2])] == 2).all()
    assert len(evidence.train_rows([0, 4])) == 120
    assert np.isin(world.train_labels[evidence.train_rows([0, 4])], [0, 4]).all()
