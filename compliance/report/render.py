"""The report of one attempt: a self-contained A4 page for people, the same as JSON and Markdown.

The signed statement is the evidence; the report is a view of it, and is made from nothing but the
statement and the findings. The same input gives the same bytes: no clock, no random number, no
script, no address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from compliance.charts import charts
from compliance.report import templates
from compliance.report.page import Shown, report_json
from compliance.signing import Statement

__all__ = ["render_html", "render_markdown", "report_json"]

Json = Mapping[str, Any]


def render_html(statement: Json, **shown: Unpack[Shown]) -> str:
    """The report as one HTML page of at most 1 MB, which loads and runs nothing.

    Takes what `report_json` takes.
    """
    page = report_json(statement, **shown)
    plots = charts.draw(Statement.of(statement).predicate, shown["findings"])
    return templates.html().get_template("report.html").render(page=page, plots=plots)


def render_markdown(page: Json) -> str:
    """What `report_json` made as Markdown, for a pull request or a ticket."""
    return templates.markdown().get_template("report.md").render(page=page)
