from dataclasses import replace

import numpy as np
import pytest
from sklearn.covariance import ShrunkCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from audits import depths, discriminant, few_shot, linear_probe, sampling, similarity

FORGET = 2


def test_a_class_that_is_readable_is_seen_at_the_last_features(world, figures, judge):
    remembering = world.model("edited", knows=True)
    clean, planted = (
        figures(linear_probe.audit(world.evidence(candidate))) for candidate in (None, remembering)
    )
    name = "linear_probe.dprime@penultimate"
    assert judge(clean[name], 1.0, 1.0) == "within"
    assert judge(planted[name], 1.0, 1.0) == "outside"


def test_overshoot_is_seen_too(world, figures, judge):
    """Retrained models keep some of the class; a model with nothing at all is no retrained one."""
    references = tuple(world.model(f"knowing {i}", knows=True) for i in range(5))
    blank = world.model("blank", knows=False)
    measured = figures(linear_probe.audit(world.evidence(blank, references=references)))
    assert judge(measured["linear_probe.dprime@penultimate"], 1.0, 1.0) == "outside"
    assert measured["linear_probe.dprime@penultimate"].difference < -2


def test_the_discriminant_agrees_with_sklearn_fold_by_fold():
    """Equal priors, two classes, both covariances shrunk by sklearn's own formula."""
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], [80, 40])
    features = rng.normal(size=(120, 6)) @ rng.normal(size=(6, 6)) + labels[:, None] * 0.7
    fold = np.arange(120) % 4
    ours = discriminant.held_out_scores(features, labels, fold, [1], shrinkage=0.1)[1]
    for number in range(4):
        held = fold == number
        train, target = features[~held], labels[~held]
        spread = sum(
            ShrunkCovariance(shrinkage=0.1).fit(train[target == c]).covariance_ / 2 for c in (0, 1)
        )
        means = [train[target == c].mean(0) for c in (0, 1)]
        axis = np.linalg.solve(spread, means[1] - means[0])
        expected = (features[held] - np.mean(means, axis=0)) @ axis
        assert ours[held] == pytest.approx(expected)


def test_nearly_without_shrinkage_it_is_sklearns_discriminant_analysis():
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1], 100)
    features = rng.normal(size=(200, 4)) + labels[:, None]
    fold = np.arange(200) % 2
    ours = discriminant.held_out_scores(features, labels, fold, [1], shrinkage=1e-9)[1]
    theirs = np.empty(200)
    for number in range(2):
        held = fold == number
        probe = LinearDiscriminantAnalysis(priors=[0.5, 0.5], solver="lsqr")
        probe.fit(features[~held], labels[~held])
        theirs[held] = probe.decision_function(features[held])
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_features_without_signal_are_at_chance_though_they_are_many():
    """The published mistake: a probe scored on its own training rows reads noise perfectly."""
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1], 60)
    noise = rng.normal(size=(120, 100))
    fold = np.tile(np.arange(5), 24)
    held_out = discriminant.held_out_scores(noise, labels, fold, [1], shrinkage=0.01)[1]
    fitted = LinearDiscriminantAnalysis(priors=[0.5, 0.5]).fit(noise, labels)
    assert roc_auc_score(labels, fitted.decision_function(noise)) > 0.95
    assert roc_auc_score(labels, held_out) == pytest.approx(0.5, abs=0.15)


def test_the_area_at_a_depth_is_sklearns_on_the_same_scores(world, figures):
    evidence = world.evidence()
    measured = figures(linear_probe.audit(evidence))
    fold = sampling.folds(world.test_labels, 5, evidence.rng("linear_probe.folds"))
    features = discriminant.standardised(depths.at(evidence, evidence.candidate, "penultimate"))
    scores = discriminant.held_out_scores(features, world.test_labels, fold, [FORGET], 1e-6)
    assert measured["linear_probe.auc@penultimate"].value == pytest.approx(
        roc_auc_score(world.test_labels == FORGET, scores[FORGET])
    )


def test_rotating_rescaling_or_shifting_the_features_hides_nothing(world, figures):
    """A cheat: the class is still there, in other coordinates."""
    rng = np.random.default_rng(6)
    remembering = world.model("edited", knows=True)
    turn = np.linalg.qr(rng.normal(size=(16, 16)))[0] * 1e-3
    turned = {d: f @ turn[: f.shape[1], : f.shape[1]] + 5 for d, f in remembering.features.items()}
    hidden = replace(remembering, digest="turned", features=turned)
    name = "linear_probe.dprime@penultimate"
    plain = figures(linear_probe.audit(world.evidence(remembering)))[name].value
    disguised = figures(linear_probe.audit(world.evidence(hidden)))[name].value
    assert disguised == pytest.approx(plain, rel=0.02)


def test_an_absolute_area_says_nothing_where_the_retrained_have_it_too(world, figures, judge):
    """The published mistake: .99 is no failure if models that never saw the class show .99."""
    everybody = [world.model(f"backbone {i}", knows=True) for i in range(6)]
    evidence = world.evidence(everybody[0], references=tuple(everybody[1:]))
    measured = figures(linear_probe.audit(evidence))["linear_probe.auc@penultimate"]
    assert measured.value > 0.95
    assert judge(measured, 0.05, 0.05) == "within"


def test_two_forgotten_classes_are_averaged(world, figures):
    model = world.model("edited", knows=True)
    single = [
        figures(linear_probe.audit(world.evidence(model, forget=(c, 4 if c == 2 else 2))))
        for c in (2, 4)
    ]
    name = "linear_probe.dprime@penultimate"
    assert single[0][name].value == pytest.approx(single[1][name].value)


def test_constant_or_broken_features_are_left_out_with_their_reason(world, figures):
    model = world.model("retrained", knows=False)
    for value, why in ((1.0, "the same for every image"), (np.nan, "NaN or infinity")):
        features = {**model.features, "body": np.full((360, 8), value)}
        spoilt = replace(model, digest=f"spoilt {value}", features=features)
        finding = linear_probe.audit(world.evidence(spoilt))
        assert why in finding.parameters["left_out"]["linear_probe.dprime@body"]
        assert "linear_probe.dprime@penultimate" in figures(finding)


def test_a_depth_that_the_baseline_lacks_is_no_depth_of_the_audit(world, figures):
    references = [world.model(f"reference {i}", knows=False) for i in range(5)]
    references[3] = replace(
        references[3], features={"penultimate": references[3].features["penultimate"]}
    )
    measured = figures(linear_probe.audit(world.evidence(references=tuple(references))))
    assert {name.partition("@")[2] for name in measured} == {"penultimate", "logits"}


def test_a_depth_that_the_candidate_lacks_is_told_and_not_forgotten(world, figures):
    model = world.model("retrained", knows=False)
    other = replace(model, digest="other", features={"penultimate": model.features["penultimate"]})
    finding = linear_probe.audit(world.evidence(other))
    assert {name.partition("@")[2] for name in figures(finding)} == {"penultimate", "logits"}
    left_out = finding.parameters["left_out"]
    reason = left_out["linear_probe.dprime@body"]
    assert reason == "not measured on the candidate: it has no such depth"
    assert left_out["linear_probe.dprime@earlier"] == reason
    for audit, name in (
        (few_shot.audit, "few_shot.1@body"),
        (similarity.audit, "similarity.cka@body"),
    ):
        assert audit(world.evidence(other)).parameters["left_out"][name] == reason


def test_wide_features_are_read_whole_by_the_strongest_of_several_probes(world, figures, judge):
    remembering = world.model("edited", knows=True)
    for candidate, expected in ((None, "within"), (remembering, "outside")):
        finding = linear_probe.audit(world.evidence(candidate), widest=12)
        assert finding.parameters["widest"] == 12
        assert finding.parameters["few_rows"] == [1e-6, 1e-4, 1e-2]
        assert judge(figures(finding)["linear_probe.dprime@penultimate"], 1.0, 1.0) == expected


def test_too_few_rows_for_the_folds_do_not_run(make_world):
    finding = linear_probe.audit(make_world(per_class=9).evidence())
    assert finding.status == "NOT_RUN"
    assert "Class 2 has 9 test rows and 10 are needed" in finding.reason


def test_the_strongest_of_several_readings_is_that_of_the_largest_dprime_whatever_its_scale():
    """Means 1 and 4 apart, spreads alike; in units as small as a weakly shrunk axis gives."""
    noise = np.tile([-0.5, 0.5], 20)
    own = np.arange(40) < 20
    for scale in (1e-3, 1.0, 1e3):
        scores = scale * np.stack([noise + 1.0 * own, noise + 4.0 * own, 0.0 * noise])
        chosen = discriminant._strongest(scores, own, ~own)
        assert chosen == pytest.approx(scores[1])
