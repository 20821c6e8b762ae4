"""The statement: strict in form, free of contradictions, one form of bytes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from compliance.formats import typed
from compliance.formats.errors import JsonError, StatementError
from compliance.signing import Statement, statement
from compliance.signing.facts import ExpectedRow
from compliance.verdict import load_findings
from compliance.verdict.findings import to_json

Json = dict[str, Any]
FREE = {"packages", "sizes", "parameters", "cpuSeconds", "candidateForwardPasses"}
"""Maps whose keys are data."""
LATER = {
    ("predicate", "method", "mended"),
    ("predicate", "method", "rewritten"),
    ("predicate", "event", "cost"),
}
"""Keys that statements signed before they were there do not have."""


def objects(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Json]]:
    """Every object of a statement with its place; of lists the first item only."""
    if isinstance(value, dict):
        yield path, value
        for key, inner in value.items():
            yield from objects(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from objects(value[0], (*path, 0))


def small(example: ModuleType) -> Json:
    """The example with one row of each kind: the schema is asked often below."""
    document: Json = example.example()
    predicate = document["predicate"]
    predicate["audits"] = [predicate["audits"][0]]
    predicate["controls"] = [predicate["controls"][0]]
    predicate["controls"][0]["rows"] = [predicate["controls"][0]["rows"][0]]
    return document


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def refused(document: Json) -> str:
    with pytest.raises(StatementError) as caught:
        statement.validate(document)
    return "\n".join(caught.value.problems)


def test_the_example_is_valid_and_about_the_model_after_only(example: ModuleType) -> None:
    document = example.example()
    assert [s["digest"]["sha256"] for s in document["subject"]] == [example.digest("after")]
    assert document["predicateType"] == "urn:damp:attestation:unlearning-event:v1"


def test_the_same_content_gives_the_same_bytes(example: ModuleType) -> None:
    document = example.example()
    turned = json.loads(json.dumps(document, sort_keys=True, indent=3))
    assert statement.canonical(turned) == statement.canonical(document)


def test_an_unknown_key_is_refused_at_every_level(example: ModuleType) -> None:
    document = small(example)
    places = [path for path, _ in objects(document) if not (path and path[-1] in FREE)]
    assert len(places) > 30
    for path in places:
        changed = copy.deepcopy(document)
        at(changed, path)["surprise"] = 1
        assert statement.schema_problems(changed), path


def test_a_missing_key_is_refused_at_every_level(example: ModuleType) -> None:
    document = small(example)
    for path, node in objects(document):
        for key in node if not (path and path[-1] in FREE) else ():
            changed = copy.deepcopy(document)
            del at(changed, path)[key]
            refused = bool(statement.schema_problems(changed))
            assert refused is ((*path, key) not in LATER), (path, key)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("subject", 0, "digest", "sha256"), "ABC"),
        (("predicate", "verdict", "result"), "OK"),
        (("predicate", "verdict", "assurance"), "L4"),
        (("predicate", "event", "attempt"), 0),
        (("predicate", "event", "startedAt"), "2026-09-20 08:00"),
        (("predicate", "event", "finishedAt"), "2026-09-20T08:00:00+02:00"),
        (("predicate", "event", "monotonicSeconds"), "1"),
        (("predicate", "request", "scope", "indices"), ["cat"]),
        (("predicate", "request", "scope", "indices"), []),
        (("predicate", "request", "regulation"), "law"),
        (("predicate", "audits"), []),
        (("predicate", "audits", 0, "outcome"), "fine"),
        (("predicate", "audits", 0, "interval"), [1]),
        (("predicate", "propagation", 0, "status"), "GONE"),
        (("predicate", "demoKey"), None),
    ],
)
def test_a_value_of_the_wrong_form_is_refused(
    example: ModuleType, path: tuple[Any, ...], value: Any
) -> None:
    document = example.example()
    at(document, path[:-1])[path[-1]] = value
    assert "/".join(map(str, path)) in refused(document)


def change(path: str, value: Any) -> Callable[[Json], None]:
    def apply(predicate: Json) -> None:
        *way, last = [int(p) if p.isdigit() else p for p in path.split("/")]
        at(predicate, tuple(way))[last] = value

    return apply


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("audits/0/outcome", "outside", "is outside"),
        ("audits/0/outcome", "not_run", "is not_run"),
        ("controls/2/asExpected", False, "head_refitted"),
        ("controls/2/found", "PASSED", "is not FAILED"),
        ("controls", [], "controls misbehaved or are missing"),
        ("verdict/assurance", "L1", "outputs alone"),
        ("event/attempt", 2, "must list every earlier attempt"),
        ("auditPlan/ledgerSequence", 6, "after the statement"),
    ],
)
def test_a_pass_that_contradicts_itself_is_refused(
    example: ModuleType, path: str, value: Any, words: str
) -> None:
    document = example.example()
    change(path, value)(document["predicate"])
    assert words in refused(document)


def test_a_pass_that_required_nothing_is_refused(example: ModuleType) -> None:
    document = example.example()
    for row in document["predicate"]["audits"]:
        row["required"] = False
    assert "no measurement was required" in refused(document)


def test_the_model_before_is_never_the_subject(example: ModuleType) -> None:
    parts = example.parts()
    parts["sha256"] = parts["inputs"]["modelBefore"]["digest"]["sha256"]
    with pytest.raises(StatementError, match="nothing was changed"):
        statement.build(**parts)


def test_numbers_that_json_has_not_are_refused(example: ModuleType) -> None:
    parts = example.parts()
    parts["event"]["monotonicSeconds"] = float("nan")
    with pytest.raises(ValueError, match="canonical"):
        statement.build(**parts)


def test_findings_survive_their_file(example: ModuleType, tmp_path: Any) -> None:
    file = tmp_path / "findings.json"
    file.write_text(json.dumps(to_json(example.with_gap(), example.controls())))
    assert load_findings(file) == (example.with_gap(), example.controls())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"candidate": 1, "controls": {}}', '{"a": NaN}'])
def test_a_broken_findings_file_is_refused(tmp_path: Any, text: str) -> None:
    file = tmp_path / "findings.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"findings\.json"):
        load_findings(file)


def test_goals_and_whoever_stood_in_are_part_of_a_valid_statement(example: ModuleType) -> None:
    document = small(example)
    method = document["predicate"]["method"]
    goal = {"layers": ["fc1"], "before": [9.1], "goal": [4.6], "after": [4.7]}
    method["goals"] = [goal, goal | {"noise": [0.3], "rows": 5500}]  # the first as it was before
    method["standIn"] = {"preset": "mended", "reason": "too few rows"}
    statement.validate(document)
    del method["standIn"]["reason"]
    assert "reason" in refused(document)
    method["standIn"]["reason"] = "too few rows"
    method["goals"][0]["goal"] = [-1.0]
    assert "goal" in refused(document)


def test_repairs_are_read_from_statements_of_before_and_of_now(example: ModuleType) -> None:
    older, newer = example.parts(), example.parts()
    older["method"] |= {"rewritten": "fc1", "mended": "fc2"}
    repairs = [{"kind": "low_rank_update", "layer": "fc1"}, {"kind": "head_refit", "layer": "fc2"}]
    del newer["method"]["rewritten"], newer["method"]["mended"]
    newer["method"]["repairs"] = repairs
    first, second = (
        Statement.of(statement.build(**parts)).predicate.method.repaired for parts in (older, newer)
    )
    assert first == second
    assert typed.plain(first) == repairs
    assert Statement.of(example.example()).predicate.method.repaired == ()


def test_typed_facts_hold_what_the_statement_holds(example: ModuleType) -> None:
    """A value under a key of the statement stands under the same name in the facts."""
    document = example.example()
    facts = typed.plain(Statement.of(document))
    for path, node in objects(document):
        part = at(facts, path) if _reaches(facts, path) else {}
        assert {k: v for k, v in part.items() if k in node and not isinstance(v, dict | list)} == {
            k: v for k, v in node.items() if k in part and not isinstance(v, dict | list)
        }


def _reaches(content: Any, path: tuple[Any, ...]) -> bool:
    try:
        at(content, path)
    except (KeyError, IndexError):
        return False
    return True


def test_facts_of_something_else_are_refused(example: ModuleType) -> None:
    document = example.example()
    del document["predicate"]["verdict"]["claim"]
    with pytest.raises(JsonError, match="predicate/verdict lacks `claim`"):
        Statement.of(document)
    document = example.example()
    document["predicate"]["event"]["attempt"] = "first"
    with pytest.raises(JsonError, match="predicate/event/attempt is no int"):
        Statement.of(document)


@pytest.mark.parametrize(("length", "shown"), [(299, 299), (300, 140 + len(" ... ") + 140)])
def test_a_message_of_three_hundred_characters_is_shortened_in_its_middle(
    example: ModuleType, length: int, shown: int
) -> None:
    """The validator repeats what it refuses, however long that is."""
    document = small(example)
    frame = len("'' does not match '^[0-9a-f]{64}$'")
    document["predicate"]["auditPlan"]["digest"] = "z" * (length - frame)
    (problem,) = statement.schema_problems(document)
    place, message = problem.split(": ", 1)
    assert place == "predicate/auditPlan/digest"
    assert len(message) == shown
    assert (" ... " in message) == (shown < length)
    assert message.startswith("'zz")
    assert message.endswith("does not match '^[0-9a-f]{64}$'")


def test_a_row_of_which_a_plan_says_nothing_more_decides() -> None:
    row = typed.read(ExpectedRow, {"measurement": "few_shot.1"}, "A row")
    assert row.decides
    assert (row.accept_retrained, row.reason, row.needed) == (None, "", None)
