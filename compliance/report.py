"""The report of one attempt: a self-contained A4 page for people, the same as JSON for machines.

The signed statement is the evidence; the report is a view of it, and is made from nothing but the
statement and the findings. The same input gives the same bytes: no clock, no random number, no
script, no address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compliance import (
    plots,
    report_glossary,
    report_numbers,
    report_page,
    report_palette,
    report_strip,
    report_words,
)

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

Json = Mapping[str, Any]

PARTS = (
    ("h-verdict", "Verdict"),
    ("asked", "Asked and done"),
    ("evidence", "Evidence"),
    ("controls", "Controls"),
    ("coverage", "Coverage"),
    ("limits", "Limits"),
    ("attempts", "Attempt history"),
    ("propagation", "Propagation"),
    ("signoff", "Sign-off"),
    ("reproduce", "Reproduce"),
)


def render_html(
    statement: Json,
    *,
    findings: Sequence[Json],
    controls: Mapping[str, Sequence[Json]] | None = None,
    signatures: Sequence[Json] = (),
    verify_command: str,
    reproduce_command: str,
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
    """
    page = report_json(
        statement,
        findings=findings,
        controls=controls,
        signatures=signatures,
        verify_command=verify_command,
        reproduce_command=reproduce_command,
    )
    template = _environment().get_template("report.html")
    return template.render(page=page, plots=plots.draw(statement, findings))


def report_json(
    statement: Json,
    *,
    findings: Sequence[Json],
    controls: Mapping[str, Sequence[Json]] | None = None,
    signatures: Sequence[Json] = (),
    verify_command: str,
    reproduce_command: str,
) -> dict[str, Any]:
    """What the page says, as JSON for machines: figures, outcomes and the words for them.

    Takes what `render_html` takes.
    """
    return report_page.page(
        statement, findings, controls or {}, signatures, verify_command, reproduce_command
    )


def _breakable(name: object) -> Markup:
    """A dotted name that may break after its separators instead of anywhere."""
    from markupsafe import Markup, escape

    shown = str(escape(report_words.visible(str(name))))
    return Markup(re.sub(r"([._@])(?=\w)", r"\1<wbr>", shown))  # noqa: S704  escaped above


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("compliance", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=report_words.visible,
    )
    environment.filters |= {
        "number": report_numbers.number,
        "figure": report_numbers.figure,
        "setting": report_numbers.setting,
        "signed": report_numbers.signed,
        "span": report_numbers.span,
        "signed_span": lambda interval: report_numbers.span(interval, sign=True),
        "chance": report_numbers.chance,
        "clock": report_numbers.clock,
        "strip": report_strip.strip,
        "tick": report_numbers.tick,
        "breakable": _breakable,
    }
    words = sorted(report_glossary.GLOSSARY.items(), key=lambda item: item[1][0].lower())
    environment.globals |= {
        "colours": report_palette.COLOURS,
        "glossary": dict(words),
        "parts": PARTS,
        "regulations": report_words.REGULATIONS,
    }
    return environment
