from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import pearsonr

from audits import similarity

FORGET, RETAIN = 2, [0, 1, 3, 4, 5]


def test_a_class_that_stands_apart_is_seen_and_a_retrained_model_is_not(world, figures, judge):
    clean, planted = (
        figures(similarity.audit(world.evidence(c)))
        for c in (None, world.model("edited", knows=True))
    )
    for figure, margin in (("distance", 0.15), ("cka", 0.15)):
        name = f"similarity.{figure}@penultimate"
        assert judge(clean[name], margin, margin) == "within"
        assert judge(planted[name], margin, margin) == "outside"
    assert planted["similarity.distance@penultimate"].difference > 0
    assert planted["similarity.cka@penultimate"].difference < 0


def test_the_alignment_is_the_cka_of_the_paper_where_features_are_centred():
    """Kornblith et al. 2019, equation 3, on centred features, and its invariances."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 5)), rng.normal(size=(30, 8))
    y[:, :3] += x[:, :3]
    x, y = x - x.mean(0), y - y.mean(0)
    expected = np.linalg.norm(y.T @ x, "fro") ** 2 / (
        np.linalg.norm(x.T @ x, "fro") * np.linalg.norm(y.T @ y, "fro")
    )
    ones = np.ones((1, 30))
    alignment = similarity.kernel_alignment(x @ x.T, y @ y.T, ones)
    assert alignment == pytest.approx([expected])
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    turned = 7.0 * y @ turn
    assert similarity.kernel_alignment(x @ x.T, turned @ turned.T, ones) == pytest.approx(alignment)


def test_a_bootstrap_is_the_alignment_of_the_images_drawn_twice():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 4))
    counts = np.array([[2, 0, 1, 1, 1, 1]])
    rows = np.repeat(np.arange(6), counts[0])
    drawn = similarity.kernel_alignment(x[rows] @ x[rows].T, y[rows] @ y[rows].T, np.ones((1, 6)))
    assert similarity.kernel_alignment(x @ x.T, y @ y.T, counts) == pytest.approx(drawn)


def test_profile_and_distance_agree_with_scipy(world, figures):
    evidence = world.evidence()
    measured = figures(similarity.audit(evidence))

    def means(model):
        features = model.features["penultimate"]
        return np.array([features[world.test_labels == c].mean(0) for c in range(6)])

    def profile(model):
        return cdist(means(model)[[FORGET]], means(model)[RETAIN])[0]

    agreement = [
        pearsonr(profile(evidence.candidate), profile(r)).statistic for r in evidence.references
    ]
    assert measured["similarity.profile@penultimate"].value == pytest.approx(np.mean(agreement))
    among = cdist(*[means(evidence.candidate)[RETAIN]] * 2)
    np.fill_diagonal(among, np.inf)
    relative = profile(evidence.candidate).min() / among.min(1).mean()
    assert measured["similarity.distance@penultimate"].value == pytest.approx(relative)


def test_where_the_images_lie_counts_not_only_how_they_spread(world, figures):
    """Centred on themselves, images that were moved as a whole would look the same."""
    model = world.model("retrained", knows=False)
    moved = model.features["penultimate"].copy()
    moved[world.test_labels == FORGET] += 6 * world.centres[10]
    away = replace(model, digest="moved", features={**model.features, "penultimate": moved})
    measured = figures(similarity.audit(world.evidence(away)))["similarity.cka@penultimate"]
    assert measured.difference < -0.2


def test_scale_and_rotation_change_nothing(world, figures):
    model = world.model("retrained", knows=False)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0]
    other = replace(
        model,
        digest="turned",
        features={**model.features, "penultimate": 100 * model.features["penultimate"] @ turn},
    )
    plain, turned = (figures(similarity.audit(world.evidence(m))) for m in (model, other))
    for figure in ("cka", "profile", "distance"):
        name = f"similarity.{figure}@penultimate"
        assert turned[name].value == pytest.approx(plain[name].value, rel=1e-6)


def test_what_cannot_be_compared_is_named(world, with_nan):
    finding = similarity.audit(world.evidence(references=()))
    assert "0 retrained references were given and 3 are needed" in finding.reason
    finding = similarity.audit(world.evidence(forget=(0, 1, 2, 3)))
    assert "Fewer than 3 retain classes" in finding.reason
    model = world.model("retrained", knows=False)
    flat = replace(model, digest="flat", features={**model.features, "body": np.ones((360, 8))})
    left_out = similarity.audit(world.evidence(flat)).parameters["left_out"]
    assert "the same for every image" in left_out["similarity.cka@body"]


def with_width(model, width: int):
    """The model with more features in its body: another architecture."""
    body = np.random.default_rng(width).normal(size=(len(model.features["body"]), width))
    return replace(
        model, digest=f"{model.digest} {width}", features={**model.features, "body": body}
    )


def test_a_candidate_of_another_architecture_is_measured_and_decides_nothing(world, figures):
    other = with_width(world.model("retrained", knows=False), 12)
    measured = figures(similarity.audit(world.evidence(other)))["similarity.cka@penultimate"]
    assert "another architecture" in measured.aside
    alike = figures(similarity.audit(world.evidence()))["similarity.cka@penultimate"]
    assert alike.aside == ""


def test_references_of_several_architectures_are_no_null(world):
    references = tuple(world.model(f"reference {i}", knows=False) for i in range(5))
    mixed = (with_width(references[0], 12), *references[1:])
    finding = similarity.audit(world.evidence(references=mixed))
    assert finding.status == "NOT_RUN"
    assert "several architectures" in finding.reason
    assert "one recipe" in finding.reason


def test_the_references_are_counted_as_the_candidate_is(world, figures):
    """The null's mean is that over all pairs, its spread that of one more model's likeness."""
    evidence = world.evidence()
    measured = figures(similarity.audit(evidence))["similarity.cka@penultimate"]
    settings = {"levels": ("body", "penultimate", "logits"), "rows": 600, "replicates": 200}
    values = np.zeros((5, 5))
    for i, one in enumerate(evidence.references):
        for j, other in enumerate(evidence.references):
            if i != j:
                pair = evidence.between(similarity.likeness, one, other, **settings)
                values[i, j] = pair["similarity.cka@penultimate"][0]
    pairs = values[np.triu_indices(5, 1)]
    assert np.mean(measured.null) == pytest.approx(pairs.mean())
    left_out = values.sum(1) / 4
    spread = np.std(left_out, ddof=1) * 4 / 3
    assert np.std(measured.null, ddof=1) == pytest.approx(spread)
