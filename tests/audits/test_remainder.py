from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from audits import few_shot, head_refit, linear_probe, perturbation, remainder
from audits.comparison import Models, measure
from audits.errors import BadStatistic
from audits.estimates import TEST_ROWS, Estimate, Units, compare, images
from compliance.documents.policy import Policy, Rule
from compliance.verdict import judge_row

PROBES, FEW = remainder.READERS["probes"], remainder.READERS["few_labels"]
SHIFTS = (-0.02, 0.0, -0.01, 0.01, 0.02)
ROWS = 90


class Readings:
    """Figures with five retrained models around .5, whose images err in ways of their own."""

    def __init__(self, evidence, seed: int = 0) -> None:
        self.evidence = evidence
        self.generator = np.random.default_rng(seed)

    def estimate(self, value: float, error: float, noise: np.ndarray | None = None) -> Estimate:
        drawn = self.generator.standard_normal(ROWS) if noise is None else noise
        drawn = (drawn - drawn.mean()) / drawn.std(ddof=1) * error * np.sqrt(ROWS)
        units = Units(source=TEST_ROWS, rows=np.arange(ROWS))
        return Estimate(value=value, parts=(images(value + drawn),)).with_units([units])

    def reading(
        self,
        name: str,
        share: float,
        *,
        original: float = 1.0,
        error: float = 0.02,
        noise: np.ndarray | None = None,
    ) -> remainder.Reading:
        """A figure `share` of the way from the retrained models to the original."""
        models = Models(
            candidate={name: self.estimate(0.5 + share * (original - 0.5), error, noise)},
            original={name: self.estimate(original, error)},
            references=tuple({name: self.estimate(0.5 + shift, error)} for shift in SHIFTS),
        )
        figure = measure(self.evidence, models, name, name, sizes={"forget_test": ROWS})
        return remainder.Reading(figure=figure, models=models)


@pytest.fixture
def readings(world) -> Readings:
    return Readings(world.evidence())


def test_what_was_never_learned_is_near_0_and_what_is_known_near_1(world, figures, judge):
    clean, remembering = (
        figures(remainder.audit(world.evidence(model)))["remainder.all"]
        for model in (None, world.model("edited", knows=True))
    )
    assert judge(clean, 1.5, 0.5) == "within"
    assert judge(remembering, 1.5, 0.5) == "outside"
    assert remembering.value == pytest.approx(1.0, abs=0.3)


def test_it_is_the_mean_of_the_shares_of_the_other_audits_figures(world, figures):
    evidence = world.evidence(world.model("edited", knows=True))
    measured = {}
    for audit in (linear_probe, perturbation, few_shot, head_refit):
        measured |= figures(audit.audit(evidence))
    finding = remainder.audit(evidence)
    counted = finding.parameters["counted"]

    def mean(names):
        chosen = [measured[name] for name in names if name in counted]
        assert chosen
        return fmean((m.value - fmean(m.null)) / (m.original - fmean(m.null)) for m in chosen)

    shares = figures(finding)
    assert shares["remainder.probes"].value == pytest.approx(mean(PROBES))
    assert shares["remainder.few_labels"].value == pytest.approx(mean(FEW))
    assert shares["remainder.all"].value == pytest.approx((mean(PROBES) + mean(FEW)) / 2)
    assert shares["remainder.all"].original == pytest.approx(1.0)
    assert shares["remainder.all"].sizes["figures"] == len({*PROBES, *FEW} & {*counted})
    assert fmean(shares["remainder.all"].null) == pytest.approx(0.0, abs=1e-9)


def test_one_figure_pooled_alone_has_the_error_of_its_share(world, figures):
    """The ratio's error by the delta method, against the figure's own budget."""
    evidence = world.evidence(world.model("edited", knows=False))
    figure = figures(head_refit.audit(evidence))["head_refit.forget"]
    models = Models.of(
        evidence,
        head_refit.refitted,
        **{k: v for k, v in head_refit.audit(evidence).parameters.items() if k in SETTINGS},
    )
    one = remainder._share(remainder.Reading(figure=figure, models=models), 0.0)
    pooled = remainder._mean("few_labels", [[one]])
    error, _ = figure.error_of_share(pooled.value)
    assert pooled.standard_error == pytest.approx(error / abs(figure.gap))


SETTINGS = ("shots", "draws", "penalty", "rows", "steps")


def test_a_model_made_to_look_right_to_the_probes_is_seen_by_the_others(readings):
    tuned = [readings.reading(n, 0.0) for n in PROBES] + [readings.reading(n, 0.9) for n in FEW]
    shares = {m.name: m.value for m in remainder.pooled(tuned, seed=1, apart=2.0).measurements}
    assert shares["remainder.probes"] == pytest.approx(0.0)
    assert shares["remainder.all"] == pytest.approx(0.45)


def test_a_figure_that_falls_where_the_original_knows_more_counts_by_its_share(readings):
    low = [readings.reading(n, 0.3, original=0.1) for n in (*PROBES, *FEW)]
    (shares, *_) = remainder.pooled(low, seed=1, apart=2.0).measurements
    assert shares.value == pytest.approx(0.3)


def test_kinds_count_alike_however_many_figures_they_have(readings):
    few = [readings.reading(PROBES[0], 1.0), *(readings.reading(n, 0.0) for n in FEW)]
    (shares, *_) = remainder.pooled(few, seed=1, apart=2.0).measurements
    assert (shares.name, shares.value) == ("remainder.all", pytest.approx(0.5))


def test_figures_whose_images_err_alike_are_no_more_certain_together(readings):
    """Averaging figures of the same images must not make the error look small."""
    noise = np.random.default_rng(4).standard_normal(ROWS)
    alike = [readings.reading(n, 0.0, error=0.05, noise=noise) for n in (*PROBES, *FEW)]
    apart = [readings.reading(n, 0.0, error=0.05) for n in (*PROBES, *FEW)]
    same, own = (
        remainder.pooled(each, seed=1, apart=2.0).measurements[0] for each in (alike, apart)
    )
    count = len(PROBES) / 2, len(FEW) / 2
    # of the candidate: one error in common, or one of each figure, four and five at half each
    alone = 0.05**2 / 0.5**2
    assert same.budget.sampling[0].candidate == pytest.approx(alone, rel=0.2)
    expected = alone * (1 / (8 * count[0]) + 1 / (8 * count[1]))
    assert own.budget.sampling[0].candidate == pytest.approx(expected, rel=0.4)


def test_the_retrained_models_pooled_shares_are_their_null(readings):
    every = [readings.reading(n, 0.0) for n in (*PROBES, *FEW)]
    pooled = remainder.pooled(every, seed=1, apart=2.0).measurements[0]
    assert pooled.null == pytest.approx([shift / 0.5 for shift in SHIFTS])
    assert pooled.budget.baseline.candidate == pytest.approx(np.var(pooled.null, ddof=1) / 5)


def test_the_pooled_error_is_that_of_a_figure_that_is_the_mean_of_them():
    """Two accuracies on the same images against their mean as one figure of these images."""
    generator = np.random.default_rng(5)
    units = [Units(source=TEST_ROWS, rows=np.arange(60))]
    one, two = generator.random((2, 7, 60))  # (models, images) each

    def estimates(values):
        return [Estimate(value=v.mean(), parts=(images(v),)).with_units(units) for v in values]

    pooled = [
        remainder._pool([(0.5, a, 0.0), (0.5, b, 0.0)])
        for a, b in zip(estimates(one), estimates(two), strict=True)
    ]
    whole = estimates((one + two) / 2)
    ours, theirs = (compare(each[0], each[1:]) for each in (pooled, whole))
    assert ours.difference == pytest.approx(theirs.difference)
    assert ours.standard_error == pytest.approx(theirs.standard_error)


def test_figures_that_do_not_say_of_which_images_they_are_are_not_pooled():
    nameless = Estimate(value=0.5, parts=(images(np.arange(4.0)),))
    with pytest.raises(BadStatistic, match="which images"):
        remainder._pool([(1.0, nameless, 0.0)])


def test_figures_that_cannot_tell_the_original_are_not_counted_and_named(readings):
    dull = [readings.reading(n, 0.0, original=0.51) for n in FEW]
    finding = remainder.pooled(
        [*(readings.reading(n, 0.0) for n in PROBES), *dull], seed=1, apart=2.0
    )
    assert [m.name for m in finding.measurements] == ["remainder.probes"]
    left_out = finding.parameters["left_out"]
    assert "standard deviations apart" in left_out["share of head_refit.forget"]
    assert left_out["remainder.all"] == "no figure counts of: few_labels"


def test_where_nothing_tells_the_original_nothing_is_measured(readings):
    finding = remainder.pooled(
        [readings.reading(n, 0.0, original=0.5) for n in (*PROBES, *FEW)], seed=1, apart=2.0
    )
    assert (finding.status, finding.measurements) == ("NOT_RUN", ())
    assert "nothing of which a share could remain" in finding.reason


def test_which_figures_count_does_not_hang_on_the_candidate(readings):
    noisy = [
        replace(r, figure=replace(r.figure, standard_error=5.0, interval=(-9.0, 9.0)))
        for r in (readings.reading(n, 0.9) for n in (*PROBES, *FEW))
    ]
    finding = remainder.pooled(noisy, seed=1, apart=2.0)
    assert len(finding.parameters["counted"]) == len(noisy)


def test_without_retrained_models_it_does_not_run(world):
    finding = remainder.audit(world.evidence(references=()))
    assert finding.status == "NOT_RUN"
    assert "0 retrained references were given" in finding.reason


def test_broken_features_leave_their_figures_out(world):
    model = world.model("retrained", knows=False)
    features = {**model.features, "penultimate": np.full((360, 16), np.nan)}
    finding = remainder.audit(world.evidence(replace(model, digest="nan", features=features)))
    assert "was not measured" in finding.parameters["left_out"]["share of head_refit.forget"]
    assert all(np.isfinite(m.value) for m in finding.measurements)


SQUARES = remainder.READERS["nonlinear"][0]


def nonlinear(readings, share: float, **original: float):
    """Probes and few labels that show nothing, second moments that show a share."""
    others = [readings.reading(name, 0.0) for name in (*PROBES, *FEW)]
    finding = remainder.pooled(
        [*others, readings.reading(SQUARES, share, **original)], seed=1, apart=2.0
    )
    return {figure.name: figure for figure in finding.measurements}


def test_second_moments_have_a_share_of_their_own(readings):
    shares = nonlinear(readings, 0.8)
    assert shares["remainder.nonlinear"].value == pytest.approx(0.8)
    assert shares["remainder.nonlinear"].aside == ""
    assert shares["remainder.all"].value == pytest.approx(0.0)


def test_they_decide_nothing_where_they_do_not_tell_the_original(readings):
    """Five retrained models within .02 of .5, and an original at .505."""
    blind = nonlinear(readings, 9.0, original=0.505)["remainder.nonlinear"]
    assert blind.aside == remainder.NOT_APART
    rule = Rule(measurement="remainder.nonlinear", remainder=0.5, overshoot=2.0, veto=True)
    policy = Policy(name="p", assurance="L1", references=5, rules=(REQUIRED, rule))
    assert judge_row("remainder", blind, policy).outcome == "informational"


def test_without_second_moments_there_is_no_share_by_them_and_a_reason(readings):
    finding = remainder.pooled(
        [readings.reading(name, 0.0) for name in (*PROBES, *FEW)], seed=1, apart=2.0
    )
    assert "remainder.nonlinear" not in {figure.name for figure in finding.measurements}
    assert finding.parameters["left_out"]["remainder.nonlinear"] == "no figure was measured"


REQUIRED = Rule(measurement="accuracy.retain", below=0.1, required=True)


def test_a_figure_counts_where_its_original_stands_far_enough_apart(readings):
    """The distance in spreads of one more retrained model and of the original's measurement."""
    reading = readings.reading(PROBES[0], 0.3, original=0.6)
    figure = reading.figure
    spread = np.hypot(
        np.std([0.5 + shift for shift in SHIFTS], ddof=1), figure.standard_error_original
    )
    distance = 0.1 / spread
    assert isinstance(remainder._share(reading, distance - 1e-6), remainder.Share)
    why = remainder._share(reading, distance + 1e-6)
    assert why == (
        f"the original stands {distance:.1f} standard deviations apart and {distance + 1e-6:g} "
        "are needed"
    )
    share = remainder._share(reading, 0.0)
    assert (share.mean, share.gap) == (pytest.approx(0.5), pytest.approx(0.1))
    assert share.value == pytest.approx(0.3)
    assert len(share.references) == 5


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"against": "unseen"}, "there are no retrained models to compare it with"),
        ({"null": (0.5,)}, "there are no retrained models to compare it with"),
        ({"original": None}, "there is nothing to compare with it"),
        ({"standard_error_original": None}, "there is nothing to compare with it"),
    ],
)
def test_a_figure_without_a_baseline_of_retrained_models_has_no_share(readings, change, why):
    reading = readings.reading(PROBES[0], 0.3)
    changed = replace(reading, figure=replace(reading.figure, **change))
    assert remainder._share(changed, 0.0) == why
    assert remainder._share(None, 0.0) == "it was not measured"


def test_two_retrained_models_are_a_baseline(readings):
    reading = readings.reading(PROBES[0], 0.3)
    two = replace(reading.figure, null=reading.figure.null[:2])
    assert not isinstance(remainder._share(replace(reading, figure=two), 0.0), str)


def test_retrained_models_that_agree_exactly_leave_an_original_far_apart(readings):
    reading = readings.reading(PROBES[0], 0.3)
    exact = replace(reading.figure, null=(0.5,) * 5, standard_error_original=0.0)
    assert not isinstance(remainder._share(replace(reading, figure=exact), 1e9), str)


def test_the_interval_is_that_of_the_images_at_the_share_itself(readings):
    figures = [readings.reading(n, 0.4) for n in (*PROBES, *FEW)]
    pooled = remainder.pooled(figures, seed=1, apart=2.0).measurements[0]
    low, high = pooled.interval
    assert (low + high) / 2 == pytest.approx(pooled.value)
    assert low < pooled.value < high
    parts = [(p.of_share(pooled.value), p.freedom) for p in pooled.budget.sampling]
    total = sum(v for v, _ in parts)
    freedom = total**2 / sum(v**2 / f for v, f in parts)
    reach = np.sqrt(total) * stats.t.ppf(0.975, freedom)
    assert high - pooled.value == pytest.approx(reach)
    error, of_error = pooled.budget.of_share(pooled.value)
    assert (pooled.standard_error, pooled.degrees_of_freedom) == (error, of_error)
    assert pooled.sizes == {"forget_test": ROWS, "references": 5, "figures": len(figures)}


def test_figures_of_some_of_the_same_images_add_up_image_by_image():
    """Influences by hand: a figure of images 0 to 5 and one of 3 to 8, weighed 2 and -1."""
    rng = np.random.default_rng(8)
    one, two = rng.normal(size=6), rng.normal(size=6)
    units = [Units(source=TEST_ROWS, rows=np.arange(start, start + 6)) for start in (0, 3)]
    estimates = [
        Estimate(value=float(v.mean()), parts=(images(v),)).with_units([u])
        for v, u in zip((one, two), units, strict=True)
    ]
    pooled = remainder._pool([(2.0, estimates[0], 0.1), (-1.0, estimates[1], 0.2)])
    assert pooled.value == pytest.approx(2 * (one.mean() - 0.1) - (two.mean() - 0.2))
    (part,) = pooled.parts
    # an image adds (x - mean) / sqrt(n (n - 1)) to each figure, so that squares sum to the variance
    influence = np.zeros(9)
    influence[:6] += 2 * (one - one.mean()) / np.sqrt(30)
    influence[3:] -= (two - two.mean()) / np.sqrt(30)
    centred = influence - influence.mean()
    assert part.variance() == pytest.approx((centred**2).sum())
    assert part.freedom == 5
    alone = remainder._pool([(2.0, estimates[0], 0.1)]).parts[0]
    assert alone.variance() == pytest.approx(4 * np.var(one, ddof=1) / 6)


def test_floors_add_up_as_errors_that_agree():
    shares = [Estimate(value=1.0, parts=(images(np.ones(n), bounded=True),)) for n in (4, 5)]
    units = [Units(source=TEST_ROWS, rows=np.arange(n)) for n in (4, 5)]
    named = [e.with_units([u]) for e, u in zip(shares, units, strict=True)]
    pooled = remainder._pool([(0.5, named[0], 0.0), (-0.25, named[1], 0.0)])
    assert pooled.parts[0].floor == pytest.approx((0.5 / 4 + 0.25 / 5) ** 2)


@pytest.mark.parametrize("original", [0.5, 0.505])
def test_a_blind_reader_is_shown_only_where_the_original_differs_at_all(readings, original):
    others = [readings.reading(name, 0.0) for name in (*PROBES, *FEW)]
    reading = readings.reading(SQUARES, 0.0, original=original)
    if original == 0.5:
        exact = replace(reading.figure, original=float(np.mean(reading.figure.null)))
        reading = replace(reading, figure=exact)
    finding = remainder.pooled([*others, reading], seed=1, apart=2.0)
    names = {figure.name for figure in finding.measurements}
    assert ("remainder.nonlinear" in names) is (original == 0.505)
