"""`damp stats` and `damp export`: counts over requests, and records in the formats of others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli import console
from flows.cli.options import DONE, FILE, as_json, attempt, home
from flows.state.errors import EventError

if TYPE_CHECKING:
    from flows.state.paths import Attempt, Home

SIGNABLE = ("in-toto-test-result", "in-toto-eval-result", "prml")
"""In-toto's statements, which a key here may sign."""
FORMATS = (
    *("openlineage", *SIGNABLE, "prml-manifest", "cyclonedx", "model-card"),
    *("annex-iv", "iso-42001", "csv"),
)
DAY = click.DateTime(["%Y-%m-%d"])
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9999, 12, 31, tzinfo=UTC)


@click.command()
@click.option("--year", type=click.IntRange(1970, 9998), help="Requests received in this year.")
@click.option("--since", type=DAY, help="Requests received from this day on: 2026-01-01.")
@click.option("--until", type=DAY, help="And before this day.")
@as_json
def stats(year: int | None, since: datetime | None, until: datetime | None, as_json: bool) -> int:
    """Count requests: received, complied with, denied and why, days to answer.

    \b
    Examples:
      damp stats --year 2026
      damp stats --since 2026-07-01 --until 2026-10-01 --json
    """
    from compliance.ledger import Ledger
    from compliance.ledger import stats as counting

    start, end = _period(year, since, until)
    ledger = home().ledger
    entries = Ledger(ledger).entries() if ledger.exists() else []
    counts = counting.counts(entries, datetime.now(UTC), since=start, until=end)
    console.answer(counts, _counted(counts, start, end), as_json=as_json)
    return DONE


def _period(
    year: int | None, since: datetime | None, until: datetime | None
) -> tuple[datetime, datetime]:
    if year is not None and (since or until):
        raise EventError("Give either --year, or --since and --until.")
    if year is not None:
        return datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    start = since.replace(tzinfo=UTC) if since else BEGINNING
    end = until.replace(tzinfo=UTC) if until else END
    if start >= end:
        raise EventError(f"The period from {start:%Y-%m-%d} to {end:%Y-%m-%d} is empty.")
    return start, end


def _counted(counts: Mapping[str, Any], start: datetime, end: datetime) -> Iterator[str]:
    if (start, end) == (BEGINNING, END):
        yield "Requests on record"
    else:
        yield f"Requests received from {start:%Y-%m-%d} to before {end:%Y-%m-%d}"
    for name, value in counts.items():
        if name not in ("since", "until"):
            yield f"  {name.replace('_', ' '):<18} {_words(value)}"


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "-"
    return "-" if value is None else str(value)


@click.command()
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice(FORMATS),
    help="csv is the ledger, the others one attempt's record.",
)
@click.option("--event", help="Whose record; for csv: only this event's entries.")
@attempt
@click.option("--sign", "signed", is_flag=True, help="Sign an in-toto statement (DSSE).")
@click.option("--output", "-o", type=FILE, help="[default: standard output]")
def export(
    form: str, event: str | None, number: int | None, signed: bool, output: Path | None
) -> int:
    """Write a record in a published format.

    \b
    Examples:
      damp export --format openlineage --event 5f0c7c2e
      damp export --format in-toto-test-result --event 5f0c7c2e --sign -o result.dsse.json
      damp export --format in-toto-eval-result --event 5f0c7c2e -o evaluation.json
      damp export --format annex-iv --event 5f0c7c2e -o annex-iv.md
      damp export --format cyclonedx --event 5f0c7c2e -o model.cdx.json
      damp export --format model-card --event 5f0c7c2e >> README.md
      damp export --format csv -o ledger.csv
    """
    from compliance.report import exports
    from flows.records import reports
    from flows.state.files import write_atomically

    if signed and form not in SIGNABLE:
        raise EventError(
            f"Only {', '.join(SIGNABLE)} are statements that can be signed: leave --sign."
        )
    if form == "csv":
        content = _csv(home(), event)
    elif event is None:
        raise EventError(f"Name the event whose record is exported as {form}: --event ID.")
    else:
        content = _exported(reports.attempt_of(home(), event, number), form, signed=signed)
    if output is None:
        console.raw(content.decode())
        return DONE
    write_atomically(output, content)
    if form == "csv":
        columns = json.dumps(exports.csv_metadata(output.name), indent=1)
        metadata = output.with_name(f"{output.name}-metadata.json")
        write_atomically(metadata, f"{columns}\n".encode())
    console.say(f"{console.short(output)}: {len(content)} bytes")
    return DONE


def _csv(home: Home, event: str | None) -> bytes:
    """The ledger's entries, or those of one event, as a table."""
    from compliance.ledger import Ledger
    from compliance.report import exports
    from flows.state import event_ids

    entries = Ledger(home.ledger).entries()
    if event is not None:
        whole = event_ids.whole(home, event)
        entries = [entry for entry in entries if entry.event == whole]
    return exports.ledger_csv(entries).encode()


def _exported(attempt: Attempt, form: str, *, signed: bool) -> bytes:
    """The record of an attempt in a published format."""
    from compliance.ledger.append_file import must_read
    from compliance.report import attestations, dossiers, exports
    from compliance.signing import Statement, envelope
    from flows.records import reports
    from flows.state import keyring

    material = reports.material(attempt)
    statement = material.statement
    digest = envelope.digest(must_read(attempt.statement))
    if form == "openlineage":
        events = exports.openlineage(statement, digest)
        return "".join(f"{json.dumps(event)}\n" for event in events).encode()
    if form == "cyclonedx":
        return _json(exports.ml_bom(statement, digest))
    if form == "model-card":
        return exports.model_card(material.page(), digest).encode()
    if form == "annex-iv":
        return dossiers.annex_iv(statement, digest).encode()
    if form == "iso-42001":
        return dossiers.iso_42001(statement, digest).encode()
    if form == "prml-manifest":
        manifest = attestations.prml_manifest(Statement.of(statement).predicate)
        return attestations.canonical_yaml(manifest)
    made_of = {
        "in-toto-test-result": attestations.test_result,
        "in-toto-eval-result": attestations.eval_result,
        "prml": attestations.preregistration,
    }
    attested = made_of[form](statement)
    if signed:
        return envelope.sign_payload(attested, keyring.signing_key(attempt.home, "executor"))
    return _json(attested)


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"
