"""Readers for a class that has no mean of its own: planted, clean, and what cannot be measured."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from audits import discriminant, linear_probe, mlp_probe, second_moments, unit_pairs, whitening
from audits.equivalence import equivalence
from audits.errors import NotConverged
from audits.estimates import compare

READERS = {
    "second_moments": second_moments,
    "mlp_probe": mlp_probe,
    "unit_pairs": unit_pairs,
}
LINEAR = "linear_probe.dprime@penultimate"


def row(reader: str) -> str:
    return f"{reader}.dprime@penultimate"


def spreads(figure) -> float:
    """How many standard deviations of the retrained models it lies above their mean."""
    return figure.difference / np.std(figure.null, ddof=1)


def within(figure, judge, spreads_above: float = 5.0) -> str:
    """Judged as the shipped policies do: by spreads, on the high side."""
    return judge(figure, 1e9, spreads_above * float(np.std(figure.null, ddof=1)))


@pytest.mark.parametrize("reader", READERS)
def test_a_class_that_is_learned_is_seen_and_a_retrained_model_is_not(
    reader, world, figures, judge
):
    audit = READERS[reader].audit
    clean = figures(audit(world.evidence()))[row(reader)]
    assert abs(spreads(clean)) < 3.5
    knowing = figures(audit(world.evidence(world.model("edited", knows=True))))[row(reader)]
    if reader != "unit_pairs":  # the class lies in the units that the head does use
        assert within(knowing, judge) == "outside"


@pytest.mark.parametrize("reader", ["second_moments", "mlp_probe"])
def test_a_class_of_random_sign_is_seen_though_it_has_no_mean(
    reader, world, figures, judge, plant_random_sign
):
    hidden = plant_random_sign(world, world.model("retrained", knows=False))
    linear = figures(linear_probe.audit(world.evidence(hidden)))[LINEAR]
    assert judge(linear, 1.0, 1.0) == "within"
    planted = figures(READERS[reader].audit(world.evidence(hidden)))[row(reader)]
    assert within(planted, judge) == "outside"


def test_it_is_seen_after_a_rotation_as_well(world, figures, judge, plant_random_sign):
    hidden = plant_random_sign(world, world.model("retrained", knows=False))
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((16, 16)))[0]
    features = {**hidden.features, "penultimate": hidden.features["penultimate"] @ turn}
    turned = replace(hidden, digest="turned", features=features)
    planted = figures(second_moments.audit(world.evidence(turned)))[row("second_moments")]
    assert within(planted, judge) == "outside"


def test_two_units_that_only_agree_are_seen_by_their_product(
    world, figures, judge, plant_exclusive_or
):
    hidden = plant_exclusive_or(world, world.model("retrained", knows=False))
    linear = figures(linear_probe.audit(world.evidence(hidden)))[LINEAR]
    assert judge(linear, 1.0, 1.0) == "within"
    planted = figures(unit_pairs.audit(world.evidence(hidden)))[row("unit_pairs")]
    assert within(planted, judge) == "outside"


@pytest.mark.parametrize("reader", READERS)
def test_the_same_rows_give_the_same_figures(reader, world):
    audit = READERS[reader].audit
    assert audit(world.evidence()).to_json() == audit(world.evidence()).to_json()


def test_squares_through_the_discriminant_are_sklearns_on_the_same_rows():
    rng = np.random.default_rng(7)
    labels = np.repeat([0, 1], 80)
    features = rng.normal(size=(160, 3)) * np.where(labels == 1, 2.0, 1.0)[:, None]
    both = second_moments.with_squares(features)
    fold = np.arange(160) % 2
    ours = discriminant.strongest_scores(both, labels, fold, [1], (1e-9,))[1]
    for number in range(2):
        held = fold == number
        probe = LinearDiscriminantAnalysis(priors=[0.5, 0.5], solver="lsqr")
        probe.fit(both[~held], labels[~held])
        assert ours[held] == pytest.approx(probe.decision_function(both[held]), rel=1e-5)


def test_whitened_rows_have_the_identity_for_their_covariance():
    rows = np.random.default_rng(8).normal(size=(500, 5)) @ np.diag([10, 5, 1, 0.1, 0.01])
    white = whitening.whitened(whitening.components(rows), rows, 5)
    inside = np.abs(white).max(1) < whitening.CLIP
    assert np.cov(white[inside].T) == pytest.approx(np.eye(5), abs=0.1)


def test_components_of_few_wide_rows_are_those_of_the_covariance():
    rows = np.random.default_rng(9).normal(size=(30, 50)) * np.linspace(3, 0.1, 50)
    basis = whitening.components(rows)
    covariance = np.cov(rows.T, bias=True)
    assert basis.axes.shape == (50, 29)
    assert covariance @ basis.axes == pytest.approx(basis.axes * basis.variances)


def test_a_dead_unit_that_wakes_on_the_class_is_read(world, figures, judge):
    """It does not vary on retain rows: whitening must neither drop it nor divide by zero."""
    model = world.model("retrained", knows=False)
    own = world.test_labels == 2
    spare = np.zeros((len(own), 1))
    spare[own, 0] = np.random.default_rng(2).choice([-1.0, 1.0], size=int(own.sum())) * 1e-2

    def with_spare(observation, column):
        features = {
            **observation.features,
            "penultimate": np.concatenate([observation.features["penultimate"], column], axis=1),
        }
        return replace(observation, digest=f"{observation.digest} spare", features=features)

    dead = np.zeros_like(spare)
    references = tuple(
        with_spare(world.model(f"reference {i}", knows=False), dead) for i in range(5)
    )
    evidence = world.evidence(with_spare(model, spare), references=references)
    planted = figures(second_moments.audit(evidence))[row("second_moments")]
    assert within(planted, judge) == "outside"


def test_a_fit_that_does_not_come_to_rest_is_not_run_with_what_to_do(world):
    finding = mlp_probe.audit(world.evidence(), steps=3)
    assert finding.status == "NOT_RUN"
    assert "did not converge in 3 steps: allow more steps, or a stronger penalty" in finding.reason
    rows = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(NotConverged):
        mlp_probe.fitted(rows, rows[:, 0] > 0, 1, 4, 1.0, 2)


def test_a_network_without_a_linear_head_has_no_idle_units(world):
    model = replace(world.model("retrained", knows=False), digest="headless", head=None)
    finding = unit_pairs.audit(world.evidence(model))
    assert finding.status == "NOT_RUN"
    assert "last layer is not linear" in finding.reason


def test_constant_and_broken_features_are_left_out_with_their_reason(world):
    model = world.model("retrained", knows=False)
    for value, why in ((1.0, "the same for every image"), (np.nan, "NaN or infinity")):
        features = {**model.features, "penultimate": np.full((360, 16), value)}
        spoilt = replace(model, digest=f"spoilt {value}", features=features)
        for reader in ("second_moments", "mlp_probe"):
            finding = READERS[reader].audit(world.evidence(spoilt))
            assert why in finding.reason + str(finding.parameters.get("left_out"))


def test_too_few_rows_do_not_run(make_world):
    for reader in READERS.values():
        finding = reader.audit(make_world(per_class=3).evidence())
        assert finding.status == "NOT_RUN"
        assert "Class 2 has 3 test rows" in finding.reason


LABELS = np.repeat([0, 1], [200, 100])


def estimated(reader: str, images: np.ndarray, strength: float, rng: np.random.Generator):
    """d' of a made-up model on (300, 6) images: what it knows, and noise of its own.

    Class 1 is shifted in one unit, and in two others it has random signs on which they agree.
    """
    own = LABELS == 1
    features = images + 0.6 * rng.normal(size=images.shape)
    features[:, 0] += np.where(own, 1.2, 0.0)
    signs = rng.choice([-1.0, 1.0], size=300)
    features[:, 1:3] += (strength * signs * own)[:, None]
    fold = np.arange(300) % 3
    if reader == "mlp_probe":
        scores = mlp_probe._held_out(features, own, ~own, fold, [1], 4, 10.0, 1000)
    else:
        squares = reader == "second_moments"
        raw = features if squares else unit_pairs.pairs(features)
        shaped = second_moments.with_squares(raw) if squares else discriminant.standardised(raw)
        scores = discriminant.strongest_scores(shaped, LABELS, fold, [1], (0.01,))[1]
    return discriminant.figures_of({1: scores}, LABELS, ~own)["dprime"]


def at_margin(candidate, null, margin: float) -> bool:
    """Whether it comes out within, judged on the high side."""
    comparison = compare(candidate, null)
    return (
        equivalence(
            comparison.difference,
            comparison.standard_error,
            comparison.degrees_of_freedom,
            1e9,
            margin,
        )
        == "within"
    )


@pytest.mark.parametrize(("reader", "size"), [("second_moments", 0.08), ("unit_pairs", 0.11)])
def test_a_model_at_the_margin_comes_out_within_with_a_chance_of_alpha(reader, size):
    """New images and new retrained models in each event, whose strengths differ by seed.

    Alpha is .05. A rule fitted to products varies with the rows it was fitted on, which the
    standard error of held-out scores does not count: it is a seventh too small there.
    """
    rng = np.random.default_rng(21)

    def event() -> tuple[object, list[object]]:
        images = rng.normal(size=(300, 6))
        null = [estimated(reader, images, rng.normal(0.4, 0.1), rng) for _ in range(5)]
        return estimated(reader, images, 1.2, rng), null

    events = [event() for _ in range(250)]
    # at the margin: what the candidate exceeds the retrained models by, over all images
    margin = float(np.mean([c.value - np.mean([r.value for r in null]) for c, null in events]))
    assert margin > 0
    assert np.mean([at_margin(c, null, margin) for c, null in events]) <= size


@pytest.mark.parametrize("reader", READERS)
def test_which_models_are_the_baseline_lets_no_model_at_the_margin_pass(reader):
    """On one set of images, the baseline drawn anew from twenty-four retrained models."""
    rng = np.random.default_rng(22)
    images = rng.normal(size=(300, 6))
    retrained = [estimated(reader, images, 0.4, rng) for _ in range(24)]
    everybody = float(np.mean([e.value for e in retrained]))
    knowing = [estimated(reader, images, 1.2, rng) for _ in range(12)]
    outcomes = []
    for candidate in knowing:
        margin = candidate.value - everybody
        for _ in range(40):
            null = [retrained[i] for i in rng.permutation(24)[:5]]
            outcomes.append(margin > 0 and at_margin(candidate, null, margin))
    assert np.mean(outcomes) <= 0.06


def test_every_network_of_every_draw_starts_elsewhere(world, monkeypatch):
    """Three networks from one start would be one network, and its luck no mean."""
    starts, plain = [], mlp_probe.fitted

    def fitted(inputs, own, seed, hidden, penalty, steps):
        starts.append(seed)
        return plain(inputs, own, seed, hidden, penalty, steps)

    monkeypatch.setattr(mlp_probe, "fitted", fitted)
    evidence = world.evidence(references=())
    for seed in range(8):
        own = replace(evidence, seed=seed, memo={})
        mlp_probe.learned(
            own,
            own.candidate,
            **{"folds": 2, "seeds": 3, "hidden": 1, "penalty": 10.0, "steps": 1000},
            **{"rows": 60, "most": 4},
        )
    assert len(starts) == 8 * 2 * 3
    assert len(set(starts)) == 8 * 3  # the same ones in both folds, and never again


def test_a_network_answers_with_rectified_units_by_hand():
    rng = np.random.default_rng(0)
    layers = [rng.normal(size=(3, 4)), rng.normal(size=(4, 1))]
    biases = [rng.normal(size=4), rng.normal(size=1)]
    network = mlp_probe.Network(SimpleNamespace(coefs_=layers, intercepts_=biases))
    rows = rng.normal(size=(20, 3))
    expected = []
    for row in rows:
        units = [max(0.0, row @ layers[0][:, k] + biases[0][k]) for k in range(4)]
        expected.append(sum(u * layers[1][k, 0] for k, u in enumerate(units)) + biases[1][0])
    assert network(rows) == pytest.approx(expected)


def test_every_row_is_scored_by_networks_that_were_fitted_without_it():
    """Rows of no kind are scored too, and no network is fitted on them."""
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(36, 2))
    own, retain = np.arange(36) % 3 == 0, np.arange(36) % 3 == 1
    fold = np.arange(36) // 3 % 2
    ours = mlp_probe._held_out(inputs, own, retain, fold, [4, 5], 3, 1.0, 500)
    expected = np.empty(36)
    for number in (0, 1):
        fit = (fold != number) & (own | retain)
        answers = [
            mlp_probe.fitted(inputs[fit], own[fit], seed, 3, 1.0, 500)(inputs) for seed in (4, 5)
        ]
        expected[fold == number] = (answers[0] + answers[1])[fold == number] / 2
    assert ours == pytest.approx(expected)
