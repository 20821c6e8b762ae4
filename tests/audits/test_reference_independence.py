from dataclasses import replace

import numpy as np
import pytest

from audits import AUDITS, reference_independence


def copied(observation, name, noise=0.0):
    """A copy of a model, its answers shaken a little, under another digest."""
    shake = noise * np.random.default_rng(len(name)).normal(size=observation.test_logits.shape)
    return replace(observation, digest=name, test_logits=observation.test_logits + shake)


def test_trainings_of_their_own_are_no_copies(world):
    assert reference_independence.dependence(world.evidence()) == ""


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_references_that_are_copies_of_the_candidate_are_no_baseline(world, noise):
    candidate = world.model("cheat", knows=True)
    references = tuple(copied(candidate, f"copy {i}", noise) for i in range(5))
    evidence = world.evidence(candidate, references=references)
    assert "reference 0 answers as the candidate does" in reference_independence.dependence(
        evidence
    )
    assert "Train references from scratch" in reference_independence.dependence(evidence)
    for name in ("few_shot", "linear_probe", "routing", "similarity", "relearning"):
        finding = AUDITS[name](evidence)
        assert finding.status == "NOT_RUN"
        assert "were not trained independently" in finding.reason


def test_a_reference_that_is_the_original_in_disguise_is_named(world):
    original = world.model("original", knows=True)
    references = (
        *(world.model(f"reference {i}", knows=False) for i in range(4)),
        copied(original, "tuned a little", 0.02),
    )
    reason = reference_independence.dependence(world.evidence(references=references))
    assert "reference 4 answers as the original does" in reason
    assert "candidate" not in reason


def test_references_that_are_copies_of_each_other_are_named(world):
    one = world.model("reference 0", knows=False)
    references = tuple(copied(one, f"copy {i}", 0.01) for i in range(3))
    reason = reference_independence.dependence(world.evidence(references=references))
    assert "reference 1 answers as reference 0 does" in reason


def test_the_likeness_is_a_correlation_within_classes(world):
    evidence = world.evidence()
    one, other = evidence.references[:2]
    retain = [0, 1, 3, 4, 5]
    pair = []
    for observation in (one, other):
        answers = observation.test_logits[:, retain] - observation.test_logits[:, retain].mean(
            1, keepdims=True
        )
        pair.append(
            np.concatenate(
                [
                    (
                        answers[world.test_labels == c] - answers[world.test_labels == c].mean(0)
                    ).ravel()
                    for c in retain
                ]
            )
        )
    expected = np.corrcoef(*pair)[0, 1]
    assert reference_independence.likeness(evidence, one, other) == pytest.approx(expected)
    assert expected < reference_independence.LIMIT


def test_constant_answers_have_nothing_in_common(world):
    flat = replace(
        world.model("retrained", knows=False), digest="flat", test_logits=np.zeros((360, 6))
    )
    evidence = world.evidence(flat)
    assert reference_independence.likeness(evidence, flat, evidence.references[0]) == 0.0
