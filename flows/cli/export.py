"""`damp stats` and `damp export`: counts over requests, and records in the formats of others."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compliance.ledger import Entry, Ledger, stats
from compliance.ledger.append_file import must_read
from compliance.report import exports
from compliance.signing import envelope
from flows.cli import console
from flows.records import reports
from flows.state import keyring
from flows.state.errors import EventError
from flows.state.files import write_atomically
from flows.state.paths import Home

Facts = dict[str, Any]

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9999, 12, 31, tzinfo=UTC)


def tell_stats(
    root: Path,
    *,
    year: int | None,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
) -> int:
    """`damp stats`."""
    if year is not None and (since or until):
        raise EventError("Give either --year, or --since and --until.")
    start, end = _utc(since) or BEGINNING, _utc(until) or END
    if year is not None:
        start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    if start >= end:
        raise EventError(f"The period from {start:%Y-%m-%d} to {end:%Y-%m-%d} is empty.")
    home = Home(root)
    entries = Ledger(home.ledger).entries() if home.ledger.exists() else []
    told = stats.counts(entries, datetime.now(UTC), since=start, until=end)
    if as_json:
        console.emit(told)
        return 0
    if start == BEGINNING and end == END:
        console.out.print("Requests on record")
    else:
        console.out.print(f"Requests received from {start:%Y-%m-%d} to before {end:%Y-%m-%d}")
    for name, value in told.items():
        if name not in ("since", "until"):
            console.out.print(f"  {name.replace('_', ' '):<18} {_said(value)}", markup=False)
    return 0


def _utc(given: datetime | None) -> datetime | None:
    return given.replace(tzinfo=UTC) if given and given.tzinfo is None else given


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "-"
    return "-" if value is None else str(value)


def export(
    root: Path,
    *,
    form: str,
    event: str | None,
    number: int | None,
    signed: bool,
    output: Path | None,
) -> int:
    """`damp export`: print a record in a published format, or write it to a file."""
    home = Home(root)
    if signed and form != "in-toto-test-result":
        raise EventError(
            "Only in-toto-test-result is a statement that can be signed: leave --sign."
        )
    if form == "csv":
        content = exports.ledger_csv(_entries(home, event)).encode()
    elif event is None:
        raise EventError(f"Name the event whose record is exported as {form}: --event ID.")
    else:
        content = _exported(reports.attempt_of(home, event, number), form, signed=signed)
    if output is None:
        sys.stdout.write(content.decode())
        return 0
    write_atomically(output, content)
    if form == "csv":
        told = json.dumps(exports.csv_metadata(output.name), indent=1).encode() + b"\n"
        write_atomically(output.with_name(f"{output.name}-metadata.json"), told)
    console.out.print(f"{console.short(output)}: {len(content)} bytes", markup=False)
    return 0


def _entries(home: Home, event: str | None) -> list[Entry]:
    from flows.state import event_ids

    entries = Ledger(home.ledger).entries()
    if event is None:
        return entries
    whose = event_ids.whole(home, event)
    return [entry for entry in entries if entry["event"] == whose]


def _exported(attempt: reports.Attempt, form: str, *, signed: bool) -> bytes:
    from compliance.report.render import report_json

    shown = reports.material(attempt)
    statement = shown.pop("statement")
    digest = envelope.digest(must_read(attempt.statement))
    if form == "openlineage":
        lines = [json.dumps(event) for event in exports.openlineage(statement, digest)]
        return ("\n".join(lines) + "\n").encode()
    if form == "model-card":
        return exports.model_card(report_json(statement, **shown), digest).encode()
    told = exports.test_result(statement)
    if signed:
        return envelope.sign_payload(told, keyring.signing_key(attempt.home, "executor"))
    return json.dumps(told, indent=1).encode() + b"\n"
