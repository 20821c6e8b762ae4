"""Reports say the same in every form, follow the ledger, and are made of nothing changed."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compliance import plots
from compliance.errors import EnvelopeError
from compliance.ledger import Ledger
from flows import browser, desk, keyring, reporting, signoff
from flows.errors import BrowserError, EventError
from flows.layout import Attempt, Home

MADE = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("decided.py"))))
Damp = Callable[..., Any]
Refusal = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures have tests of their own and take a second each."""
    nothing = {"overview": None, "strength": None, "depth": None, "audits": {}}
    monkeypatch.setattr(plots, "draw", lambda *_: nothing)


@pytest.fixture
def attempt(home: Home) -> Attempt:
    """A PASSED attempt that waits for the reviewer."""
    event = MADE.put(home, signoffs=["executor", "reviewer"])
    decided: Attempt = MADE.decide(home, event, with_report=True)
    return decided


def test_the_filed_page_is_made_again_byte_by_byte(attempt: Attempt) -> None:
    first = reporting.render(attempt, "html", filed=True)
    desk.declare_complete(attempt.home, attempt.event, role="privacy-desk")
    keyring.new(attempt.home, role="reviewer", days=30)
    signoff.approve(attempt.home, attempt.event, role="reviewer", signed=None)
    assert reporting.render(attempt, "html", filed=True) == first
    assert reporting.render(attempt, "html") != first


def test_what_happened_since_is_shown_in_every_form(attempt: Attempt) -> None:
    home, event = attempt.home, attempt.event
    desk.declare(
        home,
        event,
        artefact="tape of May",
        location="vault",
        status="EXPIRES_ON",
        until="2027-01-31",
        note="wheel of tapes",
    )
    keyring.new(home, role="reviewer", days=30)
    told = signoff.approve(home, event, role="reviewer", signed=None)
    deleted = [{"artefact": "model before, version 1", "location": "registry"}]
    body = {"count": 1, "artefacts": deleted}
    Ledger(home.ledger).append("artefacts_purged", event, body)
    for form in ("html", "markdown", "json"):
        page = reporting.render(attempt, form).decode()
        for words in ("tape of May", "Until 2027-01-31. wheel of tapes", "Signed off"):
            assert words in page, (form, words)
        assert told["keyid"] in page
        assert "ledger entry" in page
    facts = json.loads(reporting.render(attempt, "json"))
    status = {row["artefact"]: row["status"] for row in facts["propagation"]}
    assert status["model before, version 1"] == "DELETED"
    assert status["tape of May"] == "EXPIRES_ON"
    assert facts["verdict"]["awaited"] == []
    assert [f["what"] for f in facts["since"]["facts"]] == [
        "Attempt closed",
        "Artefact declared",
        "Signed off",
        "Artefacts deleted",
    ]


def test_a_reviewer_who_has_not_signed_is_awaited(attempt: Attempt) -> None:
    for filed in (True, False):
        facts = json.loads(reporting.render(attempt, "json", filed=filed))
        assert facts["verdict"]["awaited"] == ["reviewer"]
        assert (facts["since"] is None) is filed


def test_making_a_report_leaves_the_filed_one_alone(attempt: Attempt) -> None:
    before = attempt.report.read_bytes()
    made = reporting.write(attempt, "html", None)
    assert made == attempt.folder / "report-now.html"
    assert attempt.report.read_bytes() == before


def test_of_a_changed_statement_or_findings_no_report_is_made(
    attempt: Attempt, refused: Refusal
) -> None:
    other = MADE.decide(attempt.home, MADE.put(attempt.home)).statement.read_bytes()
    kept = attempt.findings.read_bytes()
    attempt.findings.write_bytes(kept + b" ")
    with refused(EventError, "is not the file whose digest"):
        reporting.render(attempt, "html")
    attempt.findings.write_bytes(kept)
    attempt.statement.write_bytes(other)  # signed and known to the ledger, of another event
    with refused(EventError, "does not know the statement"):
        reporting.render(attempt, "html")
    attempt.statement.write_bytes(b"{}")
    with refused(EnvelopeError):
        reporting.render(attempt, "html")


def test_an_event_without_a_statement_has_no_report(home: Home, refused: Refusal) -> None:
    event = MADE.put(home)
    with refused(EventError, "has no statement", "damp run"):
        reporting.attempt_of(home, event, None)


@pytest.fixture
def twice(home: Home) -> str:
    """An event that failed and then passed."""
    event: str = MADE.put(home)
    MADE.decide(home, event, verdict="FAILED", with_report=True)
    MADE.decide(home, event, number=2, with_report=True)
    return event


def test_attempts_are_held_side_by_side(damp: Damp, home: Home, twice: str) -> None:
    told = damp("report", "--compare", f"{twice}/1", f"{twice[:8]}/2", "--format", "json").json()
    assert [c["result"] for c in told["columns"]] == ["FAILED", "PASSED"]
    assert all(told["same"].values())
    line = next(row for row in told["rows"] if row["name"] == "few_shot.1@penultimate")
    assert [c["outcome"] for c in line["cells"]] == ["outside", "within"]
    assert [round(c["value"], 3) for c in line["cells"]] == [0.92, 0.535]
    assert damp("report", "--compare", f"{twice}/1", twice).code == 0
    page = (home.root / "comparison.html").read_text()
    assert page.count("FAILED") >= 1
    assert "Different" not in page


def test_attempts_that_answer_different_questions_are_called_so(damp: Damp, home: Home) -> None:
    events = [MADE.put(home), MADE.put(home)]
    MADE.decide(home, events[0])
    file = MADE.decide(home, events[1], verdict="INCONCLUSIVE")
    assert file.statement.exists()
    pages = reporting.compare(home, events)
    pages[1]["about"]["policy"] = "another-v1"
    from compliance.report_index import render_comparison

    assert "Different policies" in render_comparison(pages)


def test_what_cannot_be_compared_is_refused(damp: Damp, home: Home, twice: str) -> None:
    assert "two or more" in damp("report", "--compare", twice).err
    assert "names no attempt" in damp("report", "--compare", twice, f"{twice}/x").err
    assert "has no statement of attempt 3" in damp("report", "--compare", twice, f"{twice}/3").err
    assert "Name one event" in damp("report").err
    assert not (home.root / "comparison.html").exists()


def test_the_index_leads_to_every_report(damp: Damp, home: Home, twice: str) -> None:
    open_event = MADE.put(home, received=datetime(2026, 1, 1, tzinfo=UTC))
    assert damp("report", "--index").code == 0
    page = (home.root / "index.html").read_text()
    links = [part.split('"')[0] for part in page.split('href="')[1:]]
    assert len(links) == 4
    assert all((home.root / link).is_file() for link in links)
    assert page.index(open_event) < page.index(twice)
    assert "days late" in page
    assert "<script" not in page
    assert "//" not in page


def test_an_empty_folder_has_an_index_without_events(damp: Damp, home: Home) -> None:
    home.root.mkdir()
    assert damp("report", "--index").code == 0
    assert "No event yet" in (home.root / "index.html").read_text()


@pytest.mark.browser
def test_the_pdf_says_what_the_page_says(attempt: Attempt, tmp_path: Path) -> None:
    if not _browser():
        pytest.skip("NOT TESTED: there is no browser to print with")
    from pypdf import PdfReader

    paper = reporting.write(attempt, "pdf", tmp_path / "out.pdf")
    text = " ".join(" ".join(page.extract_text().split()) for page in PdfReader(paper).pages)
    facts = json.loads(reporting.render(attempt, "json"))
    assert facts["verdict"]["result"] in text
    assert " ".join(facts["verdict"]["claim"].split()) in text
    for audit in facts["evidence"]:
        for row in audit["rows"]:
            assert f"{row['value']:.3f}"[:4] in text
    assert [p.name for p in tmp_path.glob("out*")] == ["out.pdf"]


def _browser() -> bool:
    try:
        return bool(browser.find())
    except BrowserError:
        return False


def test_without_a_browser_the_way_out_is_told(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, refused: Refusal
) -> None:
    monkeypatch.setattr(browser, "NAMES", ("no-such-browser",))
    monkeypatch.delenv("DAMP_BROWSER", raising=False)
    with refused(BrowserError, "DAMP_BROWSER"):
        reporting.write(attempt, "pdf", None)


@pytest.mark.parametrize("program", ["/bin/false", "/no/such/browser", "/bin/true"])
def test_a_browser_that_fails_leaves_nothing(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, refused: Refusal, program: str
) -> None:
    monkeypatch.setenv("DAMP_BROWSER", program)
    with refused(BrowserError):
        reporting.write(attempt, "pdf", None)
