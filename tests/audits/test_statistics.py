import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import roc_auc_score, roc_curve

from audits import statistics
from audits.errors import BadStatistic, TooFewSamples

RNG = np.random.default_rng(5)


@pytest.mark.parametrize(("hits", "trials"), [(0, 20), (3, 20), (20, 20), (1, 1), (450, 500)])
def test_clopper_pearson_agrees_with_scipy(hits: int, trials: int) -> None:
    theirs = stats.binomtest(hits, trials).proportion_ci(0.95, method="exact")
    assert statistics.clopper_pearson(hits, trials) == pytest.approx((theirs.low, theirs.high))


def test_zero_errors_bound_the_rate_as_published() -> None:
    ends = [statistics.clopper_pearson(0, n, 0.90)[1] for n in (1000, 100, 50)]
    assert ends == pytest.approx([0.0030, 0.0295, 0.058], abs=0.0005)


def test_no_trials_have_no_interval() -> None:
    with pytest.raises(TooFewSamples, match="at least one"):
        statistics.clopper_pearson(0, 0)


def scores(decimals: int) -> tuple[np.ndarray, np.ndarray]:
    return RNG.normal(1, 1, 40).round(decimals), RNG.normal(0, 1, 70).round(decimals)


@pytest.mark.parametrize("decimals", [8, 0])
def test_the_area_agrees_with_sklearn_ties_included(decimals: int) -> None:
    high, low = scores(decimals)
    labels = np.repeat([1, 0], [len(high), len(low)])
    theirs = roc_auc_score(labels, np.concatenate([high, low]))
    assert statistics.auc(high, low).value == pytest.approx(theirs)


@pytest.mark.parametrize("decimals", [8, 0])
def test_delong_variance_agrees_with_all_pairs(decimals: int) -> None:
    high, low = scores(decimals)
    wins = (high[:, None] > low) + 0.5 * (high[:, None] == low)
    brute = wins.mean(1).var(ddof=1) / len(high) + wins.mean(0).var(ddof=1) / len(low)
    ours = sum(part.variance() for part in statistics.auc(high, low).parts)
    assert ours == pytest.approx(brute)


def test_delong_intervals_cover_the_true_area() -> None:
    truth = stats.norm.cdf(1 / np.sqrt(2))
    rng = np.random.default_rng(0)
    intervals = [
        statistics.auc(rng.normal(1, 1, 60), rng.normal(0, 1, 80)).interval() for _ in range(400)
    ]
    assert np.mean([low <= truth <= high for low, high in intervals]) == pytest.approx(
        0.95, abs=0.03
    )


def test_the_half_width_of_an_attack_without_signal_is_the_published_one() -> None:
    """1.96 sqrt((m + n + 1) / 12mn), Mann and Whitney 1947; single draws scatter around it."""
    rng = np.random.default_rng(1)
    intervals = [
        statistics.auc(rng.normal(size=500), rng.normal(size=100)).interval() for _ in range(100)
    ]
    mean = np.mean([(high - low) / 2 for low, high in intervals])
    assert mean == pytest.approx(1.96 * np.sqrt(601 / (12 * 500 * 100)), rel=0.03)


def test_a_perfect_area_is_not_certain() -> None:
    low, high = statistics.auc(np.arange(10.0, 20), np.arange(10.0)).interval()
    assert low < 0.9
    assert high == 1.0


def test_a_perfect_area_is_as_uncertain_as_one_deviating_image_of_each_group() -> None:
    """An image of n that deviates adds 1 / n^2: of ten images a hundredth, of twenty a 400th."""
    area = statistics.auc(np.arange(20.0, 30), np.arange(20.0))
    assert area.value == 1.0
    assert [part.variance() for part in area.parts] == pytest.approx([1 / 10**2, 1 / 20**2])


def test_dprime_is_the_distance_in_spreads() -> None:
    high, low = RNG.normal(3, 2, 50), RNG.normal(0, 1, 90)
    spread = np.sqrt((np.var(high, ddof=1) + np.var(low, ddof=1)) / 2)
    expected = (high.mean() - low.mean()) / spread
    assert statistics.dprime(high, low).value == pytest.approx(expected)


def test_the_error_of_dprime_agrees_with_the_jackknife() -> None:
    high, low = RNG.normal(3, 2, 80), RNG.normal(0, 1, 120)
    variance = 0.0
    for group, other, order in ((high, low, 1), (low, high, -1)):
        values = [
            statistics.dprime(*(np.delete(group, i), other)[::order]).value
            for i in range(len(group))
        ]
        variance += (len(group) - 1) * np.var(values)
    ours = sum(part.variance() for part in statistics.dprime(high, low).parts)
    assert ours == pytest.approx(variance, rel=0.05)


def test_dprime_of_constant_scores_is_refused() -> None:
    with pytest.raises(BadStatistic, match="scores that vary"):
        statistics.dprime(np.ones(5), np.ones(5))


@pytest.mark.parametrize("decimals", [8, 0])
def test_the_roc_curve_agrees_with_sklearn(decimals: int) -> None:
    high, low = scores(decimals)
    labels = np.repeat([1, 0], [len(high), len(low)])
    theirs = roc_curve(labels, np.concatenate([high, low]), drop_intermediate=False)
    fpr, tpr = statistics.roc(high, low)
    assert fpr == pytest.approx(theirs[0])
    assert tpr == pytest.approx(theirs[1])


def test_the_rate_at_few_false_alarms_never_allows_more() -> None:
    members, others = RNG.normal(2, 1, 300), RNG.normal(0, 1, 250)
    fpr, tpr = statistics.roc(members, others)
    brute = max(t for f, t in zip(fpr, tpr, strict=True) if f <= 0.01)
    assert statistics.tpr_at_fpr(members, others, 0.01).value == pytest.approx(brute)


@pytest.mark.parametrize(("rate", "least"), [(0.01, 100), (0.001, 1000)])
def test_low_false_alarm_rates_need_enough_non_members(rate: float, least: int) -> None:
    members = RNG.normal(size=50)
    assert statistics.tpr_at_fpr(members, RNG.normal(size=least), rate).value <= 1
    with pytest.raises(TooFewSamples, match=f"needs {least} non-members"):
        statistics.tpr_at_fpr(members, RNG.normal(size=least - 1), rate)


def test_the_threshold_adds_its_own_error() -> None:
    members, others = RNG.normal(1, 1, 300), RNG.normal(0, 1, 200)
    weights = statistics.bootstrap_weights(np.zeros(200), 100, np.random.default_rng(0))
    without = statistics.tpr_at_fpr(members, others, 0.01).interval()
    with_it = statistics.tpr_at_fpr(members, others, 0.01, weights=weights).interval()
    assert with_it[1] - with_it[0] > 1.2 * (without[1] - without[0])


def test_jensen_shannon_agrees_with_scipy() -> None:
    p, q = RNG.dirichlet(np.ones(9), size=2)
    assert statistics.jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q) ** 2)


def test_distances_of_one_hot_distributions_are_finite() -> None:
    one, other = np.eye(4)[:2]
    assert statistics.jensen_shannon(one, other) == pytest.approx(np.log(2))
    assert statistics.total_variation(one, other) == pytest.approx(1.0)
    assert statistics.jensen_shannon(one, one) == statistics.total_variation(one, one) == 0


def test_the_bootstrap_keeps_the_size_of_each_group_and_follows_its_seed() -> None:
    groups = np.repeat([3, 7], [5, 20])
    drawn = [
        statistics.bootstrap_weights(groups, 50, np.random.default_rng(seed)) for seed in (1, 1, 2)
    ]
    assert (drawn[0][:, groups == 3].sum(1) == 5).all()
    assert (drawn[0][:, groups == 7].sum(1) == 20).all()
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()


def test_placements_are_shares_of_the_other_group_on_the_proper_side() -> None:
    """2 is above 1 and ties with 2; 3 is above both."""
    above, below = statistics.placements(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    assert above == pytest.approx([0.75, 1.0])
    assert below == pytest.approx([1.0, 0.75])


def test_influences_are_what_leaving_a_score_out_does() -> None:
    """n times what one score adds, by brute force; together they add nothing."""
    high, low = RNG.normal(1, 1, 400), RNG.normal(0, 2, 300)
    whole = statistics.dprime(high, low)
    assert [part.contributions.mean() for part in whole.parts] == pytest.approx([0, 0], abs=1e-9)
    for row in (0, 17):
        without = statistics.dprime(np.delete(high, row), low).value
        assert whole.parts[0].contributions[row] == pytest.approx(
            (len(high) - 1) * (whole.value - without), abs=0.03
        )
        without = statistics.dprime(high, np.delete(low, row)).value
        assert whole.parts[1].contributions[row] == pytest.approx(
            (len(low) - 1) * (whole.value - without), abs=0.03
        )


def test_resampled_thresholds_give_rates_that_scatter_around_the_rate() -> None:
    rng = np.random.default_rng(7)
    members, others = rng.normal(1, 1, 400), rng.normal(0, 1, 200)
    weights = rng.multinomial(200, np.full(200, 1 / 200), size=300)
    estimate = statistics.tpr_at_fpr(members, others, 0.05, weights=weights)
    rates = estimate.parts[1].contributions
    brute = [np.mean(members > np.sort(np.repeat(others, counts))[199 - 10]) for counts in weights]
    assert rates == pytest.approx(brute)
    assert estimate.parts[1].freedom == 199


def test_shares_and_areas_lie_between_0_and_1_and_a_distance_anywhere() -> None:
    rng = np.random.default_rng(8)
    high, low = rng.normal(size=(2, 120)) + np.array([[0.5], [0.0]])
    hits = (high > 0).astype(float)
    for estimate in (
        statistics.proportion(hits),
        statistics.auc(high, low),
        statistics.tpr_at_fpr(high, low, 0.01),
    ):
        assert estimate.bounds == (0.0, 1.0)
    assert statistics.dprime(high, low).bounds == (-np.inf, np.inf)
    assert statistics.proportion(hits).trials == 120
    assert [part.freedom for part in statistics.auc(high, low[:50]).parts] == [119, 49]
