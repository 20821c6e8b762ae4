"""Results as Markdown, from signed statements alone: what docs/results-*.md are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Facts = dict[str, Any]

SIGNS = {"within": "within", "outside": "**outside**", "undecided": "cannot tell"}


SUMMARY = (
    ("forget before retiring", "accuracy.forget_before_retiring"),
    ("after", "accuracy.forget_after_retiring"),
    ("retain", "accuracy.retain"),
    ("routing JS", "routing.js"),
    ("few-shot 1", "few_shot.1@penultimate"),
    ("head refit", "head_refit.forget"),
)
"""What the table at the top of a page shows of each attempt: value (retrained mean)."""


def summary(events: Sequence[tuple[str, Sequence[Path]]]) -> str:
    """One line per attempt of every event, given as title and signed statements.

    Each figure is followed by the mean of the retrained models; what was not measured is a dash.
    """
    from compliance.signing import decoded

    head = ["event", "attempt", "verdict", *(title for title, _ in SUMMARY), "work"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for title, statements in events:
        for path in statements:
            predicate = decoded(path)["predicate"]
            preset = predicate["method"]["parameters"]["preset"]
            cells = [
                title,
                f"{predicate['event']['attempt']}, `{preset}`",
                predicate["verdict"]["result"],
                *_summarised(predicate["audits"]),
                f"{predicate['event']['monotonicSeconds']:.0f} s",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _summarised(rows: Sequence[Facts]) -> list[str]:
    figures = {row["name"]: row for row in rows if row["status"] == "RUN"}
    cells = []
    for _, name in SUMMARY:
        row = figures.get(name)
        null = row["nullMean"] if row else None
        value = f"{row['value']:.3f}" if row else "-"
        cells.append(value if null is None else f"{value} ({null:.3f})")
    return cells


def event(statements: Sequence[Path], *, title: str, command: str) -> str:
    """One event, all of its attempts, under a heading."""
    from compliance.signing import decoded

    parts = [f"## {title}", "", f"`{command}`", ""]
    for path in statements:
        parts += _attempt(decoded(path)["predicate"])
    return "\n".join(parts)


def _attempt(predicate: Facts) -> list[str]:
    verdict, method = predicate["verdict"], predicate["method"]
    preset = method["parameters"]["preset"]
    rows = [row for row in predicate["audits"] if row["status"] == "RUN"]
    required = [row for row in rows if row["required"]]
    others = [row for row in rows if not row["required"]]
    seconds = predicate["event"]["monotonicSeconds"]
    return [
        f"### Attempt {predicate['event']['attempt']}, `{preset}`: {verdict['result']}",
        "",
        f"Assurance {verdict['assurance']}, policy `{predicate['auditPlan']['policy']['name']}`, "
        f"{seconds:.0f} s of work (cached references cost nothing).",
        "",
        *(f"- {reason}" for reason in verdict["reasons"]),
        "",
        *_table(required),
        "",
        "<details><summary>All other measurements</summary>",
        "",
        *_table(others),
        "",
        "</details>",
        "",
        *_controls(predicate["controls"]),
        "",
    ]


def _table(rows: Iterable[Facts]) -> list[str]:
    head = "| measurement | after | 95% interval | retrained | original | margin | outcome |"
    return [head, "|---|---|---|---|---|---|---|", *(_row(row) for row in rows)]


def _row(row: Facts) -> str:
    low, high = row["interval"]
    null = "-" if row["nullMean"] is None else f"{row['nullMean']:.3f} ± {row['nullSd'] or 0:.3f}"
    original = "-" if row["original"] is None else f"{row['original']:.3f}"
    outcome = str(SIGNS.get(row["outcome"], row["outcome"]))
    cells = [
        f"`{row['name']}`",
        f"{row['value']:.3f}",
        f"{low:.3f} to {high:.3f}",
        null,
        original,
        _margin(row["margin"]),
        outcome,
    ]
    return f"| {' | '.join(cells)} |"


def _margin(margin: Facts) -> str:
    if margin["atMost"] is not None:
        return f"at most {margin['atMost']:g}"
    sides = [("-", margin["below"]), ("+", margin["above"])]
    return " ".join(f"{sign}{side:g}" for sign, side in sides if side is not None) or "-"


def _controls(controls: Sequence[Facts]) -> list[str]:
    """Each control with what was expected, what came out, and by which measurements."""
    lines = [
        "| control | expected | found | required measurements not within |",
        "|---|---|---|---|",
    ]
    for control in controls:
        beyond = [
            f"`{row['name']}`"
            for row in control["rows"]
            if row.get("required") and row.get("outcome") != "within"
        ]
        cells = [
            control["name"],
            control["expected"],
            control["found"],
            ", ".join(beyond) or "none",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
