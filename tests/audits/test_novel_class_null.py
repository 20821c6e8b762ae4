from dataclasses import replace

import numpy as np
import pytest

from audits import (
    AUDITS,
    discriminant,
    few_shot,
    head_refit,
    linear_probe,
    novel_class_null,
    sampling,
)

FORGET = 2


@pytest.fixture
def apart(world):
    """The evidence without retrained references: classes that nobody saw are the baseline."""

    def without_references(candidate=None, **changes):
        return world.evidence(candidate, references=(), **changes)

    return without_references


def test_a_class_that_is_as_readable_as_one_never_seen_is_told_from_one_that_was_learned(
    apart, world, figures
):
    clean = figures(few_shot.audit(apart(), draws=40))["few_shot.1@penultimate"]
    remembering = apart(world.model("edited", knows=True))
    planted = figures(few_shot.audit(remembering, draws=40))["few_shot.1@penultimate"]
    assert clean.against == planted.against == "unseen"
    assert len(clean.null) == 4
    assert abs(clean.difference) < 0.1
    assert planted.difference > 0.4


def test_the_null_is_measured_on_the_candidate_itself(apart, world, figures):
    """By hand: an unseen class's rows put where the forgotten ones were."""
    evidence = apart()
    observation = evidence.candidate
    measured = figures(linear_probe.audit(evidence))["linear_probe.dprime@penultimate"]
    retain = world.test_labels != FORGET
    values = []
    for u in range(4):
        rows = evidence.rng("unseen").permutation(np.flatnonzero(world.unseen_labels == u))
        features = np.concatenate(
            [
                observation.features["penultimate"][retain],
                observation.unseen.features["penultimate"][rows],
            ]
        )
        labels = np.append(world.test_labels[retain], np.full(60, FORGET))
        fold = sampling.folds(labels, 5, evidence.rng("linear_probe.folds"))
        scores = discriminant.held_out_scores(
            discriminant.standardised(features), labels, fold, [FORGET], 1e-6
        )[FORGET]
        high, low = scores[labels == FORGET], scores[labels != FORGET]
        spread = np.sqrt((np.var(high, ddof=1) + np.var(low, ddof=1)) / 2)
        values.append((high.mean() - low.mean()) / spread)
    assert measured.null == pytest.approx(values)


@pytest.mark.parametrize("audit", [few_shot.audit, linear_probe.audit, head_refit.audit])
def test_the_error_holds_the_spread_of_the_classes(apart, figures, audit):
    for measured in figures(audit(apart())).values():
        if measured.against == "unseen" and len(set(measured.null)) > 1:
            assert measured.standard_error**2 >= np.var(measured.null, ddof=1) / len(measured.null)
            assert measured.sizes["unseen_classes"] == 4


def test_references_come_first_where_there_are_some(world, figures):
    measured = figures(few_shot.audit(world.evidence(), draws=10))
    assert {m.against for m in measured.values()} == {"retrained"}


def test_two_unseen_classes_are_too_few(world, apart):
    two = np.isin(world.unseen_labels, (0, 1))

    def cut(observation):
        return replace(
            observation,
            unseen=replace(
                observation.unseen,
                logits=observation.unseen.logits[two],
                features={d: f[two] for d, f in observation.unseen.features.items()},
            ),
        )

    evidence = apart(
        cut(world.model("retrained", knows=False)),
        original=cut(world.model("original", knows=True)),
        unseen_labels=world.unseen_labels[two],
    )
    finding = few_shot.audit(evidence)
    assert finding.status == "NOT_RUN"
    assert "or give rows of 3 classes that nobody was trained on" in finding.reason


def test_no_more_rows_than_the_forgotten_class_has(apart, world):
    evidence = apart()
    stood_in, shown = novel_class_null.stand_in(evidence, evidence.candidate, 1)
    assert np.bincount(stood_in.test_labels).tolist() == [60] * 6
    assert len(shown.test_logits) == 360


def test_audits_that_need_retrained_models_say_so(apart):
    for name in ("routing", "similarity", "perturbation"):
        finding = AUDITS[name](apart())
        assert finding.status == "NOT_RUN"
        assert "0 retrained references were given and 3 are needed" in finding.reason
