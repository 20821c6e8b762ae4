"""The evidence, grouped by audit: each judged row with its outcome and margin in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from audits import catalogue
from compliance.formats import typed
from compliance.presentation import labels, numbers
from compliance.presentation.strip import is_finite
from compliance.signing.facts import AuditRow
from compliance.verdict import LEAST_POWER, wording

Json = Mapping[str, Any]


def by_audit(rows: Sequence[AuditRow], findings: Sequence[Json]) -> list[dict[str, Any]]:
    """One entry per audit, in the order in which the statement names them."""
    asked = {f["audit"]: f["question"] for f in findings if f.get("question")}
    names = dict.fromkeys(row.audit for row in rows)
    return [_audit(name, asked.get(name), [r for r in rows if r.audit == name]) for name in names]


def _audit(name: str, question: str | None, rows: list[AuditRow]) -> dict[str, Any]:
    entry = catalogue.AUDITS.get(name)  # None for an audit of a later version
    return {
        "audit": name,
        "question": question or (entry.question if entry else f"Audit {name}"),
        "reading": entry.reading if entry else "",
        "words": list(entry.terms) if entry else [],
        "required": sum(row.required for row in rows if row.ran),
        "references": max((len(row.null or ()) for row in rows), default=0),
        "rows": [worded(row) for row in rows if row.ran],
        "notRun": [worded(row) for row in rows if not row.ran],
    }


def _outcome(row: AuditRow) -> str:
    """The outcome; "not_judged" where there are figures, but the rule could not be applied."""
    if not row.ran:
        return "not_run"
    return "not_judged" if row.outcome == "not_run" else str(row.outcome)


def worded(row: AuditRow) -> dict[str, Any]:
    """The row as JSON, with outcome, margin and the ground of the outcome in words.

    Every key of a judged row is there, None where the row does not hold it: a row that was not
    run has only its audit and the reason.
    """
    outcome = _outcome(row)
    word, tone, icon = labels.outcome(outcome)
    return typed.plain(row) | {
        "sideEffect": side_effect(row),
        "weak": weak(row),
        "outcome": outcome,
        "word": _limit_word(row, word),
        "tone": tone,
        "icon": icon,
        "allowedWords": allowed_words(row),
        "because": because(row, outcome),
    }


def weak(row: AuditRow) -> bool:
    """Whether it could hardly have told the original from a retrained model."""
    detect = row.power.detect_original
    return is_finite(detect) and detect < LEAST_POWER and not side_effect(row)


def counted(row: AuditRow) -> bool:
    """Whether it could have shown the original: the claim counts these, and so does every page."""
    detect = row.power.detect_original
    return row.required and is_finite(detect) and detect >= LEAST_POWER


def side_effect(row: AuditRow) -> bool:
    """Whether a row is about what must stay as it was; the original is no case to notice there."""
    return any(fnmatchcase(str(row.name), glob) for glob in wording.SIDE_EFFECTS)


def _limit_word(row: AuditRow, word: str) -> str:
    return word if row.limits.at_most is None else word.replace("margin", "limit")


def limits_once(limits: Sequence[str], rows: Iterable[AuditRow]) -> list[str]:
    """The limits, each once; those that say of several rows that they have no power as one.

    Args:
        limits: As the statement holds them, and others.
        rows: The statement's.

    >>> from compliance.signing.facts import Power
    >>> rows = [AuditRow(audit="a", name="a.b", power=Power(detect_original=0.0)),
    ...         AuditRow(audit="c", name="c", power=Power(detect_original=0.07))]
    >>> lines = [wording.without_power(row.name, row.power.detect_original) for row in rows]
    >>> for each in limits_once([lines[0], "Another.", lines[1]], rows):
    ...     print(each)
    These have no power here: a.b would detect the original with a chance of 0.00 only, c of 0.07.
    Another.
    """
    each = list(dict.fromkeys(limits))
    said = {_without_power(row): row for row in rows}
    powerless = {line: said[line] for line in each if line in said}
    if len(powerless) < 2:
        return each
    first, *more = powerless.values()
    others = "".join(f", {row.title} of {row.power.detect_original:.2f}" for row in more)
    whole = (
        f"These have no power here: {first.title} would detect the original with a chance of "
        f"{first.power.detect_original:.2f} only{others}."
    )
    place = each.index(next(iter(powerless)))
    return [
        whole if i == place else line
        for i, line in enumerate(each)
        if i == place or line not in powerless
    ]


def _without_power(row: AuditRow) -> str | None:
    """What the verdict's limits say of a row that has no power; None where it has no figure."""
    detect = row.power.detect_original
    return wording.without_power(row.title, detect) if is_finite(detect) else None


def allowed_words(row: AuditRow) -> str:
    """What the rule allows: "at most 0.050", "−0.200 to +0.100"; a dash without a margin."""
    below, above = row.limits.below, row.limits.above
    if row.limits.at_most is not None:
        return f"at most {numbers.number(row.limits.at_most)}"
    if below is not None and above is not None:
        return numbers.span((-below, above), sign=True)
    if below is not None:
        return f"not below {numbers.signed(-below)}"
    if above is not None:
        return f"not above {numbers.signed(above)}"
    return numbers.NOTHING


def because(row: AuditRow, outcome: str) -> str:
    """Why the outcome is what it is, in one sentence."""
    if row.reason:
        return row.reason
    if outcome in ("not_run", "not_judged"):
        return "No reason was recorded."
    if outcome == "informational":
        return "No rule applies; shown for completeness."
    return (_MARGIN if row.limits.at_most is None else _LIMIT).get(outcome, "")


_MARGIN = {
    "within": "The whole interval of the difference lies inside the margin.",
    "outside": "The whole interval of the difference lies beyond the margin.",
    "undecided": "The interval of the difference crosses the edge of the margin: "
    "these samples cannot tell.",
}
_LIMIT = {
    "within": "The whole interval of the value lies under the limit.",
    "outside": "The whole interval of the value lies above the limit.",
    "undecided": "The interval of the value crosses the limit: these samples cannot tell.",
}


def tally(rows: Iterable[AuditRow]) -> dict[str, int]:
    """How many required rows there are, and how many of each outcome."""
    outcomes = [_outcome(row) for row in rows if row.required]
    counts = {name: outcomes.count(name) for name in labels.OUTCOMES}
    return {**counts, "total": len(outcomes), "unknown": len(outcomes) - sum(counts.values())}
