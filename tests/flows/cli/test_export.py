"""`damp stats` and `damp export` on a state folder."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compliance.signing import envelope, load_trust
from flows.state.paths import Home

RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))
Damp = Callable[..., Any]


@pytest.fixture
def event(home: Home) -> str:
    identifier: str = RECORDS.put(home)
    RECORDS.decide(home, identifier)
    return identifier


def test_counts_are_told_for_people_and_machines(damp: Damp, home: Home, event: str) -> None:
    result = damp("stats", "--json").json()
    assert (result["received"], result["open"], result["verdicts"]) == (1, 1, {"PASSED": 1})
    assert "received           1" in damp("stats").out
    assert damp("stats", "--year", "1999", "--json").json()["received"] == 0
    assert damp("stats", "--since", "1999-01-01", "--until", "2000-01-01").code == 0


def test_a_period_that_makes_no_sense_is_refused(damp: Damp, home: Home) -> None:
    assert "is empty" in damp("stats", "--since", "2026-02-01", "--until", "2026-01-01").err
    assert "either --year" in damp("stats", "--year", "2026", "--since", "2026-01-01").err
    assert damp("stats", "--since", "yesterday").code == 1
    assert damp("stats", "--json").json()["received"] == 0
    assert not home.root.exists()


def test_lineage_events_stand_one_on_a_line(damp: Damp, event: str) -> None:
    lines = damp("export", "--format", "openlineage", "--event", event).out.splitlines()
    assert [json.loads(line)["eventType"] for line in lines] == ["START", "COMPLETE"]


def test_a_test_result_can_be_signed(damp: Damp, home: Home, event: str, tmp_path: Path) -> None:
    file = tmp_path / "result.dsse.json"
    result = damp(
        "export", "--format", "in-toto-test-result", "--event", event, "--sign", "-o", file
    )
    assert result.code == 0, result.err
    opened = envelope.open_envelope(file.read_bytes())
    (signature,) = envelope.verify_signatures(opened, load_trust(home.trust))
    assert (signature.role, signature.holds) == ("executor", True)
    assert json.loads(opened.payload)["predicate"]["result"] == "PASSED"
    result = damp("verify", file)
    assert result.code == 3  # signed properly, and no statement of an unlearning event
    assert "test-result" in result.out


def test_a_model_card_section_is_printed(damp: Damp, event: str) -> None:
    result = damp("export", "--format", "model-card", "--event", event[:8])
    assert result.out.startswith("---\n{")
    assert "## Unlearning" in result.out


def test_the_ledger_goes_out_with_its_columns_explained(
    damp: Damp, event: str, tmp_path: Path
) -> None:
    file = tmp_path / "ledger.csv"
    assert damp("export", "--format", "csv", "-o", file).code == 0
    assert file.read_bytes().startswith(b"seq,time,kind")
    assert json.loads((tmp_path / "ledger.csv-metadata.json").read_text())["url"] == "ledger.csv"
    assert damp("export", "--format", "csv", "--event", event).out.count("request_received") == 1


def test_what_cannot_be_exported_is_refused(damp: Damp, home: Home, event: str) -> None:
    assert "--event ID" in damp("export", "--format", "openlineage").err
    assert "leave --sign" in damp("export", "--format", "csv", "--sign").err
    assert "knows no event" in damp("export", "--format", "model-card", "--event", "nobody").err
    undecided = RECORDS.put(home)
    result = damp("export", "--format", "openlineage", "--event", undecided)
    assert (result.code, "has no statement" in result.err) == (1, True)
