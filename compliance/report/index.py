"""Two pages about many attempts: an index of all events, and several attempts side by side.

Both are views like the report: no script, no address; their links lead to files beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

from compliance.formats import typed
from compliance.presentation import labels
from compliance.report import templates
from compliance.report.pages import Page, WordedRow

Json = Mapping[str, Any]

OPEN = ("muted", "dash")
"""Tone and icon of an event without a verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLine:
    """One attempt in the index; paths are relative to the page, None where there is no file."""

    number: Any  # as the ledger holds it, which somebody may have written by hand
    verdict: str | None
    report: str | None
    statement: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """One event in the index; days are None once it has ended."""

    id: str
    state: str
    regulation: str | None
    received: str | None
    due: str | None
    days_left: int | None = field(metadata={"key": "days_left"})
    next: str
    verdict: str | None
    attempts: tuple[AttemptLine, ...]


def render_index(content: Json) -> str:
    """The index of all events as one HTML page that works from disk.

    Args:
        content: `written`, the time that days are counted from; `entries` and `last`, number of
            ledger entries and time of the last (None where there is none); `events`, one dict each
            with the fields of `EventLine`.
    """
    events = [typed.read(EventLine, event, "An event") for event in content["events"]]
    template = templates.html().get_template("index.html")
    verdicts = Counter(event.verdict for event in events if event.verdict)
    return template.render(
        page=dict(content),
        events=[_shown(event) for event in events],
        counts=_counts(events),
        verdicts=dict(sorted(verdicts.items())),
    )


def _shown(event: EventLine) -> dict[str, Any]:
    attempts = [
        asdict(attempt)
        | {"mark": mark(attempt.verdict)}
        | {"report": _href(attempt.report), "statement": _href(attempt.statement)}
        for attempt in event.attempts
    ]
    verdict = mark(event.verdict)
    if not event.verdict and event.days_left is None:
        verdict = verdict | {"word": "none"}  # it ended without one
    return asdict(event) | {"mark": verdict, "attempts": attempts}


def _href(path: str | None) -> str | None:
    """A relative path as a link: nothing in it can be read as a scheme, a query or markup."""
    return None if path is None else f"./{quote(path)}"


def _counts(events: Sequence[EventLine]) -> dict[str, int]:
    """How many are late, open and in time, and ended."""
    late = sum((event.days_left or 0) < 0 for event in events)
    ended = sum(event.days_left is None for event in events)
    return {"late": late, "open": len(events) - late - ended, "ended": ended}


def render_comparison(pages: Sequence[Json]) -> str:
    """Several attempts side by side, as one HTML page.

    Args:
        pages: What `report_json` made of each, two or more.
    """
    template = templates.html().get_template("comparison.html")
    return template.render(page=comparison(pages))


def comparison(pages: Sequence[Json]) -> dict[str, Any]:
    """What the page says, JSON-able: one column for each attempt, one row for each measurement."""
    attempts = [Page.of(page) for page in pages]
    columns = [_column(page) for page in attempts]
    cells = [{row.name: row for row in _rows(page)} for page in attempts]
    names = dict.fromkeys(name for column in cells for name in column)
    return {
        "format": "damp/comparison/v1",
        "columns": columns,
        "rows": [_line(name, cells) for name in names],
        "same": {key: len({str(column[key]) for column in columns}) == 1 for key in SAME},
    }


SAME = ("policy", "scope", "modelBefore", "dataBefore")
"""What must be the same for figures to be comparable; the page says where it is not."""


def _column(page: Page) -> dict[str, Any]:
    about, done, verdict = page.about, page.done, page.verdict
    return {
        **typed.plain(about),
        "scope": page.asked.scope_words,
        "method": done.method.name,
        "preset": done.method.parameters.get("preset"),
        "modelBefore": done.model_before.digest.sha256,
        "modelAfter": done.model_after[0].digest.sha256,
        "dataBefore": done.data_before.version,
        "seconds": done.seconds,
        **typed.plain(verdict),
        "mark": mark(verdict.result),
    }


def mark(result: str | None) -> dict[str, str]:
    """A verdict's word, tone and icon."""
    if not result:
        return {"word": "not decided", "tone": OPEN[0], "icon": OPEN[1]}
    tone, icon, _ = labels.RESULTS.get(result, ("open", "question", ""))
    return {"word": result, "tone": tone, "icon": icon}


def _rows(page: Page) -> list[WordedRow]:
    return [row for audit in page.evidence for row in (*audit.rows, *audit.not_run)]


def _line(name: str | None, cells: Sequence[Mapping[str | None, WordedRow]]) -> dict[str, Any]:
    rows = [column.get(name) for column in cells]
    first = next(row for row in rows if row is not None)
    return {
        "name": name,
        "label": first.label or name,
        "required": any(row is not None and row.required for row in rows),
        "cells": [None if row is None else _cell(row) for row in rows],
        "differs": len({None if row is None else row.outcome for row in rows}) > 1,
    }


CELL = frozenset(
    {
        *("value", "interval", "nullMean", "original", "difference", "word", "tone", "icon"),
        *("outcome", "status"),
    }
)


def _cell(row: WordedRow) -> dict[str, Any]:
    cell = {key: value for key, value in typed.plain(row).items() if key in CELL}
    return cell | {"allowed": row.allowed_words}
