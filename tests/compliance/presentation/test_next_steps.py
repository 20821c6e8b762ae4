"""What to do after a verdict: computed, never empty, and right about the numbers that it names."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from audits.equivalence import equivalence
from compliance.presentation import next_steps
from compliance.presentation.next_steps import NextStep, Situation
from compliance.signing import Statement
from compliance.signing.facts import (
    AuditRow,
    ExpectedPower,
    ExpectedRow,
    Goal,
    Margin,
    Needed,
    Operator,
    Predicate,
)
from compliance.verdict import judge

EVENT = "5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11"
HERE = Situation(event=EVENT)
LEFT = ("rewritten", "retrain")


def predicate(example: ModuleType, **planted: float) -> Predicate:
    judged = judge(example.findings(**planted), example.controls(), example.policy())
    return Statement.of(example.example(judged)).predicate


def of_kind(steps: tuple[NextStep, ...], kind: str) -> list[NextStep]:
    return [step for step in steps if step.kind == kind]


def undecided(**changes: Any) -> AuditRow:
    """A row whose interval crosses the upper edge of its margin."""
    row = AuditRow(
        audit="few_shot",
        name="few_shot.1@penultimate",
        label="From 1 image per class",
        difference=0.12,
        difference_interval=(-0.08, 0.32),
        margin=Margin(below=0.3, above=0.22),
        required=True,
        outcome="undecided",
        sizes={"forget_test": 90, "references": 5},
    )
    return replace(row, **changes)


def test_every_verdict_ends_with_a_step(example: ModuleType) -> None:
    for planted in ({}, {"few_shot__1_at_penultimate": 0.92}, {"few_shot__1_at_penultimate": 0.72}):
        assert next_steps.next_steps(predicate(example, **planted), HERE)


def test_a_failure_names_the_row_that_decided(example: ModuleType) -> None:
    steps = next_steps.next_steps(predicate(example, few_shot__1_at_penultimate=0.92), HERE)
    assert steps[0].text == "Decided by one row: From 1 image per class."
    assert of_kind(steps, "samples") == []  # it is outside: nothing would be told by more images


def test_a_control_that_came_out_wrong_decides_what_is_inconclusive(example: ModuleType) -> None:
    controls = example.controls() | {"original": example.findings()}
    judged = judge(example.findings(), controls, example.policy())
    own = Statement.of(example.example(judged)).predicate
    assert next_steps.next_steps(own, HERE)[0].text == (
        "Decided by one control that came out wrong: original."
    )


def inconclusive_by(example: ModuleType, **method: Any) -> list[str]:
    """What is predicted of another cut after an undecided one by such a method."""
    own = predicate(example, few_shot__1_at_penultimate=0.72)
    assert own.verdict.result == "INCONCLUSIVE"
    own = replace(own, method=replace(own.method, **method))
    steps = next_steps.next_steps(own, replace(HERE, left=LEFT))
    return [step.text for step in of_kind(steps, "predicted")]


@pytest.mark.parametrize(
    ("after", "says"),
    [
        (9.0, "a deeper attempt is worth making"),  # more than the goal and its noise: 6 + 1
        (6.5, "another cut can hardly be told"),
        (4.0, "a deeper cut leads further away"),  # less than 6 - 1
    ],
)
def test_training_images_say_whether_another_cut_could_differ(
    example: ModuleType, after: float, says: str
) -> None:
    goal = Goal(layers=("fc1",), goal=(6.0,), after=(after,), noise=(1.0,))
    (text,) = inconclusive_by(example, goals=(goal,))
    assert says in text


@pytest.mark.parametrize(
    ("squared", "says"),
    [
        (3.0, "75% of the class's direction at fc1, the least of 2 layers"),  # 3 / 4
        (3.0, "`method.gain: 2` in a new request) would take 86%"),  # 6 / 7
        (99.0, "another gain is not worth an attempt"),  # .990, and .995 at twice the gain
    ],
)
def test_another_gain_is_predicted_from_the_strengths(
    example: ModuleType, squared: float, says: str
) -> None:
    def layer(name: str, s: float) -> Operator:
        return Operator(
            name=name,
            kind="Linear",
            strength=(s / (1 + s),),
            separability=(s,),
            relative_change=0.1,
        )

    layers = (layer("fc1", squared), layer("fc2", 199.0))
    (text,) = inconclusive_by(
        example, operators=layers, parameters={"preset": "mended", "gain": 1.0}
    )
    assert says in text


def test_nothing_is_predicted_of_a_model_that_was_trained_anew(example: ModuleType) -> None:
    assert inconclusive_by(example, operators=(), parameters={"preset": "retrain"}) == []


@pytest.mark.parametrize("freedom", [4.0, 12.0, 60.0])
@pytest.mark.parametrize("difference", [0.12, -0.2, 0.2, -0.28])
def test_so_many_times_as_many_samples_decide_and_half_of_them_do_not(
    difference: float, freedom: float
) -> None:
    """Against the test itself, whose error falls with the square root of the samples."""
    from scipy import stats

    error = 0.09
    half = stats.t.ppf(0.95, freedom) * error
    row = undecided(
        difference=difference, difference_interval=(difference - half, difference + half)
    )
    factor = next_steps.times_as_many(row)
    assert factor is not None

    def outcome(times: float) -> str:
        return equivalence(difference, error / times**0.5, freedom, 0.3, 0.22, alpha=0.05)

    assert outcome(1) == "undecided"
    assert outcome(factor * 1.001) == "within"
    assert factor == 2 or outcome((factor - 1) / 1.001) == "undecided"


@pytest.mark.parametrize("difference", [0.22, 0.3, -0.31])
def test_a_figure_on_the_edge_or_beyond_asks_for_no_samples(difference: float) -> None:
    row = undecided(difference=difference, difference_interval=(difference - 1, difference + 1))
    assert next_steps.times_as_many(row) is None


def test_a_limit_asks_for_images_only() -> None:
    row = undecided(margin=Margin(at_most=0.05), value=0.01, interval=(0.0, 0.09))
    assert next_steps.times_as_many(row) == 4
    assert next_steps._sizes(row, 4) == " (360 held-out images of the class)"
    assert next_steps.times_as_many(replace(row, value=0.05)) is None


def test_the_plan_s_forecast_goes_before_the_candidate_s_figure() -> None:
    expected = ExpectedRow(
        measurement="few_shot.1@penultimate", needed=Needed(references=9, images=240)
    )
    text = next_steps._needed(undecided(), expected)
    assert "9 retrained models or 240 held-out images of the class" in text
    assert "would be decided by about 4 times" in next_steps._needed(undecided(), None)


def test_what_no_method_can_pass_is_said(example: ModuleType) -> None:
    own = predicate(example, few_shot__1_at_penultimate=0.72)
    power = ExpectedPower(told="No pass can be reached: none passes.", can_reach=False)
    own = replace(own, audit_plan=replace(own.audit_plan, expected_power=power))
    (first, *_) = of_kind(next_steps.next_steps(own, HERE), "samples")
    assert "no method can be expected to pass here, retraining included" in first.text
    assert "none passes" in first.text
    (only,) = [s for s in next_steps.next_steps(own, replace(HERE, left=LEFT)) if s.command]
    assert "is not expected to pass" in only.text


def test_attempts_that_are_left_are_offered_and_retraining_has_its_cost(
    example: ModuleType,
) -> None:
    own = predicate(example, few_shot__1_at_penultimate=0.92)
    left = replace(HERE, left=("rewritten", "retrain"), retrain_seconds=95.0)
    steps = next_steps.next_steps(own, left)
    assert [step.command for step in steps if step.command] == [
        f"damp retry {EVENT} --preset rewritten",
        f"damp retry {EVENT} --preset retrain",
    ]
    assert "about 2 min here, as measured" in of_kind(steps, "retrain")[0].text
    assert "16 passes" not in steps[0].text
    none = next_steps.next_steps(own, HERE)
    assert none[-1].command.startswith(f"damp close {EVENT}")
    assert "no further attempt" in none[-1].text


def test_an_attempt_that_is_due_by_itself_is_run(example: ModuleType) -> None:
    own = predicate(example, few_shot__1_at_penultimate=0.92)
    steps = next_steps.next_steps(own, replace(HERE, due="retrain"))
    assert steps[-1].command == f"damp run --event {EVENT}"
    assert "goes on by itself" in steps[-1].text


def test_a_pass_leads_to_signature_use_and_purge(example: ModuleType) -> None:
    own = predicate(example)
    kinds = [
        [step.kind for step in next_steps.next_steps(own, where)]
        for where in (
            replace(HERE, awaited=("reviewer",)),
            HERE,
            replace(HERE, deployed=True),
            replace(HERE, deployed=True, purged=True, ended=True),
        )
    ]
    assert kinds == [["sign"], ["use"], ["purge"], []]


def test_nothing_of_a_claim_is_promoted_or_tried_again(example: ModuleType) -> None:
    claim = replace(HERE, claim=True)
    passed = next_steps.next_steps(predicate(example), claim)
    failed = next_steps.next_steps(predicate(example, few_shot__1_at_penultimate=0.92), claim)
    commands = " ".join(step.command for step in (*passed, *failed))
    assert "promote" not in commands
    assert "retry" not in commands
    assert failed[-1].kind == passed[-1].kind == "ask"


def test_attempts_that_cannot_pass_at_their_level_are_not_advised(example: ModuleType) -> None:
    own = predicate(example, few_shot__1_at_penultimate=0.72)
    last = next_steps.next_steps(own, replace(HERE, left=("retrain",), hopeless=True))[-1]
    assert last.kind == "close"
    assert "At the level of the attempts that are left" in last.text
    assert "retry" not in last.command


def test_whoever_made_a_claim_is_answered_also_once_it_is_closed(example: ModuleType) -> None:
    closed = replace(HERE, claim=True, ended=True)
    for planted in ({}, {"few_shot__1_at_penultimate": 0.92}):
        last = next_steps.next_steps(predicate(example, **planted), closed)[-1]
        assert (last.kind, last.command) == ("ask", "")
