from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from audits import routing

FORGET, RETAIN = 2, [0, 1, 3, 4, 5]


def sent(world, name, destination, *, forget=(FORGET,)):
    """A model that never saw the class and sends each of its images to `destination`."""
    model = world.model(name, knows=False)
    logits = model.test_logits.copy()
    for c, goal in zip(forget, np.atleast_1d(destination), strict=True):
        logits[np.ix_(world.test_labels == c, RETAIN)] = -3.0
        logits[world.test_labels == c, goal] = 3.0
    return replace(model, digest=name, test_logits=logits)


def test_images_sent_elsewhere_are_seen_and_those_of_a_retrained_model_are_not(
    world, figures, judge
):
    clean = figures(routing.audit(world.evidence()))
    planted = figures(routing.audit(world.evidence(sent(world, "to one class", 3))))
    assert judge(clean["routing.js"], 0.7, 0.05) == "within"
    assert judge(planted["routing.js"], 0.7, 0.05) == "outside"
    assert planted["routing.tv"].value > 0.9


def test_the_distances_agree_with_scipy_and_a_count_by_hand(world, figures):
    evidence = world.evidence()

    def shares(observation):
        rows = np.flatnonzero(world.test_labels == FORGET)
        goals = [max(RETAIN, key=lambda c: observation.test_logits[row, c]) for row in rows]
        return np.array([goals.count(c) for c in RETAIN]) / len(rows)

    mean = np.mean([shares(reference) for reference in evidence.references], axis=0)
    own = shares(evidence.candidate)
    measured = figures(routing.audit(evidence))
    assert measured["routing.js"].value == pytest.approx(jensenshannon(own, mean) ** 2)
    assert measured["routing.tv"].value == pytest.approx(np.abs(own - mean).sum() / 2)


def test_each_reference_is_held_against_the_others(world, figures):
    evidence = world.evidence()
    measured = figures(routing.audit(evidence))["routing.js"]
    judged = [
        figures(routing.audit(evidence.with_candidate(r, others)))["routing.js"].value
        for i, r in enumerate(evidence.references)
        for others in [evidence.references[:i] + evidence.references[i + 1 :]]
    ]
    assert measured.null == pytest.approx(judged)


def test_one_hot_destinations_give_no_infinity(world, figures):
    """The published mistake: the KL of hard one-hots is -inf."""
    references = tuple(sent(world, f"to zero {i}", 0) for i in range(5))
    planted = sent(world, "to one", 1)
    measured = figures(routing.audit(world.evidence(planted, references=references)))
    assert measured["routing.js"].value == pytest.approx(np.log(2))
    assert measured["routing.js"].null == pytest.approx([0.0] * 5)


def test_two_forgotten_classes_that_swap_their_destinations_do_not_look_alike(world, figures):
    """The published mistake: reduced over classes, opposite models have the same mean."""
    both = (2, 4)
    references = tuple(sent(world, f"reference {i}", (0, 1), forget=both) for i in range(5))
    swapped = sent(world, "swapped", (1, 0), forget=both)
    evidence = world.evidence(swapped, references=references, forget=both)
    pooled = [
        np.bincount(
            r.test_logits[np.isin(world.test_labels, both)][:, [0, 1, 3, 5]].argmax(1), minlength=4
        )
        for r in (swapped, references[0])
    ]
    assert (pooled[0] == pooled[1]).all()
    assert figures(routing.audit(evidence))["routing.js"].value == pytest.approx(np.log(2))


def test_the_error_is_that_of_other_images(make_world, figures):
    """Many worlds of one kind: the standard error predicts how much the distance scatters."""
    measured = [
        figures(routing.audit(make_world(seed=s).evidence(), replicates=200))["routing.tv"]
        for s in range(12)
    ]
    scatter = np.std([m.difference for m in measured], ddof=1)
    predicted = np.mean([m.standard_error for m in measured])
    assert scatter / 2 < predicted < 3 * scatter


def test_two_references_are_too_few_and_nan_is_named(world, with_nan):
    two = tuple(world.model(f"reference {i}", knows=False) for i in range(2))
    finding = routing.audit(world.evidence(references=two))
    assert finding.status == "NOT_RUN"
    assert "2 retrained references were given and 3 are needed" in finding.reason
    finding = routing.audit(world.evidence(original=with_nan(world.model("original", knows=True))))
    assert "The logits of the original hold NaN" in finding.reason


@pytest.mark.parametrize(("images", "status"), [(10, "RUN"), (9, "NOT_RUN")])
def test_ten_images_of_the_class_are_enough_and_nine_are_not(make_world, images, status):
    assert routing.audit(make_world(images).evidence()).status == status


def test_distances_lie_between_nothing_and_the_most_that_their_formulas_allow(world):
    """By shares of two classes of images that go to opposite ends."""
    own, others = np.zeros((2, 4, 2, 3))
    own[..., 0] = others[..., 1] = 1.0
    measured = routing._from(own, [others, others], 30)
    assert measured["routing.js"].bounds == (0.0, pytest.approx(np.log(2)))
    assert measured["routing.tv"].bounds == (0.0, 1.0)
    assert measured["routing.js"].value == pytest.approx(np.log(2))
    assert measured["routing.tv"].value == 1.0
    assert [one.parts[0].freedom for one in measured.values()] == [29, 29]


def test_the_sample_itself_comes_first_and_as_many_resamples_as_were_asked_for(world):
    """Sent by hand: of 60 images of the class 45 go to class 3 and 15 to class 0."""
    model = sent(world, "two ways", 3)
    logits = model.test_logits.copy()
    logits[np.flatnonzero(world.test_labels == FORGET)[:15], 0] = 9.0
    evidence = world.evidence(replace(model, test_logits=logits))
    shares = routing.destinations(evidence, evidence.candidate, replicates=8)
    assert shares.shape == (1 + 8, 1, len(RETAIN))
    by_class = dict(zip(RETAIN, shares[0, 0], strict=True))
    assert by_class == pytest.approx({0: 15 / 60, 1: 0, 3: 45 / 60, 4: 0, 5: 0})
    assert shares.sum(2) == pytest.approx(np.ones((9, 1)))
