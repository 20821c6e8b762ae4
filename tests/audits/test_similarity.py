from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import pearsonr

from audits import sampling, similarity

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


def test_distances_between_class_means_are_those_of_rows_drawn_with_repetition(world):
    """All images once first, then each bootstrap by repeating its rows."""
    evidence = world.evidence()
    chosen = sampling.capped(evidence, 120, "similarity.rows")
    labels = world.test_labels[chosen]
    settings = {"rows": 120, "replicates": 5}
    grams = similarity.geometry(evidence, evidence.original, **settings)
    weights = similarity._weights(evidence, labels, 5)
    assert weights.shape == (6, 120)
    assert (weights[0] == 1).all()
    for c in range(6):
        assert (weights[:, labels == c].sum(1) == (labels == c).sum()).all()
    assert list(grams) == ["body", "penultimate", "logits"]
    features = evidence.original.features["body"][chosen].astype(np.float64)
    gram, distances = grams["body"]
    centred = features - features[labels != FORGET].mean(0)
    own = centred[labels == FORGET]
    assert gram == pytest.approx(own @ own.T)
    assert distances.shape == (6, 6, 6)
    for number, counts in enumerate(weights):
        rows = np.repeat(np.arange(120), counts)
        means = [features[rows][labels[rows] == c].mean(0) for c in range(6)]
        for a in range(6):
            for b in range(6):
                expected = np.linalg.norm(means[a] - means[b])
                assert distances[number, a, b] == pytest.approx(expected, abs=1e-6)
    own_weights = similarity._forgotten_weights(evidence, evidence.original, **settings)
    assert np.array_equal(own_weights, weights[:, labels == FORGET])


def test_profile_and_distance_of_two_forgotten_classes_by_hand(world):
    evidence = world.evidence(forget=(2, 4))
    rng = np.random.default_rng(6)
    points = rng.normal(size=(2, 6, 3))
    distances = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    retain = [0, 1, 3, 5]
    profile = similarity._profile(evidence, distances)
    assert profile == pytest.approx(distances[:, [2, 4]][:, :, retain])
    nearest = [[min(d[c][r] for r in retain) for c in (2, 4)] for d in distances]
    usual = [np.mean([min(d[r][o] for o in retain if o != r) for r in retain]) for d in distances]
    expected = [np.mean(own) / u for own, u in zip(nearest, usual, strict=True)]
    assert similarity._relative(evidence, distances) == pytest.approx(expected)
    assert similarity._relative(evidence, np.zeros((1, 6, 6))).tolist() == [0.0]
    small = similarity._relative(evidence, distances / 100)
    assert small == pytest.approx(expected)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_a_correlation_of_profiles_is_a_mean_over_forgotten_classes(scale):
    rng = np.random.default_rng(7)
    one, other = rng.normal(size=(2, 3, 2, 5)) * scale
    expected = [
        np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(*pair, strict=True)])
        for pair in zip(one, other, strict=True)
    ]
    assert similarity._correlation(one, other) == pytest.approx(expected)
    # of a flat profile nothing is known: it counts as 0
    one[:, 0] = 3.0
    half = [np.corrcoef(a[1], b[1])[0, 1] / 2 for a, b in zip(one, other, strict=True)]
    assert similarity._correlation(one, other) == pytest.approx(half)


def test_an_alignment_of_nothing_is_0_and_does_not_hang_on_the_scale():
    rng = np.random.default_rng(8)
    rows, others = rng.normal(size=(2, 6, 3))
    one, other = rows @ rows.T, others @ others.T
    weights = np.array([[1] * 6, [2, 0, 1, 1, 0, 2]])
    aligned = similarity.kernel_alignment(one, other, weights)
    for value, counts in zip(aligned, weights, strict=True):
        drawn = np.repeat(np.arange(6), counts)
        a, b = (m[np.ix_(drawn, drawn)] for m in (one, other))
        assert value == pytest.approx((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))
    assert similarity.kernel_alignment(1e-3 * one, other, weights) == pytest.approx(aligned)
    assert similarity.kernel_alignment(0 * one, other, weights).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("retain", "enough"), [(3, True), (2, False)])
def test_a_profile_needs_three_classes_that_stay(world, retain, enough):
    forget = tuple(range(6 - retain))
    reason = similarity.audit(world.evidence(forget=forget), rows=60, replicates=2).reason
    assert ("Fewer than 3 retain classes" in reason) is not enough


@pytest.mark.parametrize(
    ("own", "other", "status"), [(5, 2, "RUN"), (4, 2, "NOT_RUN"), (5, 1, "NOT_RUN")]
)
def test_five_rows_of_the_class_and_two_of_each_other_are_enough(world, own, other, status):
    labels = world.test_labels.copy()
    for c, count in ((2, own), (4, other)):
        labels[np.flatnonzero(labels == c)[count:]] = 0
    assert similarity.audit(world.evidence(test_labels=labels)).status == status
