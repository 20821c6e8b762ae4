import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from audits import calibrated
from audits.evidence import Shadow

RNG = np.random.default_rng(4)


def area(members, others):
    return roc_auc_score(
        np.repeat([1, 0], [len(members), len(others)]), np.concatenate([members, others])
    )


def nowhere(count, *sizes):
    """No shadow was trained on any image."""
    return [tuple(np.zeros(size, bool) for size in sizes) for _ in range(count)]


def images(count, leak=0.0):
    """Log odds of `count` images of very different difficulty on seven models that agree."""
    difficulty = RNG.normal(0, 5, count)
    own = difficulty + leak + RNG.normal(0, 1, count)
    return own, [difficulty + RNG.normal(0, 1, count) for _ in range(6)]


def test_difficulty_finds_a_leak_that_a_threshold_for_all_misses():
    inside, inside_others = images(300, leak=2.0)
    outside, outside_others = images(300)
    plain = area(inside, outside)
    shadows = list(zip(inside_others, outside_others, strict=True))
    calibrated_area = area(*calibrated.difficulty((inside, outside), shadows, nowhere(6, 300, 300)))
    assert plain < 0.68
    assert calibrated_area > 0.85


def test_what_a_shadow_that_was_trained_on_an_image_says_of_it_does_not_count():
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(size=5), rng.normal(size=4)
    shadows = [(rng.normal(size=5), rng.normal(size=4)) for _ in range(6)]
    kept = [(np.arange(5) == i, np.arange(4) == i) for i in range(6)]
    ours = calibrated.difficulty((inside, outside), shadows, kept)
    for part, own in enumerate((inside, outside)):
        for image, value in enumerate(own):
            without = [s[part][image] for i, s in enumerate(shadows) if i != image]
            assert ours[part][image] == pytest.approx(value - np.mean(without))
    distant = [
        tuple(v + 1e6 * k for v, k in zip(s, ks, strict=True))
        for s, ks in zip(shadows, kept, strict=True)
    ]
    again = calibrated.rmia((inside, outside), distant, kept)
    assert np.array_equal(
        np.concatenate(again),
        np.concatenate(calibrated.rmia((inside, outside), shadows, kept)),
    )


def test_rmia_is_the_share_of_population_images_beaten_by_hand():
    """Equations 4 and 10 of arXiv:2312.03262, counted pair by pair."""
    inside, outside = np.log(RNG.uniform(0.05, 0.95, 9)), np.log(RNG.uniform(0.05, 0.95, 7))
    others = [
        (np.log(RNG.uniform(0.05, 0.95, 9)), np.log(RNG.uniform(0.05, 0.95, 7))) for _ in range(3)
    ]
    ours = calibrated.rmia((inside, outside), others, nowhere(3, 9, 7))

    def ratio(value, theirs):
        out = np.mean(np.exp(theirs))
        return np.exp(value) / ((1 + 0.3) / 2 * out + (1 - 0.3) / 2)

    z = [ratio(outside[j], [o[1][j] for o in others]) for j in range(7)]
    for i in range(9):
        mine = ratio(inside[i], [o[0][i] for o in others])
        population = [z[j] for j in range(7) if j % 2 != i % 2]
        assert ours[0][i] == pytest.approx(np.mean([mine / other >= 2 for other in population]))
    for j in range(7):
        population = [z[k] for k in range(7) if k % 2 != j % 2]
        assert ours[1][j] == pytest.approx(np.mean([z[j] / other >= 2 for other in population]))


def test_rmia_of_a_model_that_is_sure_of_everything_finds_nothing():
    """Equal scores on both sides must not be told apart by how they were counted."""
    sure = np.log(RNG.uniform(0.999, 1.0, 80)), np.log(RNG.uniform(0.999, 1.0, 60))
    others = [(np.full(80, -30.0), np.full(60, -30.0)) for _ in range(4)]
    assert area(*calibrated.rmia(sure, others, nowhere(4, 80, 60))) == pytest.approx(0.5, abs=0.02)


def shadows(count, members, others, gain):
    """Log odds on shadows: an image gains where the shadow was trained with it."""
    difficulty = RNG.normal(0, 4, members), RNG.normal(0, 4, others)
    scores_of, inside = [], []
    for _ in range(count):
        kept = RNG.random(members) < 0.5, RNG.random(others) < 0.5
        scores_of.append(
            tuple(
                d + gain * k + RNG.normal(0, 1, len(d))
                for d, k in zip(difficulty, kept, strict=True)
            )
        )
        inside.append(kept)
    return difficulty, scores_of, inside


def test_the_likelihood_ratio_agrees_with_scipy():
    difficulty, scores_of, inside = shadows(24, 40, 30, gain=3.0)
    own = difficulty[0] + 1.0, difficulty[1]
    ours = calibrated.likelihood_ratio(own, scores_of, inside)

    def sides(part):
        scores = np.stack([m[part] for m in scores_of])
        kept = np.stack([k[part] for k in inside])
        with_it = [scores[kept[:, i], i] for i in range(scores.shape[1])]
        without = [scores[~kept[:, i], i] for i in range(scores.shape[1])]
        return with_it, without

    both = [sides(part) for part in (0, 1)]
    spread = [
        np.sqrt(np.mean([np.var(v, ddof=1) for part in (0, 1) for v in both[part][side]]))
        for side in (0, 1)
    ]
    move = np.median([v.mean() for v in both[1][1]]) - np.median(own[1])
    for part in (0, 1):
        with_it, without = (np.array([v.mean() for v in side]) for side in both[part])
        expected = stats.norm.logpdf(own[part] + move, with_it, spread[0]) - stats.norm.logpdf(
            own[part] + move, without, spread[1]
        )
        assert ours[part] == pytest.approx(expected)


def test_it_finds_members_of_the_audited_model_and_none_in_a_clean_one():
    difficulty, scores_of, inside = shadows(32, 200, 200, gain=3.0)
    noise = RNG.normal(0, 1, 200), RNG.normal(0, 1, 200)
    leaky = difficulty[0] + 3.0 + noise[0], difficulty[1] + noise[1]
    clean = difficulty[0] + noise[0], difficulty[1] + noise[1]
    assert area(*calibrated.likelihood_ratio(leaky, scores_of, inside)) > 0.95
    assert area(*calibrated.likelihood_ratio(clean, scores_of, inside)) == pytest.approx(
        0.5, abs=0.06
    )


def test_a_shadow_scored_in_the_audited_models_place_would_see_the_wrong_thing():
    """The published mistake: whatever the audited model leaks, a shadow's own score stays."""
    difficulty, scores_of, inside = shadows(32, 200, 200, gain=3.0)
    noise = RNG.normal(0, 1, 200), RNG.normal(0, 1, 200)
    leaky = difficulty[0] + 3.0 + noise[0], difficulty[1] + noise[1]
    right = area(*calibrated.likelihood_ratio(leaky, scores_of, inside))
    wrong = area(*calibrated.likelihood_ratio(scores_of[0], scores_of, inside))
    assert right > 0.95
    assert wrong == pytest.approx(0.5, abs=0.1)


def test_an_edit_that_lowers_all_scores_alike_hides_no_member():
    difficulty, scores_of, inside = shadows(32, 200, 200, gain=3.0)
    noise = RNG.normal(0, 1, 200), RNG.normal(0, 1, 200)
    low = difficulty[0] + 3.0 + noise[0] - 50.0, difficulty[1] + noise[1] - 50.0
    assert area(*calibrated.likelihood_ratio(low, scores_of, inside)) > 0.95


def test_gaussians_without_spread_are_refused_and_not_made_up():
    """The published mistake: 0/1 outcomes have sigma 0, and the ratio is NaN."""
    inside = [(RNG.random(10) < 0.5, RNG.random(10) < 0.5) for _ in range(16)]
    outcomes = [(np.ones(10), np.ones(10)) for _ in range(16)]
    reason = calibrated.likelihood_ratio((np.ones(10), np.ones(10)), outcomes, inside)
    assert isinstance(reason, str)
    assert "there is no spread to judge by" in reason


def test_images_that_no_shadow_left_out_are_told():
    inside = [(np.ones(5, bool), np.ones(5, bool)) for _ in range(8)]
    scores = [(RNG.normal(size=5), RNG.normal(size=5)) for _ in range(8)]
    for attack in (calibrated.likelihood_ratio, calibrated.difficulty, calibrated.rmia):
        reason = attack((np.ones(5), np.ones(5)), scores, inside)
        assert reason == "an image was in, or out of, fewer than two shadows: train more"


def test_the_attack_is_named_by_what_its_shadows_are():
    """All of them edited as the candidate was make it U-LiRA; one that was not does not."""
    nothing, inside = np.zeros((1, 2)), np.zeros(1, bool)
    edited, plain = (
        Shadow(
            train_logits=nothing,
            test_logits=nothing,
            train_inside=inside,
            test_inside=inside,
            edited=each,
        )
        for each in (True, False)
    )
    assert calibrated.kind([edited, edited]) == "u_lira"
    assert calibrated.kind([edited, plain]) == "lira"
    assert calibrated.kind([plain]) == calibrated.kind([]) == "lira"


@pytest.mark.parametrize("attack", [calibrated.difficulty, calibrated.rmia])
def test_two_shadows_without_an_image_are_enough_and_one_is_not(attack):
    rng = np.random.default_rng(1)
    own = np.log(rng.uniform(0.1, 0.9, 6)), np.log(rng.uniform(0.1, 0.9, 4))
    scores = [tuple(np.log(rng.uniform(0.1, 0.9, n)) for n in (6, 4)) for _ in range(3)]
    for part in (0, 1):
        inside = nowhere(3, 6, 4)
        inside[0][part][2] = True
        assert not isinstance(attack(own, scores, inside), str)
        inside[1][part][2] = True
        assert attack(own, scores, inside) == calibrated.FEW_SHADOWS


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("side", [True, False])
def test_a_likelihood_needs_two_shadows_on_either_side_of_every_image(part, side):
    rng = np.random.default_rng(2)
    own = rng.normal(size=6), rng.normal(size=4)
    scores = [(rng.normal(size=6), rng.normal(size=4)) for _ in range(4)]
    inside = [(np.full(6, i < 2), np.full(4, i < 2)) for i in range(4)]
    assert not isinstance(calibrated.likelihood_ratio(own, scores, inside), str)
    # one of two shadows changes sides for one image
    inside[0 if side else 3][part][1] = not side
    assert calibrated.likelihood_ratio(own, scores, inside) == calibrated.FEW_SHADOWS


@pytest.mark.parametrize("gamma", [1.0, None, 4.0])
@pytest.mark.parametrize("offline", [0.0, None, 0.9])
def test_rmia_with_other_settings_is_counted_pair_by_pair(gamma, offline):
    """Sixty images against fifty, so that settings a little off show; by default 2 and .3."""
    rng = np.random.default_rng(3)
    own = np.log(rng.uniform(0.05, 0.95, 60)), np.log(rng.uniform(0.05, 0.95, 50))
    shadows_of = [tuple(np.log(rng.uniform(0.05, 0.95, n)) for n in (60, 50)) for _ in range(3)]
    asked = {"gamma": gamma, "offline": offline}
    settings = {name: value for name, value in asked.items() if value is not None}
    ours = calibrated.rmia(own, shadows_of, nowhere(3, 60, 50), **settings)
    gamma, offline = (2.0 if gamma is None else gamma), (0.3 if offline is None else offline)

    def ratio(part, image):
        out = np.mean([np.exp(s[part][image]) for s in shadows_of])
        return np.exp(own[part][image]) / ((1 + offline) / 2 * out + (1 - offline) / 2)

    population = [[ratio(1, j) for j in range(50) if j % 2 != half] for half in (0, 1)]
    for part in (0, 1):
        for image, score in enumerate(ours[part]):
            beaten = [ratio(part, image) / other >= gamma for other in population[image % 2]]
            assert score == pytest.approx(np.mean(beaten))


def test_shadows_without_spread_on_one_side_alone_are_refused_too():
    rng = np.random.default_rng(5)
    inside = [(np.full(6, i < 2), np.full(4, i < 2)) for i in range(4)]
    for flat in (True, False):
        scores = [
            tuple(np.ones(n) if (i < 2) is flat else rng.normal(size=n) for n in (6, 4))
            for i in range(4)
        ]
        reason = calibrated.likelihood_ratio((np.ones(6), np.ones(4)), scores, inside)
        assert "there is no spread to judge by" in reason
