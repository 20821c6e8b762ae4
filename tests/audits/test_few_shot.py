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


@pytest.mark.parametrize(("per_class", "chosen"), [(10, True), (9, False)])
def test_ten_images_of_the_class_are_enough_to_choose_an_earlier_depth(
    make_world, per_class, chosen
):
    evidence = make_world(per_class=per_class).evidence()
    assert (few_shot._earlier(evidence) == "body") is chosen
    assert (few_shot._earlier(evidence) is None) is not chosen


@pytest.mark.parametrize(
    ("rows", "shots", "enough"), [(15, 5, True), (14, 5, False), (11, 1, True), (10, 1, False)]
)
def test_ten_images_must_be_left_to_score(make_world, rows, shots, enough):
    reason = few_shot._too_few(make_world(per_class=rows).evidence(), shots)
    assert (reason == "") is enough
    said = f"{shots} labelled images a class leave too few to score: give more test rows"
    assert enough or reason == said


def test_the_rarest_class_says_how_many_supports_are_disjoint(world):
    evidence = world.evidence(forget=(2, 3))
    labels = np.where(world.test_labels == 3, np.arange(360) % 2 * 3, world.test_labels)
    few = replace(evidence, test_labels=labels, memo={})
    rarest = min(int((labels == c).sum()) for c in (2, 3))
    assert few_shot._disjoint(few, 7) == rarest // 7


@pytest.mark.parametrize("block", [1, 50, 10**6])
def test_draws_are_read_in_blocks_of_so_many_distances(monkeypatch, block):
    monkeypatch.setattr(few_shot, "BLOCK", block)
    chosen = np.arange(11 * 3 * 2).reshape(11, 3, 2)
    parts = list(few_shot._blocks(chosen, 4))
    # a draw has three classes and four queries: twelve distances
    step = max(1, block // 12)
    assert [len(part) for part in parts] == [min(step, 11 - start) for start in range(0, 11, step)]
    assert np.array_equal(np.concatenate(parts), chosen)


def test_the_error_of_an_average_has_images_and_draws():
    hits = np.array([[1.0, 0.0, np.nan, np.nan], [1.0, 1.0, 0.0, np.nan], [0.0, 1.0, 1.0, np.nan]])
    rows = np.array([7, 8, 9, 10])
    estimate = few_shot.averaged(hits, independent=2, rows=rows, source="few_shot.5")
    by_image, by_draw = [2 / 3, 2 / 3, 1 / 2], [1 / 2, 2 / 3, 2 / 3]
    assert estimate.value == pytest.approx(np.mean(by_image))
    assert estimate.bounds == (0.0, 1.0)
    of_images, of_draws = estimate.parts
    assert of_images.variance() == pytest.approx(np.var(by_image, ddof=1) / 3)
    assert of_draws.variance() == pytest.approx(np.var(by_draw, ddof=1) / 2)
    assert (of_images.units.source, of_images.units.rows.tolist()) == ("test rows", [7, 8, 9])
    assert (of_draws.units.source, of_draws.units.rows.tolist()) == (
        "draws of few_shot.5",
        [0, 1, 2],
    )
    assert few_shot.averaged(hits, independent=2).parts[0].units is None


def test_a_picture_has_a_curve_of_each_depth(world):
    finding = few_shot.audit(world.evidence(), shots=(1, 60), draws=12)
    curves = finding.series["depths"]
    assert sorted(curves) == ["body", "logits", "penultimate"]
    for curve in curves.values():
        assert curve["shots"] == [1]  # sixty leave none to score
        assert len(curve["candidate"]) == 1
    name = "few_shot.1@body"
    labels = {m.name: m.label for m in finding.measurements}
    assert labels[name].startswith("Forgotten class recognised from 1 labelled image a class, by")
