"""What stands in an audit's way, each obstacle at exactly its limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audits import catalogue, gates
from audits.evidence import LEAST_NOVEL_CLASSES

REFERENCED = "similarity"
"""An audit that needs references, and cannot do with classes that nobody was trained on."""
OR_NOVEL = "few_shot"
FREE = "accuracy"
"""An audit that runs without either."""


def test_the_examples_need_what_is_said_of_them():
    kinds = [catalogue.AUDITS[name].references for name in (REFERENCED, OR_NOVEL, FREE)]
    assert kinds == ["required", "or_novel_classes", "optional"]


@pytest.mark.parametrize(
    ("part", "option", "count"),
    [("test", "forget_test", 60), ("training", "forget_train", 60), ("test", "retain_test", 60)],
)
def test_as_many_rows_as_are_needed_are_enough(world, part, option, count):
    evidence = world.evidence()
    assert gates.obstacle(FREE, evidence, **{option: count}) == ""
    reason = gates.obstacle(FREE, evidence, **{option: count + 1})
    classes = (0, 1, 3, 4, 5) if option == "retain_test" else (2,)
    assert reason == " ".join(
        f"Class {c} has {count} {part} rows and {count + 1} are needed: give more rows, or pool "
        "several classes or seeds in the plan."
        for c in classes
    )


@pytest.mark.parametrize("kind", [2, 4])
def test_by_default_one_test_row_of_each_class_is_enough(world, kind):
    for left, named in ((1, False), (0, True)):
        kept = world.test_labels != kind
        kept[np.flatnonzero(world.test_labels == kind)[:left]] = True
        original = world.model("original", knows=True)
        only = replace(
            original,
            digest="few",
            test_logits=original.test_logits[kept],
            features={"penultimate": original.features["penultimate"][kept]},
            cells=None,
        )
        evidence = world.evidence(
            only, original=only, references=(), test_labels=world.test_labels[kept]
        )
        reason = gates.obstacle(FREE, evidence)
        assert reason.startswith(f"Class {kind} has 0 test rows and 1 are needed") is named
        assert (reason == "") is not named


def test_no_training_row_is_needed_unless_asked_for(world):
    labels = np.where(world.train_labels == 2, 1, world.train_labels)
    assert gates.obstacle(FREE, world.evidence(train_labels=labels)) == ""


def without_novel_classes(world, *, references):
    """An evidence whose models were shown no class that nobody was trained on."""
    whole = world.evidence()
    return world.evidence(
        replace(whole.candidate, unseen=None),
        original=replace(whole.original, unseen=None),
        references=tuple(replace(r, unseen=None) for r in whole.references[:references]),
        unseen_labels=None,
    )


@pytest.mark.parametrize("audit", [REFERENCED, OR_NOVEL, FREE])
def test_references_are_missed_below_their_least_number(world, audit):
    evidence = without_novel_classes(world, references=3)
    assert evidence.least_references == 3
    assert gates.obstacle(audit, evidence) == ""
    few = replace(evidence, references=evidence.references[:2])
    reason = gates.obstacle(audit, few)
    if audit == FREE:
        assert reason == ""
        return
    instead = ", or give rows of 3 classes that nobody was trained on" if audit == OR_NOVEL else ""
    assert reason == (
        "2 retrained references were given and 3 are needed for a null distribution: train more, "
        f"with other seeds{instead}."
    )


def test_as_many_novel_classes_as_are_needed_stand_in(world):
    evidence = world.evidence(references=())
    for count in (LEAST_NOVEL_CLASSES - 1, LEAST_NOVEL_CLASSES):
        some = replace(evidence, unseen_labels=np.arange(len(world.unseen_labels)) % count)
        assert (gates.obstacle(OR_NOVEL, some) == "") is (count == LEAST_NOVEL_CLASSES)
        assert gates.obstacle(REFERENCED, some).startswith("0 retrained references")


def test_an_event_that_is_to_stand_alone_needs_no_baseline(world):
    alone = replace(without_novel_classes(world, references=0), alone=True)
    assert gates.obstacle(OR_NOVEL, alone) == ""
    assert gates.obstacle(REFERENCED, alone) != ""
    assert gates.obstacle(OR_NOVEL, replace(alone, alone=False)) != ""


@pytest.mark.parametrize("part", ["test_logits", "train_logits"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_named_with_their_model(world, part, value):
    model = world.evidence().references[1]
    logits = getattr(model, part).copy()
    logits[3, 1] = value
    broken = replace(model, digest="broken", **{part: logits})
    references = world.evidence().references
    evidence = world.evidence(references=(references[0], broken, *references[2:]))
    said = "The logits of reference 1 hold NaN or infinity"
    for audit in (FREE, REFERENCED):
        reason = gates.obstacle(audit, evidence)
        assert reason.startswith(said)
        assert reason.count("The logits of") == 1
        assert "were not trained independently" not in reason


def test_copies_are_an_obstacle_where_references_are_the_baseline(world):
    references = world.evidence().references
    evidence = world.evidence(references=(*references[:4], references[0]))
    assert gates.obstacle(FREE, evidence) == ""
    assert "were not trained independently" in gates.obstacle(REFERENCED, evidence)


def test_the_finding_of_an_audit_that_could_not_run_keeps_its_parameters(world):
    finding = gates.not_run(FREE, world.evidence(), "no rows", {"rows": 3})
    assert (finding.audit, finding.status, finding.reason) == (FREE, "NOT_RUN", "no rows")
    assert (finding.parameters, finding.seed) == ({"rows": 3}, 11)
    assert finding.question == catalogue.AUDITS[FREE].question


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({(1, 2): np.nan}, "the features hold NaN or infinity"),
        ({(0, 0): -np.inf}, "the features hold NaN or infinity"),
        ({(3, 2): 1.5}, ""),
    ],
)
def test_features_can_be_probed_where_one_number_differs(change, reason):
    features = np.ones((4, 3)) if change else np.arange(12.0).reshape(4, 3)
    for place, value in change.items():
        features[place] = value
    assert gates.unusable(features) == reason
    assert gates.unusable(np.ones((4, 3))) == "the features are the same for every image"
