"""The evidence, grouped by audit: each judged row with its outcome and margin in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from audits import catalogue
from compliance.presentation import labels, numbers
from compliance.presentation.strip import finite
from compliance.verdict import wording

Row = Mapping[str, Any]


def by_audit(rows: Sequence[Row], findings: Sequence[Row]) -> list[dict[str, Any]]:
    """One entry per audit, in the order in which the statement names them."""
    asked = {f["audit"]: f["question"] for f in findings if f.get("question")}
    names = dict.fromkeys(str(row.get("audit", "")) for row in rows)
    return [_audit(n, asked.get(n), [r for r in rows if str(r.get("audit")) == n]) for n in names]


def _audit(name: str, question: str | None, rows: list[Row]) -> dict[str, Any]:
    entry = catalogue.AUDITS.get(name)  # None for an audit of a later version
    return {
        "audit": name,
        "question": question or (entry.question if entry else f"Audit {name}"),
        "reading": entry.reading if entry else "",
        "words": list(entry.terms) if entry else [],
        "required": sum(bool(r.get("required")) for r in rows if ran(r)),
        "references": max((len(r.get("null") or ()) for r in rows), default=0),
        "rows": [worded(r) for r in rows if ran(r)],
        "notRun": [worded(r) for r in rows if not ran(r)],
    }


def ran(row: Row) -> bool:
    """Whether a row holds a measurement."""
    return row.get("status", "RUN") == "RUN"


def _outcome(row: Row) -> str:
    """The outcome; "not_judged" where there are figures, but the rule could not be applied."""
    if not ran(row):
        return "not_run"
    outcome = str(row.get("outcome"))
    return "not_judged" if outcome == "not_run" else outcome


KEYS = (
    *("audit", "name", "label", "value", "interval", "null", "nullMean", "nullSd", "original"),
    *("difference", "differenceInterval", "against", "margin", "rule", "sizes", "reason"),
)


def worded(row: Row) -> dict[str, Any]:
    """The row, with outcome, margin and the ground of the outcome in words.

    Every key of a judged row is there, None where the row does not hold it: a row that was not
    run has only its audit and the reason.
    """
    name = _outcome(row)
    word, tone, icon = labels.outcome(name)
    power = row.get("power") or {}
    return {
        **{key: row.get(key) for key in KEYS},
        "status": row.get("status", "RUN"),
        "power": {k: power.get(k) for k in ("acceptRetrained", "detectOriginal")},
        "sideEffect": side_effect(row),
        "weak": not side_effect(row)
        and any(p < wording.NO_POWER for p in finite([power.get("detectOriginal")])),
        "outcome": name,
        "word": _limit_word(row, word),
        "tone": tone,
        "icon": icon,
        "allowedWords": allowed_words(row),
        "because": because(row, name),
        "required": bool(row.get("required")),
    }


def side_effect(row: Row) -> bool:
    """Whether a row is about what must stay as it was; the original is no case to notice there."""
    return any(fnmatchcase(str(row.get("name")), glob) for glob in wording.SIDE_EFFECTS)


def _limit_word(row: Row, word: str) -> str:
    absolute = _margin(row).get("atMost") is not None
    return word.replace("margin", "limit") if absolute else word


def allowed_words(row: Row) -> str:
    """What the rule allows: "at most 0.050", "−0.200 to +0.100"; a dash without a margin."""
    margin = _margin(row)
    below, above = margin.get("below"), margin.get("above")
    if margin.get("atMost") is not None:
        return f"at most {numbers.number(margin['atMost'])}"
    if below is not None and above is not None:
        return numbers.span((-below, above), sign=True)
    if below is not None:
        return f"not below {numbers.signed(-below)}"
    if above is not None:
        return f"not above {numbers.signed(above)}"
    return numbers.NOTHING


def because(row: Row, outcome: str | None) -> str:
    """Why the outcome is what it is, in one sentence."""
    if row.get("reason"):
        return str(row["reason"])
    if outcome in ("not_run", "not_judged"):
        return "No reason was recorded."
    if outcome == "informational":
        return "No rule applies; shown for completeness."
    absolute = _margin(row).get("atMost") is not None
    return (_LIMIT if absolute else _MARGIN).get(str(outcome), "")


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


def _margin(row: Row) -> Mapping[str, Any]:
    return row.get("margin") or {}


def tally(rows: Iterable[Row]) -> dict[str, int]:
    """How many required rows there are, and how many of each outcome."""
    outcomes = [worded(row)["outcome"] for row in rows if row.get("required")]
    counts = {name: outcomes.count(name) for name in labels.OUTCOMES}
    return {**counts, "total": len(outcomes), "unknown": len(outcomes) - sum(counts.values())}
