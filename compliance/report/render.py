"""The report of one attempt: a self-contained A4 page for people, the same as JSON and Markdown.

The signed statement is the evidence; the report is a view of it, and is made from nothing but the
statement and the findings. The same input gives the same bytes: no clock, no random number, no
script, no address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compliance.charts import charts
from compliance.report import page as report_page
from compliance.report import templates
from compliance.signing import Statement

__all__ = ["render_html", "render_markdown", "report_json"]

Json = Mapping[str, Any]


def render_html(
    statement: Json,
    *,
    findings: Sequence[Json],
    controls: Mapping[str, Sequence[Json]] | None = None,
    signatures: Sequence[Json] = (),
    verify_command: str,
    reproduce_command: str,
    since: Json | None = None,
) -> str:
    """The report as one HTML page of at most 1 MB, which loads and runs nothing.

    Args:
        statement: The decoded in-toto statement, valid by the statement schema.
        findings: The candidate's findings as JSON; their `series` feed the pictures.
        controls: Findings of the controls by name; what could not be measured on them is shown
            under coverage. May be left out.
        signatures: One dict per signature or awaited signature: `role`, `keyId` (None while it is
            awaited), `demo`, `note`.
        verify_command: The command with which a reader checks the statement.
        reproduce_command: The command with which a reader runs the attempt again.
        since: What the ledger holds since the statement was signed (`since_signed.since`); None for
            the page as it is filed.
    """
    page = report_json(
        statement,
        findings=findings,
        controls=controls,
        signatures=signatures,
        verify_command=verify_command,
        reproduce_command=reproduce_command,
        since=since,
    )
    template = templates.html().get_template("report.html")
    return template.render(
        page=page, plots=charts.draw(Statement.of(statement).predicate, findings)
    )


def render_markdown(page: Json) -> str:
    """What `report_json` made as Markdown, for a pull request or a ticket."""
    return templates.markdown().get_template("report.md").render(page=page)


def report_json(
    statement: Json,
    *,
    findings: Sequence[Json],
    controls: Mapping[str, Sequence[Json]] | None = None,
    signatures: Sequence[Json] = (),
    verify_command: str,
    reproduce_command: str,
    since: Json | None = None,
) -> dict[str, Any]:
    """What the page says, as JSON for machines: figures, outcomes and the words for them.

    Takes what `render_html` takes.
    """
    return report_page.page(
        statement, findings, controls or {}, signatures, verify_command, reproduce_command, since
    )
