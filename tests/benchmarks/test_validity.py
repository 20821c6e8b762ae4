"""The validity study counts what it says it counts."""

from __future__ import annotations

from typing import Any

import pytest

from audits.finding import Figure
from benchmarks.validity import bench, nets, report
from benchmarks.validity.__main__ import plan
from benchmarks.validity.cheats import CHEATS, SHALLOW
from benchmarks.validity.judging import Case, Judged
from compliance.documents.policy import load_policy


def judged(candidate: str, kind: str, result: str, **more: Any) -> Judged:
    """A verdict on a candidate; `event`, `seed`, `power` and `apart` as they are wanted."""
    case = Case(
        event=more.get("event", "e"),
        setting="digits",
        seed=more.get("seed", 11),
        candidate=candidate,
        kind=kind,
        findings=(),
        controls={},
        impossible={},
        seconds={},
        passes={},
    )
    power, apart = more.get("power"), more.get("apart")
    return Judged(case=case, result=result, power=power, apart=apart, rows=(), reasons=())


def test_a_cheat_that_passes_is_counted_and_named() -> None:
    found = report.rates(
        [
            judged("row_zeroed", "cheat", "PASSED", event="one"),
            judged("row_zeroed", "cheat", "FAILED", event="two"),
            judged("retrained_2000", "honest", "PASSED", power=0.9),
            judged("retrained_2001", "honest", "FAILED", power=0.9),
            judged("retrained_2002", "honest", "INCONCLUSIVE", power=0.2),
            judged("mixture", "edit", "PASSED"),
        ]
    )
    assert (found["cheats"], found["false_pass"], found["kinds_of_cheats"]) == (2, 1, 1)
    assert found["false_pass_named"] == ["row_zeroed in one"]
    assert (found["honest"], found["false_fail"], found["inconclusive"]) == (3, 1, 1)
    assert (found["honest_with_power"], found["inconclusive_with_power"]) == (2, 0)


def test_an_event_of_which_a_candidate_lacks_is_told_to_be_cut_short() -> None:
    whole, cut, unseen = bench.events(nets.SETTINGS)[:3]
    found = [judged(name, "edit", "FAILED", event=whole.name) for name in bench.untrained(whole)]
    found.append(judged("mixture", "edit", "FAILED", event=cut.name))
    assert report.partly([whole, cut, unseen], found) == [cut.name]


def test_flips_are_pairs_of_one_candidate_under_two_seeds() -> None:
    found = report.flips(
        [
            judged("a", "honest", "PASSED"),
            judged("a", "honest", "INCONCLUSIVE", seed=12),
            judged("b", "honest", "PASSED"),
            judged("b", "honest", "PASSED", seed=12),
            judged("c", "honest", "FAILED"),
        ]
    )
    assert found == {"pairs": 2, "flips": 1, "between_passed_and_failed": 0}


def test_levels_are_compared_where_both_were_judged() -> None:
    found = report.levels(
        [
            judged("row_zeroed", "cheat", "FAILED", apart="PASSED"),
            judged("finetuned", "cheat", "FAILED", apart="FAILED"),
            judged("retrained_2000", "honest", "PASSED", apart="INCONCLUSIVE"),
            judged("retrained_2001", "honest", "PASSED"),
        ]
    )
    assert (found["compared"], found["disagree"], found["l2_passed_l3_failed"]) == (3, 2, 1)
    assert (found["shallow_cheats"], found["shallow_cheats_l2_passed"]) == (1, 1)


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
    told = {r.measurement: r for r in policy.rules}
    name = "few_shot.1@penultimate"
    assert (wide[name].below, wide[name].above) == (0.6, 0.4)
    name = "linear_probe.dprime@logits"
    assert (wide[name].below, wide[name].above) == (3.0, 2.0)
    name = "similarity.cka@penultimate"
    assert wide[name].spreads_below == 2 * (told[name].spreads_below or 0)
    assert report.scaled(policy, 1.0) == policy
    for kept in ("accuracy.forget_before_retiring", "accuracy.retain"):
        assert wide[kept] == told[kept]


def test_the_plan_has_forty_events_and_more_than_fifteen_cheats() -> None:
    events = {event.name for event, _ in plan(quick=False, settings=[])}
    assert len(events) >= 40
    assert len(CHEATS) >= 15
    assert set(SHALLOW) <= set(CHEATS)
    assert len({s.name for s in nets.SETTINGS}) == len(nets.SETTINGS)
    assert len({event.name for event, _ in plan(quick=True, settings=[])}) == 3
