"""`damp report`: the report of an attempt, as filed or brought up to date, in four forms.

The filed page lies beside its statement and never changes. What is made here is a view: from the
signed statement, the findings whose digest it holds, and the ledger.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.ledger import Entry, Ledger, since_signed, states
from compliance.ledger.append_file import must_read
from compliance.presentation.next_steps import NextStep
from compliance.signing import envelope, load_trust
from flows.records import next_steps
from flows.state import event_ids
from flows.state.errors import EventError
from flows.state.files import digest_bytes, write_atomically
from flows.state.paths import Attempt, Home
from flows.state.settings import settings

if TYPE_CHECKING:
    from compliance.report.officer import Reader

Facts = dict[str, Any]

FORMS = ("html", "pdf", "markdown", "json")
NAMES: Mapping[str, str] = {
    "html": "report-now.html",
    "pdf": "report.pdf",
    "markdown": "report.md",
    "json": "report-now.json",
}
"""Names of what is made, beside the filed report.html and report.json."""


def commands(home: Home, attempt: Attempt) -> dict[str, str]:
    """The commands with which a reader checks the statement, and runs the attempt again."""
    statement, after = home.relative(attempt.statement), home.relative(attempt.after)
    return {
        "verify_command": f"damp verify {statement} --trust trust.json --model {after} "
        "--ledger ledger.jsonl",
        "reproduce_command": f"damp replay {statement} --trust trust.json",
    }


def attempt_of(home: Home, event: str, number: int | None) -> Attempt:
    """The attempt that is meant: the last one with a statement where no number is given.

    Raises:
        EventError: It has no statement.
    """
    whose = event_ids.whole(home, event)
    status = states.current(Ledger(home.ledger).entries(), whose)
    chosen = number or len(status.statements) or 1
    attempt = Attempt(home, whose, chosen)
    if not attempt.statement.is_file():
        raise EventError(
            f"Event {whose} has no statement of attempt {chosen}: it is {status.state.value}. "
            f"`damp status` shows how far it is; `damp run --event {whose}` carries it out."
        )
    return attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a report of an attempt is made of.

    Attributes:
        statement: Decoded.
        shown: What `compliance.report` shows beside it: findings, signatures, commands, and what
            has happened since.
    """

    statement: Facts
    shown: Facts

    def page(self) -> Facts:
        """The report's content."""
        from compliance.report.render import report_json

        return report_json(self.statement, **self.shown)


def reader_of(language: str = "en", labels: Mapping[int, str] | None = None) -> Reader:
    """For whom the officer's pages are written: names are the settings'."""
    from compliance.report.officer import Office, Reader

    own = settings()
    office = Office(
        controller=own.controller,
        system=own.system,
        operator=own.operator,
        data_owner=own.data_owner,
    )
    return Reader(language=language, office=office, labels=labels or {})


def material(attempt: Attempt, *, filed: bool = False, reader: Reader | None = None) -> Material:
    """What an attempt's report is made of.

    Args:
        attempt: Whose report.
        filed: As it was filed, instead of brought up to date.
        reader: Language and labels of the officer's pages; None for English without labels.
    Raises:
        EventError: The statement is not the one that the ledger knows, or the findings are not the
            ones whose digest it holds.
    """
    home = attempt.home
    opened = envelope.open_envelope(must_read(attempt.statement))
    statement: Facts = envelope.decoded(attempt.statement)
    entries = Ledger(home.ledger).entries()
    _refuse_unknown(attempt, entries, opened.digest)
    findings = _findings(attempt, statement)
    trust = load_trust(home.trust)
    signatures = envelope.verify_signatures(opened, trust)
    roles = states.current(entries, attempt.event).signoffs
    since = None
    if not filed:
        inventory = statement["predicate"]["propagation"]
        since = since_signed.since(entries, attempt.event, opened.digest, inventory, trust=trust)
    shown = {
        "findings": findings["candidate"],
        "controls": findings["controls"],
        "signatures": _as_filed(signatures, roles) if filed else _now(signatures, roles),
        "since": since,
        "reader": reader or reader_of(),
        "next": _next(attempt, entries, statement, opened.digest, filed=filed),
        **commands(home, attempt),
    }
    return Material(statement=statement, shown=shown)


def _next(
    attempt: Attempt, entries: Sequence[Entry], statement: Facts, digest: str, *, filed: bool
) -> Sequence[NextStep]:
    """What to do after the event's last statement; nothing of an earlier attempt's."""
    own = [entry for entry in entries if entry.event == attempt.event]
    if filed:
        until = next(
            entry.seq
            for entry in own
            if entry.kind == "statement_signed" and entry.body["statement"] == digest
        )
        before = [entry for entry in own if entry.seq < until]
        return next_steps.at_signing(attempt.home, attempt.event, before, statement)
    event = states.current(own, attempt.event)
    steps = next_steps.of(attempt.home, event, own, statement)
    return steps if attempt.number == event.decided else ()


def _refuse_unknown(attempt: Attempt, entries: list[Entry], digest: str) -> None:
    for entry in entries:
        if (entry.kind, entry.event) == ("statement_signed", attempt.event):
            body = entry.body
            if (body["attempt"], body["statement"]) == (attempt.number, digest):
                return
    raise EventError(
        f"The ledger does not know the statement in {attempt.statement} ({digest[:16]}) as that of "
        "this attempt: it was changed or put there by hand. No report is made of it."
    )


def _findings(attempt: Attempt, statement: Facts) -> Facts:
    content = must_read(attempt.findings)
    wanted = {b["name"]: b["sha256"] for b in statement["predicate"]["byproducts"]}
    if digest_bytes(content) != wanted.get(attempt.findings.name, ""):
        raise EventError(
            f"{attempt.findings} is not the file whose digest the statement holds: restore it from "
            "a copy. The filed report.html still stands."
        )
    findings: Facts = json.loads(content)
    return findings


def _now(signatures: Sequence[envelope.Signature], roles: Sequence[str]) -> list[Facts]:
    """Signatures as they are in the envelope now, and roles that are awaited."""
    rows = [
        {"role": s.role or "not in the trust file", "keyId": s.keyid, "demo": s.demo, "note": note}
        for s in signatures
        for note in ["" if s.holds else "does not hold" if s.role else "cannot be judged"]
    ]
    there = {s.role for s in signatures if s.holds}
    return rows + [_awaited(role) for role in roles if role not in there]


def _as_filed(signatures: Sequence[envelope.Signature], roles: Sequence[str]) -> list[Facts]:
    """Signatures as they were when the page was written: the executor's, the others awaited."""
    executor = [
        {"role": "executor", "keyId": s.keyid, "demo": s.demo, "note": ""}
        for s in signatures
        if s.role == "executor"
    ]
    return executor[:1] + [_awaited(role) for role in roles if role != "executor"]


def _awaited(role: str) -> Facts:
    return {"role": role, "keyId": None}


def render(
    attempt: Attempt, form: str, *, filed: bool = False, reader: Reader | None = None
) -> bytes:
    """The report in a form; a PDF is printed by a browser."""
    from compliance.report.render import render_html, render_markdown

    given = material(attempt, filed=filed, reader=reader)
    if form == "json":
        return json.dumps(given.page(), indent=1).encode()
    if form == "markdown":
        return render_markdown(given.page()).encode()
    return render_html(given.statement, **given.shown).encode()


def write(
    attempt: Attempt,
    form: str,
    output: Path | None,
    *,
    filed: bool = False,
    reader: Reader | None = None,
) -> Path:
    """Make the report and write it; returns where."""
    target = (output or attempt.folder / NAMES[form]).absolute()
    write_page(target, render(attempt, form, filed=filed, reader=reader), form)
    return target


def write_page(target: Path, content: bytes, form: str) -> None:
    """Write a page, or print it where it shall be a PDF."""
    from flows.records import pdf

    if form != "pdf":
        write_atomically(target, content)
        return
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_bytes(content)
        pdf.print_pdf(page, target)


def compare(home: Home, named: Sequence[str]) -> list[Facts]:
    """The report's content of several attempts, each named EVENT or EVENT/ATTEMPT.

    One event alone stands for all of its attempts.

    Raises:
        EventError: Fewer than two, one that has no statement, or one that is named twice.
    """
    attempts = [_named(home, name) for name in named]
    if len(named) == 1 and "/" not in named[0]:
        last = attempts[0]
        attempts = [attempt_of(home, last.event, n + 1) for n in range(last.number)]
    if len(attempts) < 2:
        raise EventError(
            "Name two or more to compare, as in: damp report --compare ID/1 ID/2. One event with "
            "several attempts can be named alone."
        )
    if twice := next((a for n, a in enumerate(attempts) if a in attempts[:n]), None):
        raise EventError(
            f"Attempt {twice.number} of {twice.event} is named twice: name each attempt once."
        )
    return [material(attempt).page() for attempt in attempts]


def _named(home: Home, name: str) -> Attempt:
    event, _, number = name.partition("/")
    if number and not (number.isascii() and number.isdecimal()):
        raise EventError(f"'{name}' names no attempt: write EVENT/2.")
    return attempt_of(home, event, int(number) if number else None)
