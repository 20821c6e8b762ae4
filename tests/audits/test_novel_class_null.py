from dataclasses import replace

import numpy as np
import pytest

from audits import AUDITS, few_shot, head_refit, linear_probe, novel_class_null, sampling

FORGET = 2


@pytest.fixture
def apart(world):
    """The evidence without retrained references: classes that nobody saw are the yardstick."""

    def made(candidate=None, **changes):
        return world.evidence(candidate, references=(), **changes)

    return made


def test_a_class_that_is_as_readable_as_one_never_seen_is_told_from_one_that_was_learned(
    apart, world, figures
):
    clean = figures(few_shot.audit(apart(), draws=40))["few_shot.1@penultimate"]
    known = apart(world.model("edited", knows=True))
    planted = figures(few_shot.audit(known, draws=40))["few_shot.1@penultimate"]
    assert clean.against == planted.against == "unseen"
    assert len(clean.null) == 4
    assert abs(clean.difference) < 0.1
    assert planted.difference > 0.4


def test_the_null_is_measured_on_the_candidate_itself(apart, world, figures):
    """By hand: an unseen class's rows put where the forgotten ones were."""
    evidence = apart()
    seen = evidence.candidate
    told = figures(linear_probe.audit(evidence))["linear_probe.dprime@penultimate"]
    retain = world.test_labels != FORGET
    values = []
    for u in range(4):
        rows = evidence.rng("unseen").permutation(np.flatnonzero(world.unseen_labels == u))
        features = np.concatenate(
            [seen.features["penultimate"][retain], seen.unseen.features["penultimate"][rows]]
        )
        labels = np.append(world.test_labels[retain], np.full(60, FORGET))
        fold = sampling.folds(labels, 5, evidence.rng("linear_probe.folds"))
        scores = linear_probe.held_out_scores(
            linear_probe.standardised(features), labels, fold, [FORGET], 1e-6
        )[FORGET]
        high, low = scores[labels == FORGET], scores[labels != FORGET]
        spread = np.sqrt((np.var(high, ddof=1) + np.var(low, ddof=1)) / 2)
        values.append((high.mean() - low.mean()) / spread)
    assert told.null == pytest.approx(values)


@pytest.mark.parametrize("audit", [few_shot.audit, linear_probe.audit, head_refit.audit])
def test_the_error_holds_the_spread_of_the_classes(apart, figures, audit):
    for seen in figures(audit(apart())).values():
        if seen.against == "unseen" and len(set(seen.null)) > 1:
            assert seen.standard_error**2 >= np.var(seen.null, ddof=1) / len(seen.null)
            assert seen.sizes["unseen_classes"] == 4


def test_references_come_first_where_there_are_some(world, figures):
    seen = figures(few_shot.audit(world.evidence(), draws=10))
    assert {m.against for m in seen.values()} == {"retrained"}


def test_two_unseen_classes_are_too_few(world, apart):
    two = np.isin(world.unseen_labels, (0, 1))

    def cut(seen):
        return replace(
            seen,
            unseen=replace(
                seen.unseen,
                logits=seen.unseen.logits[two],
                features={d: f[two] for d, f in seen.unseen.features.items()},
            ),
        )

    evidence = apart(
        cut(world.model("retrained", knows=False)),
        original=cut(world.model("original", knows=True)),
        unseen_labels=world.unseen_labels[two],
    )
    told = few_shot.audit(evidence)
    assert told.status == "NOT_RUN"
    assert "or give rows of 3 classes that nobody was trained on" in told.reason


def test_no_more_rows_than_the_forgotten_class_has(apart, world):
    evidence = apart()
    stood_in, shown = novel_class_null.case(evidence, evidence.candidate, 1)
    assert np.bincount(stood_in.test_labels).tolist() == [60] * 6
    assert len(shown.test_logits) == 360


def test_audits_that_need_retrained_models_say_so(apart):
    for name in ("routing", "similarity", "perturbation"):
        told = AUDITS[name](apart())
        assert told.status == "NOT_RUN"
        assert "0 retrained references were given and 3 are needed" in told.reason
