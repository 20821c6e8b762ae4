"""Kinds of readers: which must have decided, which may be missing, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from audits.finding import Figure, Finding
from compliance.documents.policy import Policy, Rule, load_policy
from compliance.verdict import Verdict, judge, judge_rows, kinds
from compliance.verdict.judged_row import JudgedRow

EVERY = ("probe", "few_labels", "geometry", "nonlinear", "earlier")
FURTHER = ("similarity.cka@penultimate", "second_moments.dprime@penultimate")
EARLIER = "linear_probe.dprime@earlier"


def policy(example: ModuleType, *asked: str, **changes: Any) -> Policy:
    """The example's rules as shares of what the original knows, one row of each kind required."""
    content = example.policy().model_dump(mode="json")
    for rule in content["rules"]:
        if rule["measurement"].startswith(("linear_probe", "few_shot", "head_refit")):
            rule |= {"below": None, "above": None, "remainder": 0.6, "overshoot": 1.5}
    content["rules"] += [
        {"measurement": EARLIER, "remainder": 0.6, "overshoot": 1.5, "required": True},
        *(
            {"measurement": n, "spreads_above": 9, "spreads_below": 9, "required": True}
            for n in FURTHER
        ),
    ]
    return Policy.model_validate(content | {"kinds": list(asked or EVERY)} | changes)


def findings(
    example: ModuleType,
    kind: str = "edited",
    *,
    left_out: tuple[str, ...] = (),
    original: dict[str, float] | None = None,
    **values: float,
) -> list[Finding]:
    """The example's, with one row more of each kind that it lacks."""
    originals = {} if original is None else original
    rows = [
        replace(f, measurements=tuple(with_original(m, originals) for m in f.measurements))
        for f in example.findings(kind, **values)
    ]
    probe = example.measurement("linear_probe.dprime@penultimate").__class__
    assert probe is Figure
    more = []
    for name in (EARLIER, *FURTHER):
        if name not in left_out:
            figure = example.measurement("linear_probe.dprime@penultimate")
            if kind not in ("edited",) and not kind.startswith("reference"):
                figure = example.measurement("linear_probe.dprime@penultimate", 5.29)
            figure = with_original(replace(figure, name=name), originals)
            more.append(
                Finding(
                    audit=name.split(".")[0], question="?", status="RUN", measurements=(figure,)
                )
            )
    return [*rows, *more]


def with_original(figure: Figure, originals: dict[str, float]) -> Figure:
    return replace(figure, original=originals[figure.name]) if figure.name in originals else figure


def judged(example: ModuleType, rules: Policy, **how: Any) -> Verdict:
    controls = {name: findings(example, name, **how) for name in example.controls()}
    return judge(findings(example, **how), controls, rules)


def test_each_measurement_is_of_the_kind_that_reads_it() -> None:
    assert kinds.of("linear_probe.dprime@logits") == ("probe",)
    assert kinds.of("head_refit.forget") == ("few_labels",)
    assert kinds.of("remainder.all") == ("probe", "few_labels")
    assert kinds.of("mlp_probe.dprime@penultimate") == ("nonlinear",)
    assert kinds.of("few_shot.1@earlier") == ("earlier",)
    assert kinds.of("accuracy.retain") == ()


@pytest.mark.parametrize("name", ["default-v2", "demo-v2", "default-v3", "default-v5", "demo-v3"])
def test_a_shipped_policy_requires_a_rule_of_each_kind_that_it_names(name: str) -> None:
    shipped = load_policy(name)
    assert shipped.kinds == EVERY
    for kind in shipped.kinds:
        own = [rule for rule in shipped.rules if kind in kinds.of(rule.measurement)]
        assert any(r.tested if kind in kinds.MAY_LACK else r.required for r in own), kind


def test_a_row_of_each_kind_that_decided_passes(example: ModuleType) -> None:
    verdict = judged(example, policy(example))
    assert verdict.result == "PASSED", verdict.reasons


def test_few_labels_that_cannot_tell_the_original_decide_nothing(example: ModuleType) -> None:
    names = ("few_shot.1@penultimate", "few_shot.5@penultimate", "head_refit.forget")
    same = {"few_shot.1@penultimate": 0.57, "few_shot.5@penultimate": 0.72}
    blind = same | {"head_refit.forget": 0.894}
    verdict = judged(example, policy(example), original=blind)
    assert verdict.result == "INCONCLUSIVE"
    (reason,) = [r for r in verdict.reasons if "readers of a few labels" in r]
    assert all(name in reason for name in names)
    assert "bring more held-out images of the class or more references" in reason
    # what could not tell is named as not counting, and is in no count
    assert not any(row.counts for row in verdict.rows if row.name in names)
    assert any("decide nothing" in line and names[0] in line for line in verdict.limits)


def test_an_earlier_depth_where_the_original_is_not_told_may_be_missing(
    example: ModuleType,
) -> None:
    verdict = judged(example, policy(example), original={EARLIER: 3.53})
    assert verdict.result == "PASSED", verdict.reasons
    assert any("readers before the last features counts here" in line for line in verdict.limits)


def test_a_nonlinear_reader_counts_by_what_retrained_models_show(example: ModuleType) -> None:
    """The original need not stand out: what is asked is whether the candidate does."""
    verdict = judged(example, policy(example), original={FURTHER[1]: 3.53})
    assert verdict.result == "PASSED", verdict.reasons
    (row,) = [row for row in verdict.rows if row.name == FURTHER[1]]
    assert row.required
    assert not row.counts
    assert any("not counted" in line and row.name in line for line in verdict.limits)


@pytest.mark.parametrize("name", FURTHER)
def test_geometry_and_nonlinear_readers_must_have_been_measured(
    example: ModuleType, name: str
) -> None:
    verdict = judged(example, policy(example), left_out=(name,))
    assert verdict.result == "INCONCLUSIVE"
    kind = kinds.of(name)[0]
    assert any(kinds.WORDS[kind] in reason for reason in verdict.reasons)


def test_a_policy_of_before_asks_for_no_kinds(example: ModuleType) -> None:
    rules = policy(example).model_copy(update={"kinds": ()})
    blind = {"few_shot.1@penultimate": 0.57, "few_shot.5@penultimate": 0.72}
    verdict = judged(example, rules, original=blind | {"head_refit.forget": 0.894})
    assert verdict.result == "PASSED", verdict.reasons


def test_a_veto_fails_what_lies_outside_and_holds_nothing_up(example: ModuleType) -> None:
    content = example.policy().model_dump(mode="json")
    for rule in content["rules"]:
        if rule["measurement"] == "few_shot.1@penultimate":
            rule |= {"required": False, "veto": True}
    rules = Policy.model_validate(content)
    for value, result in ((0.92, "FAILED"), (0.75, "PASSED"), (0.56, "PASSED")):
        measured = example.findings(few_shot__1_at_penultimate=value)
        assert judge(measured, example.controls(), rules).result == result
    undecided = judge(example.findings(few_shot__1_at_penultimate=0.75), example.controls(), rules)
    assert any("few_shot.1@penultimate is undecided" in line for line in undecided.limits)
    rows = judge_rows(example.findings(few_shot__1_at_penultimate=0.92), rules)
    (row,) = [row for row in rows if row.name == "few_shot.1@penultimate"]
    assert (row.outcome, row.required) == ("outside", True)
    assert row.to_json()["rule"].endswith("outside fails, undecided holds nothing up")


def test_the_claim_counts_rows_that_could_have_shown_the_original(example: ModuleType) -> None:
    verdict = judged(example, policy(example), original={FURTHER[1]: 3.53})
    count = sum(row.counts for row in verdict.rows)
    required = sum(row.required for row in verdict.rows)
    assert 0 < count < required
    assert (
        f"In all {count} required measurements that could have shown the original" in verdict.claim
    )
    assert f"in {required - count} further required ones, which could not show it" in verdict.claim
    assert "Excluded, at level 0.05 each, is that 60% or more" in verdict.claim
    assert "failed none of 5 retrained models and passed 5" in verdict.claim


def test_rows_with_a_veto_are_of_a_kind_that_may_be_missing_alone(example: ModuleType) -> None:
    names = ("linear_probe.dprime@penultimate", EARLIER, FURTHER[1])
    # probes may not be missing; readers at an earlier depth may
    assert "probe" not in kinds.MAY_LACK
    assert "earlier" in kinds.MAY_LACK
    for settings, expected in (
        ({"required": True}, {"probe": [names[0]], "earlier": [EARLIER]}),
        ({"veto": True}, {"probe": [], "earlier": [EARLIER]}),
        ({}, {"probe": [], "earlier": []}),
    ):
        rows = [
            JudgedRow(
                audit=name.split(".")[0],
                name=name,
                measurement=example.measurement("linear_probe.dprime@penultimate"),
                rule=Rule(measurement=name, below=1.0, above=1.0, **settings),
                outcome="within",
            )
            for name in names
        ]
        for kind, own in expected.items():
            assert [row.name for row in kinds.rows_of(kind, rows)] == own
