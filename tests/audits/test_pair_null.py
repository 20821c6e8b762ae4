import numpy as np
import pytest

from audits.pair_null import effects, influence, null_of, table


def pairs(count: int, generator: np.random.Generator, own: float, pair: float):
    """Values of K references with each other, of one candidate with each, and the a's."""
    a = own * generator.standard_normal(count)
    noise = np.triu(pair * generator.standard_normal((count, count)), 1)
    candidate = a + pair * generator.standard_normal(count)
    return a[:, None] + a + noise + noise.T, candidate, a


def test_the_effects_are_those_of_least_squares() -> None:
    among, _, _ = pairs(5, np.random.default_rng(0), 1.0, 0.5)
    rows, columns = np.triu_indices(5, 1)
    design = np.zeros((10, 6))
    design[:, 0] = 1
    design[np.arange(10), 1 + rows] += 1
    design[np.arange(10), 1 + columns] += 1
    fitted = np.linalg.lstsq(design, among[rows, columns], rcond=None)[0][1:]
    assert effects(among) == pytest.approx(fitted - fitted.mean())


def test_references_counted_as_a_candidate_scatter_as_candidates_do() -> None:
    """Means that leave one out shrink the spread by (K - 2) / (K - 1): .75 of it with five."""
    generator = np.random.default_rng(1)
    ours, left_out = [], []
    for _ in range(1500):
        among, _, _ = pairs(5, generator, 1.0, 0.0)
        ours.append(np.var(effects(among), ddof=1))
        others = ~np.eye(5, dtype=bool)
        left_out.append(np.var([among[i][others[i]].mean() for i in range(5)], ddof=1))
    assert np.mean(ours) == pytest.approx(1.0, abs=0.05)
    assert np.mean(left_out) == pytest.approx(0.75**2, abs=0.03)


@pytest.mark.parametrize("count", [3, 5, 10])
@pytest.mark.parametrize("pair", [0.0, 0.5, 2.0])
def test_the_influences_spread_is_the_variance_of_the_difference(count: int, pair: float) -> None:
    generator = np.random.default_rng(2)
    differences, variances = [], []
    for _ in range(2000):
        among, candidate, _ = pairs(count, generator, 1.0, pair)
        mean = among[np.triu_indices(count, 1)].mean()
        differences.append(candidate.mean() - mean)
        own = influence(candidate, effects(among))
        assert own.sum() == pytest.approx(0.0, abs=1e-9)
        variances.append(np.var(own, ddof=1) / count)
    expected = (1 + pair**2 * (count + 1) / (count - 1)) / count
    assert np.var(differences) == pytest.approx(expected, rel=0.13)
    assert np.mean(variances) == pytest.approx(expected, rel=0.13)


def test_two_references_have_one_pair_and_say_nothing_of_each_other() -> None:
    among = np.array([[0.0, 0.7], [0.7, 0.0]])
    assert effects(among) == pytest.approx([0.0, 0.0])
    candidate = np.array([0.5, 0.7])
    # as if all of the candidate's own spread were the pairs': three times its variance over two
    assert np.var(influence(candidate, effects(among)), ddof=1) == pytest.approx(3 * 0.02)


def test_the_members_mean_is_the_mean_over_pairs() -> None:
    generator = np.random.default_rng(3)
    rows = [[generator.random(4) for _ in range(3 - i)] for i in range(3)]
    among = table(rows)
    assert among[2, 1] == pytest.approx(rows[1][0])
    candidate = generator.random((4, 4))
    null = null_of(candidate, candidate, among, units=9)
    mean = np.mean([value for row in rows for value in row], axis=0)
    for members in (null.members, null.to_candidate, null.to_original):
        assert np.mean([member.value for member in members]) == pytest.approx(mean[0])
        noise = np.mean([member.parts[0].contributions for member in members], axis=0)
        assert noise == pytest.approx(mean[1:])


@pytest.mark.parametrize("count", [3, 4, 7, 20])
def test_the_slope_balances_both_kinds_of_spread(count: int) -> None:
    """(1 + l^2 / (K - 2)) / (1 - l)^2 = (K + 1) / (K - 1), read off a model alike with all."""
    own = np.arange(count) - (count - 1) / 2
    moved = influence(np.full(count, 0.3), own)
    ratio = float(-moved[0] / own[0])  # l / (l - 1)
    slope = ratio / (ratio - 1)
    assert (1 + slope**2 / (count - 2)) / (1 - slope) ** 2 == pytest.approx(
        (count + 1) / (count - 1)
    )
    assert slope > 1


def test_members_lie_by_their_own_effect_above_the_mean_and_pairs_below_by_their_influence() -> (
    None
):
    """A candidate far from the second reference alone: what that one is to it lies below."""
    generator = np.random.default_rng(4)
    among = table([[generator.random(3) for _ in range(3 - i)] for i in range(3)])
    candidate, original = generator.random((2, 4, 3))
    null = null_of(candidate, original, among, units=9)
    mean = np.mean([among[i, j] for i in range(4) for j in range(4) if i != j], axis=0)
    own = effects(among)
    for estimates, expected in (
        (null.members, mean + own),
        (null.to_candidate, mean - influence(candidate, own)),
        (null.to_original, mean - influence(original, own)),
    ):
        ours = [[e.value, *e.parts[0].contributions] for e in estimates]
        assert np.array(ours) == pytest.approx(expected)
        assert [e.parts[0].freedom for e in estimates] == [8] * 4
