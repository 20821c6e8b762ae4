"""`damp report`: of one attempt, of several side by side, or the page that leads to all events."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from flows.cli import console
from flows.cli.options import DONE, FILE, as_json, attempt, home
from flows.state.errors import EventError
from flows.state.paths import Home


@click.command()
@click.argument("others", nargs=-1, metavar="[EVENT]...")
@click.option("--event", help="Whose report.")
@attempt
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "pdf", "markdown", "md", "json"]),
    default="html",
    show_default=True,
    help="A PDF is printed by Chromium; md is short for markdown.",
)
@click.option("--output", "-o", type=FILE, help="[default: beside the statement]")
@click.option(
    "--language",
    type=click.Choice(["en", "de", "fr"]),
    default="en",
    show_default=True,
    help="Of the first two pages; the evidence stays English.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="INDEX=NAME",
    help="What the controller calls a class, on this page only; repeatable.",
)
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
def report(
    others: tuple[str, ...],
    event: str | None,
    number: int | None,
    form: str,
    output: Path | None,
    language: str,
    labels: tuple[str, ...],
    filed: bool,
    comparing: bool,
    indexing: bool,
    opening: bool,
    as_json: bool,
) -> int:
    """Make the report of an attempt, brought up to date with the ledger.

    Its first two pages are for the person who signs. The page that was filed, report.html, stays as
    it is. With --compare several attempts stand side by side in comparison.html; with --index a
    page leads to all events.

    \b
    Examples:
      damp report --event 5f0c7c2e --open
      damp report --event 5f0c7c2e --format pdf -o report.pdf
      damp report --event 5f0c7c2e --format pdf --language de --label 3="the digit three"
      damp report --compare 5f0c7c2e
      damp report --compare 5f0c7c2e/2 8d1f9a40/1 --format pdf
      damp report --index --open
    """
    from flows.records import reports
    from flows.state import event_ids

    place, events = home(), ([event] if event else []) + list(others)
    form = "markdown" if form == "md" else form
    if (indexing or comparing) and (number is not None or filed or labels or language != "en"):
        raise EventError(
            f"{'--index' if indexing else '--compare'} takes neither --attempt nor --filed, "
            "--language or --label: it shows attempts brought up to date, in English."
        )
    if filed and (labels or language != "en"):
        raise EventError(
            "The page that was filed is in English and without labels: leave --filed to get it in "
            "another language, or with a label."
        )
    if indexing:
        path = _index(place, events, form, output)
    elif comparing:
        path = _comparison(place, events, form, output)
    elif len(events or (events := event_ids.only(place))) == 1:
        chosen = reports.attempt_of(place, events[0], number)
        reader = reports.reader_of(language, _labels(labels))
        path = reports.write(chosen, form, output, filed=filed, reader=reader)
    else:
        raise EventError("Name one event with --event, or use --compare or --index.")
    if path is None:
        return DONE
    page = {"file": str(path), "bytes": path.stat().st_size}
    console.answer(page, [console.short(path)], as_json=as_json)
    if opening and not webbrowser.open(path.as_uri()):
        raise EventError(f"No browser could be opened: open {path} in yours.")
    return DONE


def _labels(given: Sequence[str]) -> dict[int, str]:
    """Names of classes by index.

    Raises:
        UsageError: One is not written as INDEX=NAME.
    """
    labels = {}
    for each in given:
        index, sign, name = each.partition("=")
        if not (sign and name.strip() and index.isascii() and index.isdecimal()):
            raise click.UsageError(f'--label {each}: write INDEX=NAME, as in 3="the digit three".')
        labels[int(index)] = name.strip()
    return labels


def _index(home: Home, events: Sequence[str], form: str, output: Path | None) -> Path | None:
    """The index of all events; as JSON it is printed, and there is no file."""
    from flows.records import event_index

    _refuse_form(form, "--index", "html", "json")
    if events or output is not None:
        raise EventError(
            "--index takes no event and no --output: it is index.html in the state folder, where "
            "its links lead to the reports of all events."
        )
    if form == "json":
        console.emit(event_index.content(home, datetime.now(UTC)))
        return None
    return event_index.write(home)


def _comparison(home: Home, events: Sequence[str], form: str, output: Path | None) -> Path | None:
    """Several attempts side by side; as JSON without `--output` they are printed."""
    from compliance.report.index import comparison, render_comparison
    from flows.records import reports

    _refuse_form(form, "--compare", "html", "pdf", "json")
    pages = reports.compare(home, events)
    if form == "json" and output is None:
        console.emit(comparison(pages))
        return None
    target = (output or home.root / f"comparison.{form}").absolute()
    text = json.dumps(comparison(pages), indent=1) if form == "json" else render_comparison(pages)
    reports.write_page(target, text.encode(), form)
    return target


def _refuse_form(form: str, option: str, *possible: str) -> None:
    """An option that means nothing here is refused, not ignored."""
    if form not in possible:
        *first, last = possible
        forms = f"{', '.join(first)} or {last}"
        raise EventError(f"{option} makes {forms}: {form} is for the report of one attempt.")
