"""Two pages about many attempts: an index of all events, and several attempts side by side.

Both are views like the report: no script, no address; their links lead to files beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from compliance.presentation import labels, row_text
from compliance.report import templates

Json = Mapping[str, Any]

OPEN = ("muted", "dash")
"""Tone and icon of an event without a verdict."""


def render_index(content: Json) -> str:
    """The index of all events as one HTML page that works from disk.

    Args:
        content: `written`, the time that days are counted from; `entries` and `last`, number of
            ledger entries and time of the last (None where there is none); `events`, one dict each:
            `id`, `state`, `regulation`, `received`, `due`, `days_left`, `next`, `verdict`,
            `attempts`: each with `number`, `verdict`, `report`, `statement` (paths relative to the
            page; None where there is no file).
    """
    events = [_shown(event) for event in content["events"]]
    template = templates.html().get_template("index.html")
    verdicts = Counter(event["verdict"] for event in events if event["verdict"])
    return template.render(
        page=dict(content),
        events=events,
        counts=_counts(events),
        verdicts=dict(sorted(verdicts.items())),
    )


def _shown(event: Json) -> dict[str, Any]:
    attempts = [
        attempt
        | {"mark": mark(attempt["verdict"])}
        | {key: _href(attempt[key]) for key in ("report", "statement")}
        for attempt in map(dict, event["attempts"])
    ]
    verdict = mark(event["verdict"])
    if not event["verdict"] and event["days_left"] is None:
        verdict = verdict | {"word": "none"}  # it ended without one
    return dict(event) | {"mark": verdict, "attempts": attempts}


def _href(path: str | None) -> str | None:
    """A relative path as a link: nothing in it can be read as a scheme, a query or markup."""
    return None if path is None else f"./{quote(path)}"


def _counts(events: Sequence[Json]) -> dict[str, int]:
    """How many are late, open and in time, and ended."""
    late = sum((event["days_left"] or 0) < 0 for event in events)
    ended = sum(event["days_left"] is None for event in events)
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
    columns = [_column(page) for page in pages]
    cells = [{row["name"]: row for row in _rows(page)} for page in pages]
    names = dict.fromkeys(name for column in cells for name in column)
    return {
        "format": "damp/comparison/v1",
        "columns": columns,
        "rows": [_line(name, cells) for name in names],
        "same": {key: len({str(column[key]) for column in columns}) == 1 for key in SAME},
    }


SAME = ("policy", "scope", "modelBefore", "dataBefore")
"""What must be the same for figures to be comparable; the page says where it is not."""


def _column(page: Json) -> dict[str, Any]:
    about, done, verdict = page["about"], page["done"], page["verdict"]
    return {
        "event": about["event"],
        "attempt": about["attempt"],
        "endedAt": about["endedAt"],
        "policy": about["policy"],
        "scope": page["asked"]["scopeWords"],
        "method": done["method"]["name"],
        "preset": done["method"]["parameters"].get("preset"),
        "modelBefore": done["modelBefore"]["digest"]["sha256"],
        "modelAfter": done["modelAfter"][0]["digest"]["sha256"],
        "dataBefore": done["dataBefore"]["version"],
        "seconds": done["seconds"],
        "result": verdict["result"],
        "assurance": verdict["assurance"],
        "required": verdict["required"],
        "controls": verdict["controls"],
        "reasons": list(verdict["reasons"]),
        "mark": mark(verdict["result"]),
    }


def mark(result: str | None) -> dict[str, str]:
    """A verdict's word, tone and icon."""
    if not result:
        return {"word": "not decided", "tone": OPEN[0], "icon": OPEN[1]}
    tone, icon, _ = labels.RESULTS.get(result, ("open", "question", ""))
    return {"word": result, "tone": tone, "icon": icon}


def _rows(page: Json) -> list[Json]:
    return [row for audit in page["evidence"] for row in audit["rows"] + audit["notRun"]]


def _line(name: str, cells: Sequence[Mapping[str, Json]]) -> dict[str, Any]:
    found = [column.get(name) for column in cells]
    first = next(row for row in found if row is not None)
    return {
        "name": name,
        "label": first["label"] or name,
        "required": any(row is not None and row["required"] for row in found),
        "cells": [None if row is None else _cell(row) for row in found],
        "differs": len({None if row is None else row["outcome"] for row in found}) > 1,
    }


def _cell(row: Json) -> dict[str, Any]:
    keys = ("value", "interval", "nullMean", "original", "difference", "word", "tone", "icon")
    return {key: row[key] for key in (*keys, "outcome", "status")} | {
        "allowed": row_text.allowed_words(row)
    }
