"""Two pages about many attempts: an index of all events, and several attempts side by side.

Both are views like the report: no script, no address; their links lead to files beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compliance import report_environment, report_rows, report_words

Json = Mapping[str, Any]

OPEN = ("muted", "dash")
"""Tone and icon of an event without a verdict."""


def render_index(events: Sequence[Json], *, at: str, entries: int) -> str:
    """The index of all events as one HTML page that works from disk.

    Args:
        events: One dict per event: `id`, `state`, `regulation`, `received`, `due`, `days_left`,
            `next`, `verdict`, `attempts`: each with `number`, `verdict`, `report`, `statement`
            (links relative to the page; None where there is no file).
        at: Time of the ledger's last entry.
        entries: How many entries it has.
    """
    shown = [event | {"mark": mark(event["verdict"])} for event in map(dict, events)]
    template = report_environment.html().get_template("index.html")
    return template.render(events=shown, at=at, entries=entries)


def render_comparison(pages: Sequence[Json]) -> str:
    """Several attempts side by side, as one HTML page.

    Args:
        pages: What `report_json` made of each, two or more.
    """
    template = report_environment.html().get_template("comparison.html")
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
    tone, icon, _ = report_words.RESULTS.get(result, ("open", "question", ""))
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
    }


def _cell(row: Json) -> dict[str, Any]:
    keys = ("value", "interval", "nullMean", "original", "difference", "word", "tone", "icon")
    return {key: row[key] for key in (*keys, "outcome", "status")} | {
        "allowed": report_rows.allowed_words(row)
    }
