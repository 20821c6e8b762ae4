from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest

from audits import few_shot, head_refit, linear_probe, perturbation, remainder
from audits.finding import Figure

PROBES, FEW = remainder.READERS["probes"], remainder.READERS["few_labels"]
NULL = (0.48, 0.50, 0.49, 0.51, 0.52)


def figure(name: str, share: float, *, original: float = 1.0, error: float = 0.02) -> Figure:
    """A figure with retrained models around .5; `share` of the way from them to the original."""
    value = 0.5 + share * (original - 0.5)
    return Figure(
        name=name,
        label=name,
        value=value,
        interval=(value - 2 * error, value + 2 * error),
        null=NULL,
        original=original,
        difference=value - 0.5,
        standard_error=error,
        degrees_of_freedom=20.0,
        against="retrained",
        sizes={"forget_test": 90, "references": 5},
        standard_error_original=error,
    )


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
    assert shares["remainder.all"].sizes["figures"] == len(counted)
    assert fmean(shares["remainder.all"].null) == pytest.approx(0.0, abs=1e-9)


def test_a_model_made_to_look_right_to_the_probes_is_seen_by_the_others():
    tuned = [figure(n, 0.0) for n in PROBES] + [figure(n, 0.9) for n in FEW]
    shares = {m.name: m.value for m in remainder.pooled(tuned, seed=1, apart=2.0).measurements}
    assert shares["remainder.probes"] == pytest.approx(0.0)
    assert shares["remainder.all"] == pytest.approx(0.45)


def test_a_figure_that_falls_where_the_original_knows_more_counts_by_its_share():
    low = [figure(n, 0.3, original=0.1) for n in (*PROBES, *FEW)]
    (shares, *_) = remainder.pooled(low, seed=1, apart=2.0).measurements
    assert shares.value == pytest.approx(0.3)
    assert shares.standard_error == pytest.approx(0.02 / 0.4)


def test_kinds_count_alike_however_many_figures_they_have():
    few = [figure(PROBES[0], 1.0), *(figure(n, 0.0) for n in FEW)]
    (shares, *_) = remainder.pooled(few, seed=1, apart=2.0).measurements
    assert (shares.name, shares.value) == ("remainder.all", pytest.approx(0.5))


def test_the_error_is_that_of_figures_that_all_err_together():
    """Averaging figures of the same images must not make the error look small."""
    shares = remainder.pooled(
        [figure(n, 0.0, error=0.05) for n in (*PROBES, *FEW)], seed=1, apart=2.0
    ).measurements[0]
    assert shares.standard_error == pytest.approx(0.05 / 0.5)
    assert shares.degrees_of_freedom == 20.0
    low, high = shares.interval
    assert (high - low) / 2 == pytest.approx(0.1 / 0.5)


def test_figures_that_cannot_tell_the_original_are_not_counted_and_named():
    dull = [figure(n, 0.0, original=0.51) for n in FEW]
    finding = remainder.pooled([*(figure(n, 0.0) for n in PROBES), *dull], seed=1, apart=2.0)
    assert [m.name for m in finding.measurements] == ["remainder.probes"]
    left_out = finding.parameters["left_out"]
    assert "standard deviations apart" in left_out["share of head_refit.forget"]
    assert left_out["remainder.all"] == "no figure counts of: few_labels"


def test_where_nothing_tells_the_original_nothing_is_measured():
    finding = remainder.pooled(
        [figure(n, 0.0, original=0.5) for n in (*PROBES, *FEW)], seed=1, apart=2.0
    )
    assert (finding.status, finding.measurements) == ("NOT_RUN", ())
    assert "nothing of which a share could remain" in finding.reason


def test_which_figures_count_does_not_hang_on_the_candidate():
    noisy = [
        replace(figure(n, 0.9), standard_error=5.0, interval=(-9.0, 9.0)) for n in (*PROBES, *FEW)
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
