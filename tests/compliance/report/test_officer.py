"""The officer's two pages: every sentence in every language, an owner and a date for each copy."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from compliance.report import officer
from compliance.report.officer import LANGUAGES, Office, Reader, catalogue
from compliance.report.render import render_html, report_json

PAGES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "report_examples.py")))
FIELD = re.compile(r"\{(\w+)\}")
RECORDS = Path(__file__).parents[3] / "flows" / "records"
LISTED = {
    name
    for file in RECORDS.glob("*.py")
    for name in re.findall(r'artefact="([^"]+)"', file.read_text())
} | {
    *("model of an attempt that did not pass, in the registry", "model before, a file"),
    *("model of an attempt that did not pass, a file", "cached activations of the old model"),
    "cached activations of other models",
}
"""Every kind of artefact that the inventory writes by itself, but the line of copies elsewhere."""
DATA = {"the data set itself"}


def shown(example: ModuleType, kind: str = "PASSED", **more: Any) -> dict[str, Any]:
    statement = more.pop("statement", None) or PAGES.KINDS[kind](example)
    page = report_json(statement, findings=PAGES.findings(example), **PAGES.COMMANDS | more)
    written: dict[str, Any] = page["officer"]
    return written


def fact(page: dict[str, Any], name: str) -> str:
    return next(str(f["text"]) for f in page["facts"] if f["name"] == name)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_sentence_with_its_values(language: str) -> None:
    own, english = catalogue(language), catalogue("en")
    assert own.keys() == english.keys()
    wrong = [k for k in own if set(FIELD.findall(own[k])) != set(FIELD.findall(english[k]))]
    assert wrong == []


@pytest.mark.parametrize("language", ["de", "fr"])
def test_nothing_of_some_length_is_left_in_english(language: str) -> None:
    own, english = catalogue(language), catalogue("en")
    assert [k for k in own if len(english[k]) > 25 and own[k] == english[k]] == []


def test_french_marks_never_start_a_line() -> None:
    assert [k for k, text in catalogue("fr").items() if re.search(r" [:;?!»]", text)] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", list(PAGES.KINDS))
def test_the_pages_are_whole_in_each_language(
    example: ModuleType, kind: str, language: str
) -> None:
    page = shown(example, kind, reader=Reader(language=language))
    assert page["word"] == catalogue(language)[f"word.{kind}"]
    assert len(page["sign"]["checks"]) == 6
    assert not FIELD.search(json.dumps(page["facts"]))
    assert page["words"]["head.sign"] == catalogue(language)["head.sign"]


def test_names_come_from_the_settings_and_are_asked_for_where_missing(
    example: ModuleType,
) -> None:
    named = shown(
        example, reader=Reader(office=Office(controller="Muster GmbH", system="Reader 2"))
    )
    assert (fact(named, "Controller"), fact(named, "System")) == ("Muster GmbH", "Reader 2")
    assert "`controller` in settings.toml" in fact(shown(example), "Controller")


def test_a_label_stands_on_the_page_and_nowhere_in_the_statement(example: ModuleType) -> None:
    reader = Reader(labels={8: "Erika Mustermann"})
    page = shown(example, reader=reader)
    assert "class 8 (Erika Mustermann)" in page["title"]
    assert "Erika" not in json.dumps(PAGES.passed(example))
    assert "Erika" not in render_html(
        PAGES.passed(example), findings=PAGES.findings(example), **PAGES.COMMANDS
    )


def test_whatever_still_holds_data_has_an_owner_and_a_date(example: ModuleType) -> None:
    statement = PAGES.inconclusive(example)
    statement["predicate"]["propagation"] += [
        copy("cached activations of the old model", "RETAINED", "`damp purge` deletes it."),
        copy("cached activations of the old model", "RETAINED", "`damp purge` deletes it."),
        copy("held-out images of the class", "RETAINED", "Never trained on."),
        copy("models retrained for other requests", "RETAINED", "Trained with the rows."),
        copy("the data set itself", "RETAINED", "damp only reads it."),
        copy("tape", "EXPIRES_ON", "Until 2027-01-31"),
        copy("gone", "DELETED", ""),
    ]
    office = Office(operator="ml-platform", data_owner="data-desk")
    rows = shown(example, statement=statement, reader=Reader(office=office))["holds"]["rows"]
    due = "20 October 2026"
    assert [(r["what"], r["owner"], r["until"]) for r in rows][2:] == [
        ("export for a partner", "to be named", due),
        ("cached activations of the old model (2)", "ml-platform", due),
        ("held-out images of the class", "ml-platform", "19 December 2026"),
        ("models retrained for other requests", "ml-platform", due),
        ("the data set itself", "data-desk", due),
        ("tape", "data-desk", "31 January 2027"),
    ]
    assert all(row["owner"] and row["until"] and row["state"] for row in rows)


OUTSIDE = (
    "model before, the file that was named",
    "training rows of the class, in a cache outside",
)
"""What damp reads and never deletes."""


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_a_name_for_every_artefact_of_the_inventory(language: str) -> None:
    assert len(LISTED) > 15
    assert {f"art.{name}" for name in LISTED} <= catalogue(language).keys()


@pytest.mark.parametrize("artefact", sorted(LISTED - set(OUTSIDE) - DATA))
def test_whoever_runs_damp_deletes_what_damp_can_delete(example: ModuleType, artefact: str) -> None:
    (owner,) = owners(example, artefact)
    assert owner == "whoever runs damp"


@pytest.mark.parametrize("artefact", OUTSIDE)
def test_who_keeps_a_copy_elsewhere_is_to_be_named(example: ModuleType, artefact: str) -> None:
    assert artefact in LISTED
    assert owners(example, artefact) == ["to be named"]


def owners(example: ModuleType, artefact: str) -> list[str]:
    statement = PAGES.passed(example)
    statement["predicate"]["propagation"] = [copy(artefact, "RETAINED", "Kept.")]
    return [row["owner"] for row in shown(example, statement=statement)["holds"]["rows"]]


def copy(artefact: str, status: str, note: str) -> dict[str, str]:
    return {"artefact": artefact, "location": "here", "status": status, "note": note}


def test_where_nothing_is_on_record_the_page_says_so(example: ModuleType) -> None:
    statement = PAGES.passed(example)
    statement["predicate"]["propagation"] = []
    holds = shown(example, statement=statement)["holds"]
    assert holds["rows"] == []
    assert "does not mean that none exists" in holds["empty"]


@pytest.mark.parametrize(
    ("used", "words"),
    [
        ("", "Met once this model is in use"),
        ("2026-09-21T08:00:00Z", "In use since 21 September 2026: in time."),
        ("2026-10-21T08:00:00Z", "In use since 21 October 2026: after the due date."),
    ],
)
def test_promotion_and_deadline_tell_one_story(example: ModuleType, used: str, words: str) -> None:
    facts = [{"entry": 9, "at": used, "what": "Model promoted", "detail": ""}] if used else []
    statement = PAGES.passed(example)
    since = {
        "entries": 9,
        "at": used or "2026-09-20T09:00:00Z",
        "facts": facts,
        "propagation": statement["predicate"]["propagation"],
    }
    shown = {"findings": PAGES.findings(example), "since": since} | PAGES.COMMANDS
    page = report_json(statement, **shown)
    assert words in fact(page["officer"], "Deadline")
    answer = page["verdict"]["deadline"]["word"]
    assert answer == {"": "On course", "2026-09-21T08:00:00Z": "Yes"}.get(used, "No, late")
    said = "now" if used else "to be"
    assert f"PASSED, {said} champion" in render_html(statement, **shown)


def test_one_count_of_measurements_stands_everywhere(example: ModuleType) -> None:
    page = report_json(PAGES.passed(example), findings=PAGES.findings(example), **PAGES.COMMANDS)
    total = page["verdict"]["required"]["total"]
    said = [page["officer"]["meaning"], fact(page["officer"], "How it was checked")]
    assert all(f"{total} required measurements" in text for text in said)
    # the claim counts apart what could have shown the original, and the two make the same whole
    counts = re.findall(r"(?:In all|in) (\d+) (?:further )?required", page["verdict"]["claim"])
    assert sum(map(int, counts)) == total


def test_a_reason_that_is_given_twice_is_shown_once(example: ModuleType) -> None:
    statement = PAGES.failed(example)
    statement["predicate"]["verdict"]["reasons"] *= 2
    page = report_json(statement, findings=PAGES.findings(example), **PAGES.COMMANDS)
    assert len(page["verdict"]["reasons"]) == len(set(page["verdict"]["reasons"]))


def test_languages_of_the_command_are_those_with_a_catalogue() -> None:
    from flows.cli.report import report

    (option,) = [p for p in report.params if p.name == "language"]
    assert tuple(option.type.choices) == LANGUAGES  # type: ignore[attr-defined]
    assert officer.DEFAULT in LANGUAGES
