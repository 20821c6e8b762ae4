"""The result pages say what the signed statements say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.digits import tables
from compliance.signing import envelope

EXAMPLE = Path(__file__).parents[2] / "compliance" / "example.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def signed(tmp_path: Path, example: ModuleType) -> Path:
    key = envelope.generate(tmp_path / "keys", demo=True)
    path = tmp_path / "statement.dsse.json"
    path.write_bytes(envelope.sign(example.example(), key))
    return path


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_summary_has_a_line_per_attempt_with_value_and_retrained_mean(signed: Path) -> None:
    head, _, first, second = tables.summary([("Forget 8", [signed, signed])]).splitlines()
    items = dict(zip(cells(head), cells(first), strict=True))
    assert items["event"] == "Forget 8"
    assert items["verdict"] == "PASSED"
    assert items["retain"] == "0.987 (0.988)"
    assert items["few-shot 1"] == "0.535 (0.560)"
    assert first == second


def test_what_was_not_measured_is_a_dash_in_the_summary(
    tmp_path: Path, example: ModuleType
) -> None:
    statement = example.example()
    rows = statement["predicate"]["audits"]
    statement["predicate"]["audits"] = [r for r in rows if r["name"] != "routing.js"]
    path = tmp_path / "statement.dsse.json"
    path.write_bytes(envelope.sign(statement, envelope.generate(tmp_path / "keys", demo=True)))
    head, _, line = tables.summary([("Forget 8", [path])]).splitlines()
    assert dict(zip(cells(head), cells(line), strict=True))["routing JS"] == "-"


def test_the_page_of_an_event_shows_every_measurement_and_control(
    signed: Path, example: ModuleType
) -> None:
    page = tables.event([signed], title="Forget 8", command="damp run")
    predicate = example.example()["predicate"]
    for row in predicate["audits"]:
        if row["status"] == "RUN":
            assert f"`{row['name']}`" in page
    for control in predicate["controls"]:
        assert f"| {control['name']} | {control['expected']} | {control['found']} |" in page
    assert "`damp run`" in page


def test_an_outcome_outside_its_margin_stands_out(signed: Path, example: ModuleType) -> None:
    assert "**outside**" not in tables.event([signed], title="x", command="x")
    verdict = example.judge(
        example.findings(few_shot__1_at_penultimate=0.92), example.controls(), example.policy()
    )
    statement = example.example(verdict)
    signed.write_bytes(envelope.sign(statement, envelope.generate(signed.parent / "k", demo=True)))
    assert "**outside**" in tables.event([signed], title="x", command="x")
