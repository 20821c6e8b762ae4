import numpy as np
import pytest
from scipy import stats

from audits.errors import TooFewSamples
from audits.estimates import Estimate, bootstrap, compare, draws, images

RNG = np.random.default_rng(8)


def mean_of(values: np.ndarray) -> Estimate:
    return Estimate(value=float(values.mean()), parts=(images(values),))


def test_against_one_model_the_comparison_is_the_paired_t_test() -> None:
    a, b = RNG.normal(1, 1, 30), RNG.normal(0, 1, 30)
    compared = compare(mean_of(a), [mean_of(b)])
    theirs = stats.ttest_rel(a, b)
    assert compared.difference / compared.standard_error == pytest.approx(theirs.statistic)
    assert compared.degrees_of_freedom == pytest.approx(theirs.df)


def test_two_parts_are_welch_and_satterthwaite() -> None:
    a, b = RNG.normal(0, 1, 12), RNG.normal(0, 3, 40)
    both = Estimate(value=float(a.mean() - b.mean()), parts=(images(a), images(-b)))
    zero = Estimate(value=0.0, parts=(images(0 * a), images(0 * b)))
    compared, theirs = compare(both, [zero]), stats.ttest_ind(a, b, equal_var=False)
    assert compared.difference / compared.standard_error == pytest.approx(theirs.statistic)
    assert compared.degrees_of_freedom == pytest.approx(theirs.df)


def test_the_spread_of_the_references_counts() -> None:
    base = RNG.normal(0, 1, 500)
    references = [mean_of(base + shift) for shift in (-0.3, 0.0, 0.3)]
    compared = compare(mean_of(base), references)
    assert compared.standard_error == pytest.approx(np.sqrt(0.09 / 3))
    assert compared.degrees_of_freedom == pytest.approx(2)


def test_pairing_takes_out_what_the_images_have_in_common() -> None:
    hard = RNG.normal(0, 1, 200)
    models = [mean_of(hard + 0.1 * RNG.normal(size=200)) for _ in range(4)]
    low, high = models[0].interval()
    assert compare(models[0], models[1:]).standard_error < (high - low) / 20


def test_perfect_agreement_on_few_images_is_no_certainty() -> None:
    hits = Estimate(value=1.0, parts=(images(np.ones(50), bounded=True),))
    one_off = np.append(np.ones(49), 0.0)
    assert compare(hits, [hits, hits]).standard_error == pytest.approx(1 / 50)
    assert images(one_off, bounded=True).variance() == pytest.approx(1 / 50**2)


def test_draws_that_use_the_same_images_again_prove_nothing_new() -> None:
    values = RNG.normal(size=100)
    assert draws(values, independent=4).variance() == pytest.approx(np.var(values, ddof=1) / 4)
    assert draws(values, independent=999).variance() == pytest.approx(np.var(values, ddof=1) / 100)


def test_replicates_are_their_own_error() -> None:
    values = RNG.normal(0, 0.2, 300)
    assert bootstrap(values, units=40).variance() == pytest.approx(np.var(values, ddof=1))


def test_intervals_cover_at_their_confidence() -> None:
    rng = np.random.default_rng(3)
    compared = [mean_of(rng.normal(0, 1, 15)).interval() for _ in range(600)]
    assert np.mean([low <= 0 <= high for low, high in compared]) == pytest.approx(0.95, abs=0.025)


def test_a_single_sample_has_no_spread() -> None:
    with pytest.raises(TooFewSamples, match="at least 2"):
        images(np.ones(1))
    with pytest.raises(TooFewSamples, match="at least one"):
        compare(mean_of(np.arange(3.0)), [])


def test_a_part_that_counts_for_a_share_errs_by_its_square() -> None:
    values = RNG.random(30)
    plain = images(values, bounded=True)
    scaled = plain.scaled(0.5)
    assert scaled.contributions == pytest.approx(0.5 * values)
    assert scaled.variance() == pytest.approx(np.var(values, ddof=1) / 30 / 4)
    alike = images(np.ones(30), bounded=True).scaled(0.5)
    assert alike.variance() == pytest.approx(0.25 / 30**2)  # what one deviating image would give
    assert (scaled.divisor, scaled.freedom) == (plain.divisor, plain.freedom)
