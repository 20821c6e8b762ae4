"""`damp report`, `damp declare`, `damp purge`: what people see, and what still holds data."""

from __future__ import annotations

from typing import Any

import click

from flows.cli.options import FILE, as_json, home

DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("others", nargs=-1, metavar="[EVENT]...")
@click.option("--event", help="Whose report.")
@click.option("--attempt", "number", type=click.IntRange(1), help="[default: the last one]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "pdf", "markdown", "json"]),
    default="html",
    show_default=True,
    help="A PDF is printed by Chromium.",
)
@click.option("--output", "-o", type=FILE, help="[default: beside the statement]")
@click.option("--filed", is_flag=True, help="As it was filed, instead of brought up to date.")
@click.option(
    "--compare",
    "comparing",
    is_flag=True,
    help="Several attempts side by side: EVENT/1 EVENT/2, or all of one EVENT.",
)
@click.option(
    "--index",
    "indexing",
    is_flag=True,
    help="index.html, which leads to all events; damp writes it when one ends.",
)
@click.option("--open", "opening", is_flag=True, help="Open it in the browser.")
@as_json
def report(others: tuple[str, ...], event: str | None, as_json: bool, **asked: Any) -> int:
    """Make the report of an attempt, brought up to date with the ledger.

    The page that was filed, report.html, stays as it is. With --compare several attempts stand
    side by side in comparison.html; with --index a page leads to all events.

    \b
    Examples:
      damp report --event 5f0c7c2e --open
      damp report --event 5f0c7c2e --format pdf -o report.pdf
      damp report --compare 5f0c7c2e
      damp report --compare 5f0c7c2e/2 8d1f9a40/1 --format pdf
      damp report --index --open
    """
    from flows.records import reports

    named = ([event] if event else []) + list(others)
    return reports.tell(home(), named, as_json=as_json, **asked)


@click.command()
@click.argument("event")
@click.option("--artefact", help="What it is, as in: nightly backup.")
@click.option("--location", help="Where it is.")
@click.option("--status", help="DELETED, QUARANTINED, EXPIRES_ON, RETAINED, UNKNOWN.")
@click.option("--until", default="", help="With EXPIRES_ON: the date, as in 2027-01-31.")
@click.option("--note", default="", help="More about it; no person's name.")
@click.option("--complete", is_flag=True, help="Say that there are no copies but those declared.")
@click.option("--role", default="", help="With --complete: the role that says so.")
@as_json
def declare(event: str, complete: bool, role: str, as_json: bool, **asked: Any) -> int:
    """Log what became of a copy outside the state folder, or that there are no others.

    \b
    Examples:
      damp declare 5f0c7c2e --artefact "nightly backup" --location tape --status EXPIRES_ON \\
          --until 2027-01-31
      damp declare 5f0c7c2e --complete --role privacy-desk
    """
    from flows.cli import answering

    if complete:
        return answering.step(home(), "declare_complete", event, role=role, as_json=as_json)
    missing = [name for name in ("artefact", "location", "status") if not asked[name]]
    if missing:
        raise click.UsageError(f"Missing option --{missing[0]}, or say --complete.")
    return answering.step(home(), "declare", event, as_json=as_json, **asked)


@click.command()
@click.option("--event", required=True, help="Whose old weights and forgotten rows.")
@click.option("--yes", is_flag=True, help="Delete; without it only what would be is shown.")
@as_json
def purge(event: str, yes: bool, as_json: bool) -> int:
    """Delete what still holds the class and is damp's own: old weights, copies, caches, rows.

    First a dry run. Nothing is deleted before the event has PASSED and its model is in use.

    \b
    Examples:
      damp purge --event 5f0c7c2e
      damp purge --event 5f0c7c2e --yes
    """
    from flows.cli import purging

    return purging.tell(home(), event, really=yes, as_json=as_json)


@click.command()
@click.option("--year", type=click.IntRange(1970, 9998), help="Requests received in this year.")
@click.option("--since", type=DAY, help="Requests received from this day on: 2026-01-01.")
@click.option("--until", type=DAY, help="And before this day.")
@as_json
def stats(as_json: bool, **asked: Any) -> int:
    """Count requests: received, complied with, denied and why, days to answer.

    \b
    Examples:
      damp stats --year 2026
      damp stats --since 2026-07-01 --until 2026-10-01 --json
    """
    from flows.cli import export as exporting

    return exporting.tell_stats(home(), as_json=as_json, **asked)


@click.command()
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice(["openlineage", "in-toto-test-result", "model-card", "csv"]),
    help="csv is the ledger, the others one attempt's record.",
)
@click.option("--event", help="Whose record; for csv: only this event's entries.")
@click.option("--attempt", "number", type=click.IntRange(1), help="[default: the last one]")
@click.option("--sign", "signed", is_flag=True, help="Sign the in-toto-test-result (DSSE).")
@click.option("--output", "-o", type=FILE, help="[default: standard output]")
def export(**asked: Any) -> int:
    """Write a record in a published format.

    \b
    Examples:
      damp export --format openlineage --event 5f0c7c2e
      damp export --format in-toto-test-result --event 5f0c7c2e --sign -o result.dsse.json
      damp export --format model-card --event 5f0c7c2e >> README.md
      damp export --format csv -o ledger.csv
    """
    from flows.cli import export as exporting

    return exporting.export(home(), **asked)


COMMANDS = (report, declare, purge, stats, export)
