"""The mapping to clauses: dated, sourced, about fields that exist, and without a promise."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from compliance.formats import typed
from compliance.ledger import states
from compliance.report import mappings
from compliance.report.render import report_json

ROOT = Path(__file__).parents[3]
PROMISES = re.compile(
    r"\b(comply|complies|compliant|satisf\w*|ensures?|guarantee|fulfil|proves?)\b"
)


@pytest.fixture(scope="module")
def mapping() -> dict[str, Any]:
    content: dict[str, Any] = typed.plain(mappings.latest())
    return content


def test_it_has_a_date_and_says_that_it_is_no_advice(mapping: dict[str, Any]) -> None:
    assert date.fromisoformat(mapping["date"])
    assert mapping["notice"].startswith("Not legal advice.")
    assert "supports" in mapping["notice"]
    assert "lawyer" in mapping["notice"]


def test_every_line_names_a_source_that_says_where_it_was_read(mapping: dict[str, Any]) -> None:
    for row in mapping["rows"]:
        source = mapping["sources"][row["source"]]
        assert source["title"]
        assert source["read_in"]
        assert source["address"].startswith("https://")
        assert row["clause"]
        assert row["supports"]
        assert row["fields"]


def test_no_line_promises_anything(mapping: dict[str, Any]) -> None:
    for row in mapping["rows"]:
        said = row["supports"].replace("whether an edited model satisfies it is not", "")
        assert not PROMISES.search(said.lower()), row


def test_every_field_exists(mapping: dict[str, Any], example: ModuleType) -> None:
    """A field is a place in the statement, a kind of ledger entry, or a command."""
    predicate = example.example()["predicate"]
    commands = ROOT / "flows"
    text = "\n".join(path.read_text() for path in (commands / "cli").glob("*.py"))
    audits = {row["audit"] for row in predicate["audits"]} | {"power"}
    for field in {field for row in mapping["rows"] for field in row["fields"]}:
        place, _, more = field.partition(": ")
        if place == "ledger":
            assert not more or set(more.split(", ")) <= set(states.KINDS), field
        elif place.startswith("damp "):
            assert f"def {place.removeprefix('damp ')}(" in text, field
        elif place != "signatures":
            node: Any = predicate
            for key in place.split("."):
                assert key in node, field
                node = node[key]
            assert not more or set(more.split(", ")) <= audits, field


@pytest.mark.parametrize("regulation", ["gdpr", "ccpa", "contract", "recall", "other"])
def test_the_report_shows_what_can_matter_for_the_ground(
    mapping: dict[str, Any], example: ModuleType, regulation: str
) -> None:
    statement = example.example()
    statement["predicate"]["request"]["regulation"] = regulation
    page = report_json(statement, findings=[], verify_command="", reproduce_command="")
    shown = {row["source"] for row in page["supports"]["rows"]}
    assert ("GDPR" in shown) is (regulation == "gdpr")
    assert ("CCPA" in shown) is (regulation == "ccpa")
    assert "NIST AI RMF 1.0" in shown
    assert page["supports"]["date"] == mapping["date"]


def test_the_page_in_the_documentation_is_made_of_the_file() -> None:
    page = (ROOT / "docs" / "mappings.md").read_text()
    assert page == mappings.as_markdown()
    assert re.search(r"^\*\*Not legal advice", page, flags=re.M)
