from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from audits import few_shot, sampling

FORGET = 2


def test_a_class_that_is_ready_to_come_back_is_seen(world, figures, judge):
    clean, planted = (
        figures(few_shot.audit(world.evidence(candidate), draws=40))
        for candidate in (None, world.model("edited", knows=True))
    )
    for shots in (1, 5):
        name = f"few_shot.{shots}@penultimate"
        assert judge(clean[name], 0.2, 0.2) == "within"
        assert judge(planted[name], 0.2, 0.2) == "outside"


def test_prototypes_agree_with_sklearn():
    rng = np.random.default_rng(1)
    labels = np.arange(90) % 3
    features = rng.normal(size=(90, 5)) + labels[:, None]
    chosen = sampling.supports(labels, [0, 1, 2], shots=4, draws=6, generator=rng)
    queries = np.arange(0, 90, 7)
    ours = few_shot.nearest_prototypes(features, chosen, queries)
    for draw, support in enumerate(chosen):
        rows = support.ravel()
        theirs = NearestCentroid().fit(features[rows], labels[rows])
        assert (ours[draw] == theirs.predict(features[queries])).all()


def test_the_value_is_a_count_by_hand(world, figures):
    """Images that were labelled in a draw are not scored in it."""
    evidence = world.evidence()
    draws = 12
    measured = figures(few_shot.audit(evidence, shots=(5,), draws=draws))["few_shot.5@penultimate"]
    features, labels = evidence.candidate.features["penultimate"], world.test_labels
    chosen = sampling.supports(
        labels, range(6), shots=5, draws=draws, generator=evidence.rng("few_shot.5")
    )
    queries = np.flatnonzero(labels == FORGET)
    hits = {row: [] for row in queries}
    for support in chosen:
        centres = np.array([features[rows].mean(0) for rows in support])
        for row in queries:
            if row not in support:
                nearest = np.linalg.norm(centres - features[row], axis=1).argmin()
                hits[row].append(nearest == FORGET)
    assert measured.value == pytest.approx(np.mean([np.mean(h) for h in hits.values()]))


def test_more_draws_of_the_same_images_prove_nothing_new(world, figures):
    """The interval stops shrinking where the rows give no new disjoint supports."""
    widths = []
    for draws in (12, 200):
        measured = figures(few_shot.audit(world.evidence(), shots=(20,), draws=draws))
        low, high = measured["few_shot.20@penultimate"].interval
        widths.append(high - low)
    assert widths[1] > 0.6 * widths[0]


def test_an_image_that_was_labelled_in_every_draw_is_not_scored():
    hits = np.array([[np.nan, 1.0, 0.0], [np.nan, np.nan, 1.0]])
    assert few_shot.averaged(hits, independent=2).value == pytest.approx((1 + 0.5) / 2)


def test_the_head_is_not_asked(world, figures):
    """Suppressing or permuting outputs leaves the features, and this audit, as they are."""
    remembering = world.model("edited", knows=True)
    logits = remembering.test_logits[:, [1, 2, 0, 3, 4, 5]].copy()
    logits[:, FORGET] = -1e9
    hidden = replace(remembering, digest="hidden", test_logits=logits, retired=(FORGET,))
    name = "few_shot.1@penultimate"
    plain = figures(few_shot.audit(world.evidence(remembering), draws=30))[name].value
    assert figures(few_shot.audit(world.evidence(hidden), draws=30))[name].value == plain


def test_the_outputs_of_the_others_are_read_without_the_class_own(world, figures):
    remembering = world.model("edited", knows=True)
    logits = remembering.test_logits.copy()
    logits[:, FORGET] = np.random.default_rng(0).normal(size=len(logits)) * 50
    noisy = replace(remembering, digest="noisy", test_logits=logits)
    name = "few_shot.5@logits"
    plain = figures(few_shot.audit(world.evidence(remembering), draws=30))[name].value
    assert figures(few_shot.audit(world.evidence(noisy), draws=30))[name].value == plain


def test_shots_that_leave_too_few_to_score_are_left_out(make_world, figures):
    finding = few_shot.audit(make_world(per_class=20).evidence(), draws=10)
    measured = figures(finding)
    assert "few_shot.5@penultimate" in measured
    assert (
        "20 labelled images a class leave too few"
        in (finding.parameters["left_out"]["few_shot.20@penultimate"])
    )


def test_too_few_rows_at_all_do_not_run(make_world):
    finding = few_shot.audit(make_world(per_class=8).evidence())
    assert finding.status == "NOT_RUN"
    assert "Class 2 has 8 test rows and 11 are needed" in finding.reason


def test_features_that_are_not_finite_are_named(world):
    model = world.model("retrained", knows=False)
    features = {**model.features, "penultimate": model.features["penultimate"] * np.inf}
    finding = few_shot.audit(world.evidence(replace(model, digest="inf", features=features)))
    reason = finding.parameters["left_out"]["few_shot.1@penultimate"]
    assert reason == "not measured on the candidate: the features hold NaN or infinity"
