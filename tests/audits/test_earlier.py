"""The earlier depth is chosen by the original and its baseline, before any candidate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audits import earlier, few_shot, linear_probe, second_moments

AUDITS = (linear_probe, few_shot, second_moments)
FIGURES = {linear_probe: "dprime", few_shot: "5", second_moments: "dprime"}


def name(audit) -> str:
    return f"{audit.AUDIT}.{FIGURES[audit]}@earlier"


def with_depths(observation, **depths):
    """The model with other depths before the last features."""
    features = {**depths, "penultimate": observation.features["penultimate"]}
    return replace(observation, digest=f"{observation.digest} {sorted(depths)}", features=features)


@pytest.fixture
def layered(world):
    """At `early` nobody holds the class, at `middle` the original does."""

    def models(observation, *, remembers: bool):
        knowing = world.model(f"{observation.digest} inside", knows=remembers)
        early = np.random.default_rng(1).standard_normal((len(world.test_labels), 8))
        return with_depths(observation, early=early, middle=knowing.features["penultimate"])

    return models


@pytest.fixture
def judged_by(world, layered):
    """Evidence with a candidate that remembers, or not, at the earlier depth alone."""
    original = layered(world.model("original", knows=True), remembers=True)
    references = tuple(
        layered(world.model(f"reference {i}", knows=False), remembers=False) for i in range(5)
    )

    def evidence(*, remembers: bool):
        candidate = layered(world.model("retrained", knows=False), remembers=remembers)
        return world.evidence(candidate, original=original, references=references)

    return evidence


@pytest.mark.parametrize("remembers", [False, True])
def test_it_is_where_the_original_stands_furthest_whatever_the_candidate(judged_by, remembers):
    evidence = judged_by(remembers=remembers)
    assert earlier.depth(evidence) == "middle"
    for audit in AUDITS:
        assert audit.audit(evidence).parameters["earlier"] == "middle"


def test_the_row_is_that_of_the_depth_under_another_name(judged_by, figures):
    evidence = judged_by(remembers=False)
    for audit in (linear_probe, few_shot):
        named = figures(audit.audit(evidence))
        plain = named[name(audit).replace("@earlier", "@middle")]
        alias = named[name(audit)]
        assert (alias.value, alias.null, alias.original) == (
            plain.value,
            plain.null,
            plain.original,
        )
        assert "middle, of the earlier depths the one where the original knows most" in alias.label


@pytest.mark.parametrize("audit", AUDITS)
def test_a_class_that_is_kept_at_an_earlier_depth_alone_is_seen(audit, judged_by, figures, judge):
    clean, planted = (
        figures(audit.audit(judged_by(remembers=remembers)))[name(audit)]
        for remembers in (False, True)
    )
    gap = planted.original - float(np.mean(planted.null))
    assert judge(clean, abs(gap) * 1.5, abs(gap) * 0.5) == "within"
    assert judge(planted, abs(gap) * 1.5, abs(gap) * 0.5) == "outside"


def test_without_an_earlier_depth_the_row_is_left_out_with_its_reason(world):
    alone = [with_depths(world.model(f"alone {i}", knows=False)) for i in range(6)]
    original = with_depths(world.model("original", knows=True))
    evidence = world.evidence(alone[0], original=original, references=tuple(alone[1:]))
    for audit in AUDITS:
        finding = audit.audit(evidence)
        assert finding.parameters["earlier"] is None
        assert earlier.NONE in finding.parameters["left_out"][name(audit)]


def test_without_retrained_models_the_originals_unseen_classes_choose(world, figures):
    evidence = world.evidence(references=())
    assert earlier.depth(evidence) == "body"
    assert figures(linear_probe.audit(evidence))[name(linear_probe)].against == "unseen"
    # the candidate's own unseen classes have no say
    other = world.model("another", knows=True)
    assert earlier.depth(evidence.with_candidate(other)) == "body"


def test_with_neither_there_is_no_earlier_depth(world):
    original, candidate = (
        replace(world.model(name, knows=knows), unseen=None)
        for name, knows in (("original", True), ("retrained", False))
    )
    evidence = world.evidence(candidate, original=original, references=(), unseen_labels=None)
    assert earlier.depth(evidence) is None


def test_without_an_earlier_depth_its_name_is_a_plain_one():
    assert earlier.words(None) == "an earlier depth"
    assert earlier.words("body").startswith("the features that enter body, of the earlier")
