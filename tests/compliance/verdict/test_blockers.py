"""What keeps a candidate within every margin from a pass, each at its limit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from audits.finding import Figure
from compliance.documents.policy import Policy, Rule
from compliance.verdict import blockers
from compliance.verdict.controls import Control, judge_control, misbehaviour
from compliance.verdict.judged_row import JudgedRow

DEEP = Rule(measurement="few_shot.1@penultimate", below=0.2, above=0.1, required=True)
OUTPUT = Rule(measurement="accuracy.forget_before_retiring", at_most=0.05, required=True)


def policy(assurance: str = "L3", **changes: Any) -> Policy:
    given = {"name": "p", "references": 5, "rules": (DEEP, OUTPUT)}
    return Policy(**{**given, "assurance": assurance, **changes})


def row(
    rule: Rule | None = DEEP,
    *,
    against: str = "retrained",
    members: int = 3,
    power: float | None = 0.9,
    outcome: str = "within",
    sizes: dict[str, int] | None = None,
) -> JudgedRow:
    figure = Figure(
        name="few_shot.1@penultimate",
        label="few",
        value=0.5,
        interval=(0.4, 0.6),
        null=(0.5,) * members,
        against=against,
        sizes=sizes or {},
    )
    return JudgedRow(
        audit="few_shot",
        name="few_shot.1@penultimate",
        measurement=figure,
        rule=rule,
        outcome=outcome,
        detect_original=power,
    )


def reference(result: str, number: int = 0) -> Control:
    return Control(name=f"reference_{number}", expected="PASSED", result=result, rows=())


def control(name: str, result: str, expected: str = "FAILED") -> Control:
    return Control(name=name, expected=expected, result=result, rows=())


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (["PASSED", "INCONCLUSIVE"], ""),
        (["PASSED", "INCONCLUSIVE", "FAILED"], "1 of 3 retrained models pass"),
        (["FAILED"], "0 of 1 retrained models pass"),
        (["PASSED"] * 3, ""),
        ([], ""),
    ],
)
def test_half_of_the_retrained_models_must_pass(results: list[str], said: str) -> None:
    controls = [reference(result, i) for i, result in enumerate(results)]
    controls.append(control("original", "PASSED"))
    lines = list(blockers.blockers([row()], controls, policy(), []))
    assert [line for line in lines if "retrained models pass by these rules" in line] == [
        line for line in lines if said and line.startswith(said)
    ]
    assert bool(lines) is bool(said)


@pytest.mark.parametrize(
    ("assurance", "rows", "blocked"),
    [
        ("L3", [row()], False),
        ("L3", [row(members=2)], True),
        ("L2", [row(members=2)], False),
        ("L2", [row()], False),
        ("L2", [row(OUTPUT)], True),
    ],
)
def test_the_evidence_must_reach_the_level_of_the_policy(
    assurance: str, rows: list[JudgedRow], blocked: bool
) -> None:
    lines = list(blockers.blockers(rows, [], policy(assurance), []))
    said = f"The policy asks for {assurance}, the evidence reaches"
    assert any(line.startswith(said) for line in lines) is blocked


def test_outputs_alone_are_never_a_pass() -> None:
    lines = list(blockers.blockers([row()], [], policy("L1"), []))
    assert lines == [blockers.L1_IS_OUTPUTS]


@pytest.mark.parametrize(
    ("rows", "blind"),
    [
        ([row(power=0.5)], False),
        ([row(power=0.49)], True),
        ([row(power=None)], True),
        ([row(power=0.1), row(power=0.5)], False),
        ([row(OUTPUT, power=0.9)], True),
        ([row(None, power=0.9)], True),
        ([row(power=0.9, outcome="informational")], True),
        ([], True),
    ],
)
def test_a_policy_is_blind_where_no_inner_row_excludes_the_original(
    rows: list[JudgedRow], blind: bool
) -> None:
    assert blockers.is_blind(rows, policy()) is blind
    assert (blockers.BLIND in blockers.blockers(rows, [], policy(), [])) is blind
    assert not blockers.is_blind(rows, policy("L1"))


@pytest.mark.parametrize(("members", "blocked"), [(8, False), (7, True)])
def test_as_many_unseen_classes_as_the_policy_asks_for(members: int, blocked: bool) -> None:
    rules = policy("L2", unseen_classes=8)
    rows = [row(against="unseen", members=9), row(against="unseen", members=members)]
    lines = list(blockers.blockers(rows, [], rules, []))
    said = f"{members} unseen classes are the baseline and the policy asks for 8"
    assert any(line.startswith(said) for line in lines) is blocked
    # retrained models, and rows that decide nothing, are counted by nobody
    others = [row(members=3), row(None, against="unseen", members=1)]
    assert not any("unseen classes" in line for line in blockers.blockers(others, [], rules, []))


def test_samples_that_no_audit_counts_are_asked_for() -> None:
    rules = policy(minimum_samples={"forget_test": 9, "forget_train": 5})
    lines = list(blockers.blockers([row(sizes={"forget_test": 1})], [], rules, []))
    assert lines == [
        "No audit says how many samples of forget_train it had; the policy asks for 5."
    ]


@pytest.mark.parametrize(
    ("minds", "status", "blocked"),
    [
        ("inconclusive", "UNKNOWN", True),
        ("inconclusive", "RETIRED", False),
        ("ignore", "UNKNOWN", False),
    ],
)
def test_copies_of_unknown_state_block_where_the_policy_minds(
    minds: str, status: str, blocked: bool
) -> None:
    lines = list(
        blockers.about_copies(
            [{"status": status, "artefact": "model 7"}],
            policy().model_copy(update={"unknown_artefacts": minds}),
        )
    )
    expected = [
        "The state of model 7, made from the old weights, is unknown: find out, and record it."
    ]
    assert lines == (expected if blocked else [])


@pytest.mark.parametrize(
    ("assurance", "references", "unseen", "count"),
    [
        ("L3", 3, None, 0),
        ("L3", 2, None, 1),
        ("L3", 3, 0, 0),
        ("L2", 0, 8, 0),
        ("L2", 0, 7, 1),
        ("L2", 0, None, 0),
        ("L1", 0, 0, 1),
    ],
)
def test_what_is_out_of_reach_is_foreseen(
    assurance: str, references: int, unseen: int | None, count: int
) -> None:
    rules = policy(assurance, unseen_classes=8)
    lines = list(blockers.foreseen(rules, references=references, unseen=unseen))
    assert len(lines) == count


@pytest.mark.parametrize(
    ("expected", "result", "right"),
    [
        ("FAILED", "FAILED", True),
        ("FAILED", "PASSED", False),
        ("FAILED", "INCONCLUSIVE", False),
        ("NOT_PASSED", "FAILED", True),
        ("NOT_PASSED", "INCONCLUSIVE", True),
        ("NOT_PASSED", "PASSED", False),
        ("PASSED", "PASSED", True),
        ("PASSED", "INCONCLUSIVE", True),
        ("PASSED", "FAILED", False),
    ],
)
def test_a_control_behaves_where_it_comes_out_as_it_must(
    expected: str, result: str, right: bool
) -> None:
    one = control("original", result, expected)
    assert one.as_expected is right
    assert one.to_json() == {
        "name": "original",
        "expected": expected,
        "found": result,
        "asExpected": right,
        "rows": [],
    }


WHOLE = [
    control(name, "FAILED")
    for name in ("original", "output_retired", "head_refitted", "random_direction")
]


def test_all_controls_must_be_there_and_behave() -> None:
    references = [reference("PASSED", i) for i in range(3)]
    rules = policy(near_margin=None)
    assert list(misbehaviour([*WHOLE, *references], rules, {})) == []
    assert list(misbehaviour([*WHOLE, *references[:2]], rules, {})) == [
        "Controls are missing: retrained references judged by the others. Run them."
    ]
    assert list(misbehaviour(WHOLE, policy("L2", near_margin=None), {})) == []
    lacking = list(misbehaviour([*WHOLE[1:], *references], rules, {}))
    assert lacking == ["Controls are missing: original. Run them."]
    impossible = list(misbehaviour([*WHOLE[1:], *references], rules, {"original": "No head."}))
    assert impossible == ["Control original could not be built. No head."]
    near = policy(near_margin=0.55)
    asked = list(misbehaviour([*WHOLE, *references], near, {}))
    assert asked == ["Controls are missing: near_margin. Run them."]


def test_a_control_that_misbehaves_is_named_with_its_reason() -> None:
    other = replace(row(OUTPUT), name="accuracy.forget_before_retiring")
    strange = Control(
        name="reference_0",
        expected="PASSED",
        result="FAILED",
        rows=(row(outcome="outside"), other, row(None, outcome="outside")),
    )
    controls = [
        strange,
        control("near_margin", "PASSED", "NOT_PASSED"),
        control("original", "PASSED"),
    ]
    first, second, third, *_ = misbehaviour(controls, policy(), {})
    assert "reference_0 came out FAILED, it must not come out FAILED" in first
    assert "never saw the class (few_shot.1@penultimate)," in first
    assert "near_margin came out PASSED, it must not come out PASSED" in second
    assert "original came out PASSED, it must come out FAILED" in third


@pytest.mark.parametrize(
    ("name", "kinds", "assurance", "expected"),
    [
        ("original", (), "L3", "FAILED"),
        ("near_margin", (), "L3", "NOT_PASSED"),
        ("random_direction", (), "L3", "FAILED"),
        ("random_direction", ("probe",), "L3", "NOT_PASSED"),
        ("random_direction", ("probe",), "L1", "FAILED"),
        ("original", ("probe",), "L3", "FAILED"),
        ("reference_2", ("probe",), "L3", "PASSED"),
    ],
)
def test_what_a_control_must_come_out_as_follows_from_name_and_policy(
    name: str, kinds: tuple[str, ...], assurance: str, expected: str
) -> None:
    rules = policy(assurance).model_copy(update={"kinds": kinds})
    assert judge_control(name, [], rules).expected == expected
