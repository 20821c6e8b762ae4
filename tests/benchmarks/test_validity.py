"""The validity study counts what it says it counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audits.finding import Figure
from benchmarks.validity import bench, calibration, data, intervals, nets, page, report, tally
from benchmarks.validity.__main__ import part_of, plan
from benchmarks.validity.cheats import CHEATS, SHALLOW
from benchmarks.validity.judging import Case, Judged
from compliance.documents.policy import load_policy
from compliance.verdict import JudgedRow


def judged(candidate: str, kind: str, result: str, **more: Any) -> Judged:
    """A verdict on a candidate; `event`, `seed`, `power` and `apart` as they are wanted."""
    case = Case(
        event=more.get("event", "e"),
        setting="digits",
        data=more.get("data", "digits"),
        choice=False,
        images=more.get("images", 400),
        grade=more.get("grade", ""),
        seed=more.get("seed", 11),
        candidate=candidate,
        kind=kind,
        findings=(),
        controls={},
        impossible=more.get("impossible", {}),
        seconds={},
        passes={},
    )
    power, apart = more.get("power"), more.get("apart")
    granted = more.get("granted", result)
    return Judged(
        case=case,
        result=result,
        power=power,
        granted=granted,
        apart=apart,
        attempt=more.get("attempt"),
        rows=(),
        reasons=(),
    )


def test_a_cheat_that_passes_is_counted_and_named() -> None:
    rates = tally.rates(
        [
            judged("row_zeroed", "cheat", "PASSED", event="one"),
            judged("row_zeroed", "cheat", "FAILED", event="two"),
            judged("retrained_2000", "honest", "PASSED", power=0.9),
            judged("retrained_2001", "honest", "FAILED", power=0.9),
            judged("retrained_2002", "honest", "INCONCLUSIVE", power=0.2),
            judged("mixture", "edit", "PASSED"),
        ]
    )
    assert (rates["cheats"], rates["false_pass"], rates["kinds_of_cheats"]) == (2, 1, 1)
    assert rates["false_pass_named"] == ["row_zeroed in one"]
    assert (rates["honest"], rates["false_fail"], rates["inconclusive"]) == (3, 1, 1)
    assert (rates["honest_with_power"], rates["inconclusive_with_power"]) == (2, 0)


def test_an_event_of_which_a_candidate_lacks_is_told_to_be_cut_short() -> None:
    whole, cut, unseen = bench.events(nets.SETTINGS)[:3]
    judgements = [
        judged(name, "edit", "FAILED", event=whole.name) for name in bench.untrained(whole)
    ]
    judgements.append(judged("mixture", "edit", "FAILED", event=cut.name))
    assert report.partly([whole, cut, unseen], judgements) == [cut.name]


def test_the_ladder_passes_where_a_rung_does_and_needs_both() -> None:
    def edit(candidate: str, event: str, attempt: str) -> Judged:
        return judged(candidate, "edit", "PASSED", event=event, attempt=attempt)

    tables = tally.tables(
        [
            edit("natural", "first", "PASSED"),
            edit("renewed", "first", "FAILED"),
            edit("natural", "second", "FAILED"),
            edit("renewed", "second", "PASSED"),
            edit("natural", "neither", "FAILED"),
            edit("renewed", "neither", "INCONCLUSIVE"),
            edit("natural", "cut short", "PASSED"),
        ]
    )
    assert tables["by_preset"]["ladder"] == [2, 1, 0]
    assert tables["by_preset_by_data"]["digits"]["ladder"] == [2, 1, 0]
    assert "ladder" not in tally.tables([judged("natural", "edit", "PASSED")])["by_preset"]


def test_a_ladder_with_an_edit_by_the_code_of_before_is_counted_apart() -> None:
    tables = tally.tables(
        [
            judged("natural (before)", "edit", "FAILED", event="old", attempt="FAILED"),
            judged("renewed", "edit", "PASSED", event="old", attempt="PASSED"),
            judged("natural", "edit", "PASSED", event="new", attempt="PASSED"),
            judged("renewed", "edit", "FAILED", event="new", attempt="FAILED"),
        ]
    )
    presets = tables["by_preset"]
    assert presets["ladder"] == presets["ladder (before)"] == [1, 0, 0]
    assert (presets["natural"], presets["natural (before)"]) == ([1, 0, 0], [0, 0, 1])


def test_a_better_preset_makes_its_own_findings_stale_and_no_others(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "natural.json", tmp_path / "row_zeroed.json"
    bench.keep(ours, {"findings": [], "edited_by": "another code"})
    bench.keep(theirs, {"findings": []})
    assert (bench.is_current(ours), bench.is_current(theirs)) == (False, True)
    bench.keep(ours, {"findings": []} | bench.edited_by("natural"))
    assert bench.is_current(ours)
    assert not bench.is_current(tmp_path / "renewed.json")
    assert bench.edited_by("row_zeroed") == {}
    assert bench.edited_by("natural") != bench.edited_by("renewed") != {}


def test_flips_are_pairs_of_one_candidate_under_two_seeds() -> None:
    flips = report.flips(
        [
            judged("a", "honest", "PASSED"),
            judged("a", "honest", "INCONCLUSIVE", seed=12),
            judged("b", "honest", "PASSED"),
            judged("b", "honest", "PASSED", seed=12),
            judged("c", "honest", "FAILED"),
        ]
    )
    assert flips == {"pairs": 2, "flips": 1, "between_passed_and_failed": 0}


def test_levels_are_compared_where_both_were_judged() -> None:
    levels = report.levels(
        [
            judged("row_zeroed", "cheat", "FAILED", apart="PASSED"),
            judged("finetuned", "cheat", "FAILED", apart="FAILED"),
            judged("retrained_2000", "honest", "PASSED", apart="INCONCLUSIVE"),
            judged("retrained_2001", "honest", "PASSED"),
        ]
    )
    assert (levels["compared"], levels["disagree"], levels["l2_passed_l3_failed"]) == (3, 2, 1)
    assert (levels["shallow_cheats"], levels["shallow_cheats_l2_passed"]) == (1, 1)


@pytest.mark.parametrize(("value", "far"), [(0.70, False), (0.99, True), (0.35, True)])
def test_an_audit_tells_what_lies_beyond_the_spread_of_the_retrained(
    value: float, far: bool
) -> None:
    null = (0.66, 0.70, 0.68, 0.72, 0.74)
    figure = Figure(
        name="few_shot.1@penultimate",
        label="few shot",
        value=value,
        interval=(value, value),
        null=null,
        difference=value - 0.70,
        standard_error=0.02,
    )
    assert report._far(figure) is far


def test_margins_move_and_limits_do_not() -> None:
    policy = load_policy("demo-v1")
    wide = {r.measurement: r for r in report.scaled(policy, 2.0).rules}
    narrow = {r.measurement: r for r in policy.rules}
    name = "few_shot.1@penultimate"
    assert (wide[name].below, wide[name].above) == (0.6, 0.4)
    name = "linear_probe.dprime@logits"
    assert (wide[name].below, wide[name].above) == (3.0, 2.0)
    name = "similarity.cka@penultimate"
    assert wide[name].spreads_below == 2 * (narrow[name].spreads_below or 0)
    assert report.scaled(policy, 1.0) == policy
    for kept in ("accuracy.forget_before_retiring", "accuracy.retain"):
        assert wide[kept] == narrow[kept]


def test_the_plan_has_events_that_set_no_margin_and_more_than_thirty_two_cheats() -> None:
    jobs = plan(quick=False, settings=[])
    events = {job.event.name: job.event for job in jobs}
    assert sum(not event.choice for event in events.values()) >= 26
    assert sum(event.choice for event in events.values()) >= 6
    assert {e.setting.data for e in events.values() if not e.choice} == {
        "cifar10",
        "cifar100",
        "tiny",
    }
    assert len(CHEATS) >= 32
    assert set(SHALLOW) <= set(CHEATS)
    assert len({s.name for s in nets.SETTINGS}) == len(nets.SETTINGS)
    assert len({job.event.name for job in plan(quick=True, settings=[])}) == 3


def test_every_candidate_of_an_event_is_planned_once_under_a_seed() -> None:
    entries = [(j.event.name, j.seed, n) for j in plan(quick=False, settings=[]) for n in j.names]
    assert len(entries) == len(set(entries))
    event = next(e for e in bench.events(nets.SETTINGS) if not e.setting.choice)
    planned = {n for e, seed, n in entries if e == event.name and seed == 11}
    assert planned == bench.untrained(event) | set(CHEATS)


def test_no_two_events_share_an_original_or_a_reference() -> None:
    if not data.SHARED.exists():  # how many references an event has hangs on its held-out images
        pytest.skip(f"NOT TESTED on the study's data: there is no {data.SHARED}")
    trained = [
        training.path.name
        for event in bench.events(nets.SETTINGS)
        for training in (
            nets.original(event.setting, event.seed),
            *nets.references(event.setting, event.scope),
        )
    ]
    assert len(trained) == len(set(trained))


def test_two_processes_share_the_events_without_overlap() -> None:
    jobs = plan(quick=False, settings=[])
    one, other = part_of(jobs, "0/2"), part_of(jobs, "1/2")
    assert len(one) + len(other) == len(jobs)
    assert not {j.event.name for j in one} & {j.event.name for j in other}


def test_what_is_on_disk_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(data.CACHE, str(tmp_path))
    event = bench.events(nets.SETTINGS)[0]
    asked = {"retrained_2000", "row_zeroed", "stowaway"}
    assert set(bench.missing_of(event, 11, only=asked)) == asked
    folder = bench.folder_of(event, 11)
    assert folder.is_relative_to(tmp_path)
    folder.mkdir(parents=True)
    (folder / "row_zeroed.json").write_text("{}")
    assert bench.missing_of(event, 11, only=asked) == ["retrained_2000", "stowaway"]
    assert set(bench.missing_of(event, 12, only=asked)) == asked


def test_a_candidate_that_is_there_twice_is_refused() -> None:
    twice = [judged("row_zeroed", "cheat", "PASSED"), judged("row_zeroed", "cheat", "PASSED")]
    with pytest.raises(ValueError, match="counted twice"):
        tally.rates(twice)


def test_kinds_are_counted_by_result_and_by_data() -> None:
    tables = tally.tables(
        [
            judged("stowaway", "cheat", "PASSED", event="a", data="tiny", grade="structural"),
            judged("stowaway", "cheat", "FAILED", event="b", data="tiny", grade="structural"),
            judged("stowaway", "cheat", "FAILED", event="c", data="cifar10", grade="structural"),
            judged("gated", "cheat", "INCONCLUSIVE", event="c", data="cifar10", granted="PASSED"),
            judged("paper", "edit", "FAILED", event="a", data="tiny"),
            judged("paper", "edit", "PASSED", event="c", data="cifar10"),
            judged("retrained_2000", "honest", "PASSED", event="a", data="tiny"),
            judged("retrained_2000", "honest", "FAILED", event="c", data="cifar10"),
            judged("retrained_2000", "honest", "FAILED", event="d", data="digits", images=90),
        ]
    )
    assert tables["kinds"] == {"stowaway": [1, 0, 2], "gated": [0, 1, 0]}
    assert tables["kinds_by_data"]["tiny"] == {"stowaway": [1, 0, 1]}
    assert tables["kinds_by_data"]["cifar10"] == {"stowaway": [0, 0, 1], "gated": [0, 1, 0]}
    assert tables["granted_by_kind"]["gated"] == [1, 0, 0]
    assert tables["by_preset"] == {"paper": [1, 0, 1]}
    assert tables["by_preset_by_data"]["tiny"] == {"paper": [0, 0, 1]}
    assert tables["honest_passed_share"] == 0.5  # digits have too few images to be asked
    assert set(tables["honest_passed_share_by_data"]) == {"tiny", "cifar10"}


def test_a_share_of_nothing_is_none_and_no_zero() -> None:
    assert tally.tables([])["honest_passed_share"] is None
    assert tally.rates([])["intervals"]["cheats_passed"] is None
    assert page.met(None, at_most=0.02) == "not measured"


def test_the_exact_interval_is_that_of_tables() -> None:
    # Clopper and Pearson: none in n is 1 - .025 ** (1 / n); 1 in 10 is a value of tables
    low, high = intervals.exact(0, 42)
    assert (low, high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 42)))
    assert intervals.exact(1, 10) == pytest.approx((0.002529, 0.445016), abs=1e-6)
    with pytest.raises(ValueError, match="at least one"):
        intervals.exact(0, 0)


def test_events_are_the_trials_where_one_hit_is_enough() -> None:
    clusters = [intervals.Cluster(hits=h, of=45) for h in (0, 7, 0, 1)]
    interval = intervals.by_event(clusters)
    assert (interval.hits, interval.of) == (2, 4)
    assert (interval.low, interval.high) == intervals.exact(2, 4)


def test_candidates_that_fall_together_count_once() -> None:
    together = [intervals.Cluster(hits=h, of=10) for h in (10, 0, 10, 10, 0, 10, 10, 10)]
    interval = intervals.clustered(together)
    # as eight trials, six of them hits, and a little wider for the variance that is estimated
    low, high = intervals.exact(6, 8)
    assert interval.share == 0.75
    assert interval.low < low
    assert interval.high > high
    assert interval.high - interval.low < 1.3 * (high - low)


def test_candidates_that_fall_apart_count_nearly_one_by_one() -> None:
    apart = [intervals.Cluster(hits=h, of=10) for h in (7, 8, 7, 8) * 10]
    interval = intervals.clustered(apart)
    low, high = intervals.exact(300, 400)
    assert interval.low == pytest.approx(low, abs=0.005)
    assert interval.high == pytest.approx(high, abs=0.005)


def test_none_at_all_is_bounded_by_the_events_not_the_candidates() -> None:
    interval = intervals.clustered([intervals.Cluster(hits=0, of=45)] * 30)
    assert interval.high == pytest.approx(1 - 0.025 ** (1 / 30))


def test_the_clustered_interval_covers_what_it_says() -> None:
    """Beta-binomial events: the true share lies inside in some 95 of 100 studies."""
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(400):
        hits = rng.binomial(5, rng.beta(6.0, 1.5, size=30))
        interval = intervals.clustered([intervals.Cluster(hits=int(h), of=5) for h in hits])
        inside += interval.low <= 6.0 / 7.5 <= interval.high
    assert 0.92 <= inside / 400 <= 0.99


@pytest.mark.parametrize(
    ("hits", "events", "word"), [(0, 200, "met"), (0, 30, "not shown"), (5, 30, "missed")]
)
def test_a_target_is_met_only_where_the_bound_says_so(hits: int, events: int, word: str) -> None:
    clusters = [intervals.Cluster(hits=int(i < hits), of=1) for i in range(events)]
    assert word in page.met(intervals.clustered(clusters).to_json(), at_most=0.02)


def test_a_share_that_must_be_high_is_met_by_its_lower_bound() -> None:
    def interval(hits: int, of: int) -> dict[str, object]:
        one = [intervals.Cluster(hits=int(i < hits), of=1) for i in range(of)]
        return intervals.clustered(one).to_json()

    assert page.met(interval(200, 204), at_least=0.9) == "met"
    assert "not shown" in page.met(interval(28, 30), at_least=0.9)
    assert "missed" in page.met(interval(20, 30), at_least=0.9)


def test_none_is_no_rate_of_zero() -> None:
    interval = intervals.by_event([intervals.Cluster(hits=0, of=45)] * 30).to_json()
    assert page.none_of(interval) == "none; the rate is at most 11.6%"
    assert page.none_of(interval | {"hits": 1}) == "**missed**"
    assert page.none_of(None) == "not measured"


def test_events_that_can_pass_nobody_do_not_speak_for_the_bench() -> None:
    rates = tally.rates(
        [
            judged("retrained_2000", "honest", "PASSED", event="able"),
            judged("row_zeroed", "cheat", "FAILED", event="able"),
            judged("retrained_2000", "honest", "INCONCLUSIVE", event="unable"),
            judged("row_zeroed", "cheat", "INCONCLUSIVE", event="unable"),
        ]
    )["intervals"]
    assert rates["events_with_a_cheat_passed"]["of"] == 2
    assert rates["deciding_events_with_a_cheat_passed"]["of"] == 1


def of_share(candidate: str, event: str, share: float, result: str = "PASSED") -> Judged:
    """A cheat whose pooled readers show a share, by a policy that lets half remain."""
    figure = Figure(
        name="remainder.probes",
        label="share",
        value=share,
        interval=(share, share),
        null=(0.0, 0.0),
        original=1.0,
        difference=share,
    )
    row = JudgedRow(
        audit="remainder", name="remainder.probes", measurement=figure, outcome="within"
    )
    return replace(judged(candidate, "cheat", result, event=event), rows=(row,), stated=0.5)


def test_what_a_cheat_holds_follows_from_how_it_is_made_or_from_other_events() -> None:
    judgements = [
        of_share("blended_25", "a", 0.9),
        of_share("blended_50", "a", 0.1),
        of_share("stowaway", "a", 0.0),
        of_share("rows_left_in_10", "a", 0.9),
        of_share("rows_left_in_10", "b", 0.2),
        of_share("rows_left_in_10", "c", 0.4),
        of_share("distilled", "a", 0.1),
    ]
    shares = tally.held(judgements)
    assert shares["a", "blended_25"] == tally.Held(share=0.25, by="construction")
    # its own event shows .9, and has no say
    own = shares["a", "rows_left_in_10"]
    assert (own.share, own.by) == (pytest.approx(0.3), "other events")
    assert shares["b", "rows_left_in_10"].share == pytest.approx(0.65)
    assert shares["a", "distilled"] == tally.Held(share=None, by="nothing")
    rates = tally.rates(judgements)
    assert rates["within_share_passed_named"] == [
        "blended_25 in a",
        "rows_left_in_10 in a",
    ]
    # c's others show .55; half is no less than half; nothing says what `distilled` holds
    assert rates["beyond_share_passed_named"] == [
        "blended_50 in a",
        "distilled in a",
        "rows_left_in_10 in b",
        "rows_left_in_10 in c",
        "stowaway in a",
    ]
    assert rates["false_pass"] == 7
    assert rates["stated_shares"] == [0.5]


def test_structural_and_shared_cheats_hold_all_by_the_way_they_are_made() -> None:
    assert all(c.holds == 1.0 for c in CHEATS.values() if c.grade != "graded")
    assert {c.name for c in CHEATS.values() if c.holds is None} >= {"distilled", "rows_left_in_5"}


def test_forecasts_are_held_against_models_of_the_same_recipe() -> None:
    verdicts = [
        judged("retrained_2000", "honest", "PASSED", event="likely", power=0.9),
        judged("retrained_2001", "honest", "INCONCLUSIVE", event="likely", power=0.9),
        judged("retrained_longer", "honest", "FAILED", event="likely", power=0.9),
        judged("retrained_2000", "honest", "PASSED", event="as likely", power=0.8),
        judged("retrained_2000", "honest", "PASSED", event="unlikely", power=0.3),
        judged("natural", "edit", "FAILED", event="likely"),
    ]
    unlikely, likely = calibration.groups(verdicts)
    assert (unlikely.events, unlikely.models, unlikely.passed) == (1, 1, 1)
    assert unlikely.points_apart == 70.0
    assert (likely.events, likely.models, likely.passed) == (2, 3, 2)
    assert likely.forecast == pytest.approx((0.9 + 0.9 + 0.8) / 3, abs=1e-3)
    assert likely.points_apart == pytest.approx(20.0, abs=0.1)
    assert calibration.groups([]) == []
