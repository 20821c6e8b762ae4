"""Reports say the same in every form, follow the ledger, and are made of nothing changed."""

from __future__ import annotations

import json
import logging
import runpy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compliance.charts import charts
from compliance.formats.errors import EnvelopeError
from compliance.ledger import Ledger
from flows.intake import lifecycle, signoff
from flows.records import event_index, pdf, reports
from flows.state import keyring
from flows.state.errors import BrowserError, EventError
from flows.state.paths import Attempt, Home

RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))
Damp = Callable[..., Any]
Refusal = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures have tests of their own and take a second each."""
    nothing = {"overview": None, "strength": None, "depth": None, "audits": {}}
    monkeypatch.setattr(charts, "draw", lambda *_: nothing)


@pytest.fixture
def attempt(home: Home) -> Attempt:
    """A PASSED attempt that waits for the reviewer."""
    event = RECORDS.put(home, signoffs=["executor", "reviewer"])
    decided: Attempt = RECORDS.decide(home, event, with_report=True)
    return decided


def test_the_filed_page_is_made_again_byte_by_byte(attempt: Attempt) -> None:
    first = reports.render(attempt, "html", filed=True)
    lifecycle.declare_complete(attempt.home, attempt.event, role="privacy-desk")
    keyring.new(attempt.home, role="reviewer", days=30)
    signoff.approve(attempt.home, attempt.event, role="reviewer", signed=None)
    assert reports.render(attempt, "html", filed=True) == first
    assert reports.render(attempt, "html") != first


def test_what_happened_since_is_shown_in_every_form(attempt: Attempt) -> None:
    home, event = attempt.home, attempt.event
    lifecycle.declare(
        home,
        event,
        artefact="tape of May",
        location="vault",
        status="EXPIRES_ON",
        until="2027-01-31",
        note="wheel of tapes",
    )
    keyring.new(home, role="reviewer", days=30)
    signature = signoff.approve(home, event, role="reviewer", signed=None)
    deleted = [{"artefact": "model before, version 1", "location": "registry"}]
    body = {"count": 1, "artefacts": deleted}
    Ledger(home.ledger).append("artefacts_purged", event, body)
    for form in ("html", "markdown", "json"):
        page = reports.render(attempt, form).decode()
        for words in ("tape of May", "Until 2027-01-31. wheel of tapes", "Signed off"):
            assert words in page, (form, words)
        assert signature.keyid in page
        assert "ledger entry" in page
    facts = json.loads(reports.render(attempt, "json"))
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
        facts = json.loads(reports.render(attempt, "json", filed=filed))
        assert facts["verdict"]["awaited"] == ["reviewer"]
        assert (facts["since"] is None) is filed


def test_making_a_report_leaves_the_filed_one_alone(attempt: Attempt) -> None:
    before = attempt.report.read_bytes()
    file = reports.write(attempt, "html", None)
    assert file == attempt.folder / "report-now.html"
    assert attempt.report.read_bytes() == before


def test_of_a_changed_statement_or_findings_no_report_is_made(
    attempt: Attempt, refused: Refusal
) -> None:
    other = RECORDS.decide(attempt.home, RECORDS.put(attempt.home)).statement.read_bytes()
    kept = attempt.findings.read_bytes()
    attempt.findings.write_bytes(kept + b" ")
    with refused(EventError, "is not the file whose digest"):
        reports.render(attempt, "html")
    attempt.findings.write_bytes(kept)
    attempt.statement.write_bytes(other)  # signed and known to the ledger, of another event
    with refused(EventError, "does not know the statement"):
        reports.render(attempt, "html")
    attempt.statement.write_bytes(b"{}")
    with refused(EnvelopeError):
        reports.render(attempt, "html")


def test_an_event_without_a_statement_has_no_report(home: Home, refused: Refusal) -> None:
    event = RECORDS.put(home)
    with refused(EventError, "has no statement", "damp run"):
        reports.attempt_of(home, event, None)


@pytest.fixture
def twice(home: Home) -> str:
    """An event that failed and then passed."""
    event: str = RECORDS.put(home)
    RECORDS.decide(home, event, verdict="FAILED", with_report=True)
    RECORDS.decide(home, event, number=2, with_report=True)
    return event


def test_attempts_are_held_side_by_side(damp: Damp, home: Home, twice: str) -> None:
    page = damp("report", "--compare", f"{twice}/1", f"{twice[:8]}/2", "--format", "json").json()
    assert [c["result"] for c in page["columns"]] == ["FAILED", "PASSED"]
    assert all(page["same"].values())
    line = next(row for row in page["rows"] if row["name"] == "few_shot.1@penultimate")
    assert [c["outcome"] for c in line["cells"]] == ["outside", "within"]
    assert [round(c["value"], 3) for c in line["cells"]] == [0.92, 0.535]
    assert damp("report", "--compare", f"{twice}/1", twice).code == 0
    page = (home.root / "comparison.html").read_text()
    assert page.count("FAILED") >= 1
    assert "Different" not in page


def test_attempts_that_answer_different_questions_are_called_so(damp: Damp, home: Home) -> None:
    events = [RECORDS.put(home), RECORDS.put(home)]
    RECORDS.decide(home, events[0])
    file = RECORDS.decide(home, events[1], verdict="INCONCLUSIVE")
    assert file.statement.exists()
    pages = reports.compare(home, events)
    pages[1]["about"]["policy"] = "another-v1"
    from compliance.report.index import render_comparison

    assert "Different policies" in render_comparison(pages)


def test_one_event_stands_for_all_of_its_attempts(damp: Damp, twice: str) -> None:
    page = damp("report", "--compare", twice, "--format", "json").json()
    assert [c["attempt"] for c in page["columns"]] == [1, 2]
    differing = [row["name"] for row in page["rows"] if row["differs"]]
    assert differing == ["few_shot.1@penultimate"]


def test_what_cannot_be_compared_is_refused(damp: Damp, home: Home, twice: str) -> None:
    assert "two or more" in damp("report", "--compare", f"{twice}/2").err
    assert "names no attempt" in damp("report", "--compare", twice, f"{twice}/x").err
    assert "has no statement of attempt 3" in damp("report", "--compare", twice, f"{twice}/3").err
    assert "is named twice" in damp("report", "--compare", f"{twice}/2", twice).err
    assert "Name one event" in damp("report", twice, f"{twice}/2").err  # one alone needs no name
    assert not (home.root / "comparison.html").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--compare", "--format", "markdown"), "html, pdf or json"),
        (("--index", "--format", "pdf"), "html or json"),
        (("--compare", "--attempt", "1"), "neither --attempt nor --filed"),
        (("--index", "--filed"), "neither --attempt nor --filed"),
        (("--index", "-o", "elsewhere.html"), "no event and no --output"),
        (("--index", "--event", "5f0c7c2e"), "no event and no --output"),
    ],
)
def test_options_that_mean_nothing_on_a_page_of_many_are_refused(
    damp: Damp, home: Home, options: tuple[str, ...], words: str
) -> None:
    home.root.mkdir()
    damp("report", *options).refused(words)
    assert list(home.root.iterdir()) == []


def test_the_index_leads_to_every_report(damp: Damp, home: Home, twice: str) -> None:
    open_event = RECORDS.put(home, received=datetime(2026, 1, 1, tzinfo=UTC))
    assert damp("report", "--index").code == 0
    page = (home.root / "index.html").read_text()
    links = [part.split('"')[0] for part in page.split('href="')[1:]]
    assert len(links) == 4
    assert all((home.root / link).is_file() for link in links)
    assert page.index(open_event[:8]) < page.index(twice[:8])
    assert "days late" in page
    assert "<script" not in page
    assert "//" not in page


def test_the_index_says_the_same_to_machines(damp: Damp, home: Home, twice: str) -> None:
    page = damp("report", "--index", "--format", "json").json()
    (event,) = page["events"]
    assert [a["verdict"] for a in event["attempts"]] == ["FAILED", "PASSED"]
    assert all((home.root / a["report"]).is_file() for a in event["attempts"])
    assert page["entries"] == len(Ledger(home.ledger).entries())
    assert not (home.root / "index.html").exists()
    written = damp("report", "--index", "--json").json()
    assert Path(written["file"]).stat().st_size == written["bytes"]


def test_the_index_is_written_again_when_an_event_ends(home: Home) -> None:
    denied, closed, waiting = RECORDS.put(home), RECORDS.put(home), RECORDS.put(home)
    RECORDS.decide(home, closed, verdict="INCONCLUSIVE", with_report=True)
    index = home.root / "index.html"
    lifecycle.pause(home, waiting, reason="no end")
    assert not index.exists()
    lifecycle.deny(home, denied, reason="unverifiable", note="")
    assert state_in(index, denied) == "denied"
    assert state_in(index, closed) == "audited"
    lifecycle.close(home, closed, reason="retrained elsewhere")
    assert state_in(index, closed) == "closed"
    assert state_in(index, waiting) == "paused"


def state_in(index: Path, event: str) -> str:
    """The state that the page shows of an event."""
    row = next(row for row in index.read_text().split("<tr>") if event[8:] in row)
    return row.split("<td>")[3].split("<")[0]


def test_an_index_that_cannot_be_written_undoes_nothing(
    home: Home, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = RECORDS.put(home)
    (home.root / "index.html").mkdir()  # no file can take its place
    monkeypatch.setattr(logging.getLogger("damp"), "propagate", True)
    entry = lifecycle.cancel(home, event, reason="withdrawn")
    assert entry["kind"] == Ledger(home.ledger).entries()[-1]["kind"] == "event_cancelled"
    assert "index.html was not written" in caplog.text


def test_the_index_as_of_one_moment_is_made_again_byte_by_byte(home: Home, twice: str) -> None:
    at = datetime(2026, 12, 1, tzinfo=UTC)
    first = event_index.write(home, at).read_bytes()
    assert event_index.write(home, at).read_bytes() == first
    assert event_index.write(home, at + timedelta(days=1)).read_bytes() != first


def test_the_index_leads_nowhere_else(home: Home, twice: str) -> None:
    """A report that was replaced by a link out of the state folder is not linked to."""
    attempt = Attempt(home, twice, 1)
    attempt.report.unlink()
    attempt.report.symlink_to("/etc/hostname")
    page = event_index.write(home).read_text()
    assert page.count("no report") == 1
    assert f"./{home.relative(attempt.report)}" not in page


def test_an_empty_folder_has_an_index_without_events(damp: Damp, home: Home) -> None:
    home.root.mkdir()
    assert damp("report", "--index").code == 0
    assert "No event yet" in (home.root / "index.html").read_text()


@pytest.mark.browser
def test_the_pdf_says_what_the_page_says(attempt: Attempt, tmp_path: Path) -> None:
    if not _browser():
        pytest.skip("NOT TESTED: there is no browser to print with")
    from pypdf import PdfReader

    paper = reports.write(attempt, "pdf", tmp_path / "out.pdf")
    text = " ".join(" ".join(page.extract_text().split()) for page in PdfReader(paper).pages)
    facts = json.loads(reports.render(attempt, "json"))
    assert facts["verdict"]["result"] in text
    assert " ".join(facts["verdict"]["claim"].split()) in text
    for audit in facts["evidence"]:
        for row in audit["rows"]:
            assert f"{row['value']:.3f}"[:4] in text
    assert [p.name for p in tmp_path.glob("out*")] == ["out.pdf"]


@pytest.mark.browser
def test_the_foot_of_the_officers_pages_is_in_their_language(
    attempt: Attempt, tmp_path: Path
) -> None:
    if not _browser():
        pytest.skip("NOT TESTED: there is no browser to print with")
    from pypdf import PdfReader

    reader = reports.reader_of("de")
    paper = reports.write(attempt, "pdf", tmp_path / "out.pdf", reader=reader)
    text = [" ".join(page.extract_text().split()) for page in PdfReader(paper).pages]
    for number in (1, 2):
        assert f"Seite {number} von {len(text)}" in text[number - 1]
    assert f"Page 3 of {len(text)}" in text[2]  # the evidence is English


def _browser() -> bool:
    try:
        return bool(pdf.find())
    except BrowserError:
        return False


def test_without_a_browser_the_way_out_is_told(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, refused: Refusal
) -> None:
    monkeypatch.setattr(pdf, "NAMES", ("no-such-browser",))
    monkeypatch.delenv("DAMP_BROWSER", raising=False)
    with refused(BrowserError, "DAMP_BROWSER"):
        reports.write(attempt, "pdf", None)


@pytest.mark.parametrize("program", ["/bin/false", "/no/such/browser", "/bin/true"])
def test_a_browser_that_fails_leaves_nothing(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, refused: Refusal, program: str
) -> None:
    monkeypatch.setenv("DAMP_BROWSER", program)
    with refused(BrowserError):
        reports.write(attempt, "pdf", None)
