import numpy as np
import pytest
from scipy import stats

from audits.errors import TooFewSamples
from audits.estimates import (
    Beside,
    Estimate,
    Units,
    bootstrap,
    compare,
    compare_apart,
    draws,
    images,
)

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


def estimate_of(*parts: np.ndarray, value: float = 0.5, bounded: bool = False) -> Estimate:
    return Estimate(value=value, parts=tuple(images(p, bounded=bounded) for p in parts))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_error_beside_an_original_has_three_numbers_of_each_source(count: int) -> None:
    """Candidate and original less the null's mean, image by image, and their covariance."""
    own, theirs, *null = RNG.normal(size=(2 + count, 40))
    values = RNG.normal(size=count)
    references = [estimate_of(v, value=x) for v, x in zip(null, values, strict=True)]
    beside = Beside(original=estimate_of(theirs, value=2.0), baseline=references)
    compared = compare(estimate_of(own, value=1.0), references, beside)
    mean = np.mean(null, axis=0)
    (part,) = compared.budget.sampling
    assert part.candidate == pytest.approx(np.var(own - mean, ddof=1) / 40)
    assert part.original == pytest.approx(np.var(theirs - mean, ddof=1) / 40)
    assert part.shared == pytest.approx(np.cov(own - mean, theirs - mean)[0, 1] / 40)
    assert (part.freedom, part.floor) == (39, 0.0)
    assert compared.budget.members == count
    assert not compared.budget.population
    baseline = compared.budget.baseline
    if count == 1:
        assert baseline is None
    else:
        assert baseline is not None
        of_mean = np.var(values, ddof=1) / count
        three = (baseline.candidate, baseline.original, baseline.shared)
        assert three == pytest.approx((of_mean, of_mean, of_mean))
        assert baseline.freedom == count - 1
    assert compared.difference == pytest.approx(1.0 - values.mean())


def test_without_an_original_nothing_is_shared_with_it() -> None:
    references = [
        estimate_of(v, value=x) for v, x in zip(RNG.normal(size=(3, 9)), (1, 2, 4), strict=True)
    ]
    budget = compare(estimate_of(RNG.normal(size=9)), references).budget
    assert [(p.original, p.shared) for p in budget.sampling] == [(0.0, 0.0)]
    assert budget.baseline is not None
    assert (budget.baseline.original, budget.baseline.shared) == (0.0, 0.0)


def test_the_original_may_have_a_null_of_its_own() -> None:
    """Pairs: what the references are to the original is not what they are to the candidate."""
    own, theirs, *null = RNG.normal(size=(8, 30))
    to_candidate = [estimate_of(v, value=x) for v, x in zip(null[:3], (0.1, 0.2, 0.4), strict=True)]
    to_original = [estimate_of(v, value=x) for v, x in zip(null[3:], (0.3, 0.9, 0.2), strict=True)]
    beside = Beside(original=estimate_of(theirs), baseline=to_original)
    budget = compare(estimate_of(own), to_candidate, beside).budget
    one, other = own - np.mean(null[:3], axis=0), theirs - np.mean(null[3:], axis=0)
    (part,) = budget.sampling
    assert part.original == pytest.approx(np.var(other, ddof=1) / 30)
    assert part.shared == pytest.approx(np.cov(one, other)[0, 1] / 30)
    assert budget.baseline is not None
    assert budget.baseline.original == pytest.approx(np.var((0.3, 0.9, 0.2), ddof=1) / 3)
    covariance = np.cov((0.1, 0.2, 0.4), (0.3, 0.9, 0.2))[0, 1]
    assert budget.baseline.shared == pytest.approx(covariance / 3)


def test_one_more_of_a_population_is_paired_with_nobody() -> None:
    own, theirs = RNG.normal(size=(2, 30))
    others = [estimate_of(RNG.normal(size=12), value=x) for x in (0.1, 0.2, 0.6)]
    beside = Beside(original=estimate_of(theirs), baseline=others[::-1])
    compared = compare_apart(estimate_of(own, value=0.9), others, beside)
    (part,) = compared.budget.sampling
    assert part.candidate == pytest.approx(np.var(own, ddof=1) / 30)
    assert part.original == pytest.approx(np.var(theirs, ddof=1) / 30)
    assert part.shared == pytest.approx(np.cov(own, theirs)[0, 1] / 30)
    assert compared.budget.population
    assert compared.budget.members == 3
    baseline = compared.budget.baseline
    assert baseline is not None
    assert baseline.candidate == pytest.approx(np.var((0.1, 0.2, 0.6), ddof=1) / 3)
    assert baseline.shared == pytest.approx(np.cov((0.1, 0.2, 0.6), (0.6, 0.2, 0.1))[0, 1] / 3)
    assert compared.difference == pytest.approx(0.9 - 0.3)
    with pytest.raises(TooFewSamples, match="1 others have no spread"):
        compare_apart(estimate_of(own), others[:1])
    assert compare_apart(estimate_of(own), others[:2]).degrees_of_freedom > 0


def test_the_floor_of_shares_holds_for_candidate_and_original() -> None:
    answers = np.ones(20)
    share = estimate_of(answers, bounded=True)
    (part,) = compare(share, [share], Beside(original=share, baseline=[share])).budget.sampling
    assert (part.candidate, part.original, part.floor) == (1 / 400, 1 / 400, 1 / 400)
    with pytest.raises(TooFewSamples, match="no reference"):
        compare(share, [])


@pytest.mark.parametrize(
    ("count", "independent", "divisor", "freedom"),
    [(50, 4, 4, 3), (3, 4, 3, 2), (50, 2, 2, 1), (50, 1, 1, 1), (50, 0, 1, 1), (2, 9, 2, 1)],
)
def test_draws_count_as_their_disjoint_supports(
    count: int, independent: int, divisor: int, freedom: int
) -> None:
    part = draws(np.arange(float(count)), independent=independent)
    assert (part.divisor, part.freedom) == (divisor, freedom)
    assert part.variance() == pytest.approx(np.var(np.arange(count), ddof=1) / divisor)


@pytest.mark.parametrize(("units", "freedom"), [(9, 8), (2, 1), (1, 1)])
def test_replicates_have_the_freedom_of_their_units(units: int, freedom: int) -> None:
    part = bootstrap(np.arange(5.0), units=units)
    assert (part.divisor, part.freedom, part.floor) == (1.0, freedom, 0.0)


def test_two_samples_have_a_spread() -> None:
    assert images(np.array([0.0, 1.0])).variance() == pytest.approx(0.25)
    assert images(np.array([0.0, 1.0])).freedom == 1
    assert bootstrap(np.array([0.0, 1.0]), units=5).variance() == pytest.approx(0.5)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_an_interval_is_a_t_interval_cut_at_its_bounds(confidence: float) -> None:
    values = RNG.normal(size=25)
    plain = Estimate(value=0.1, parts=(images(values),))
    reach = values.std(ddof=1) / 5 * stats.t.ppf((1 + confidence) / 2, 24)
    assert plain.interval(confidence) == pytest.approx((0.1 - reach, 0.1 + reach))
    if confidence == 0.95:
        assert plain.interval() == plain.interval(0.95)
    cut = Estimate(value=0.1, parts=(images(values),), bounds=(0.05, 0.12))
    assert cut.interval(confidence) == (0.05, 0.12)
    exact = Estimate(value=0.1, parts=(), exact=(0.0, 0.3))
    assert exact.interval(confidence) == (0.0, 0.3)


def test_units_are_named_part_by_part() -> None:
    one, other = (Units(source=s, rows=np.arange(3)) for s in ("a", "b"))
    named = estimate_of(np.arange(3.0), np.arange(3.0)).with_units([one, other])
    assert [part.units for part in named.parts] == [one, other]
    with pytest.raises(ValueError, match="zip"):
        estimate_of(np.arange(3.0)).with_units([one, other])


def test_other_contributions_leave_the_rest_of_a_part() -> None:
    part = images(np.arange(4.0), bounded=True)
    other = part.with_contributions(np.zeros(4))
    assert (other.divisor, other.freedom, other.floor) == (4, 3, 1 / 16)
    assert other.variance() == 1 / 16
    half = images(np.array([0.0, 2.0])).scaled(0.5)
    assert half.contributions.tolist() == [0.0, 1.0]
