"""The first part of the report: the verdict, and what a reader must know before anything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compliance.presentation import labels, numbers, row_text
from compliance.signing import statement


def verdict(whole: Mapping[str, Any], signatures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The verdict box: result, reasons, deadline, what still holds data, who signed."""
    predicate = whole["predicate"]
    said = predicate["verdict"]
    tone, icon, meaning = labels.RESULTS.get(
        said["result"], ("open", "question", "This result is not known to this page.")
    )
    controls = predicate["controls"]
    return {
        **said,
        "tone": tone,
        "icon": icon,
        "meaning": meaning,
        "assuranceWords": labels.ASSURANCE.get(said["assurance"], ""),
        "contradictions": statement.contradictions(whole),
        "required": row_text.tally(predicate["audits"]),
        "decisive": _decisive(predicate["audits"]),
        "power": _power(predicate["audits"]),
        "controls": {"total": len(controls), "right": sum(bool(c["asExpected"]) for c in controls)},
        "deadline": deadline(predicate),
        "stillHolds": [artefact(a) for a in predicate["propagation"] if a["status"] != "DELETED"],
        "artefacts": len(predicate["propagation"]),
        "signedBy": [str(s.get("role")) for s in signatures if s.get("keyId")],
        "awaited": [str(s.get("role")) for s in signatures if not s.get("keyId")],
        "demoKey": bool(predicate["demoKey"]),
        "headOnly": bool(predicate["method"].get("headOnly")),
    }


def _decisive(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Required rows that are not within their margin: what stands between the model and a pass."""
    worded = [row_text.worded(r) for r in rows if r.get("required")]
    return [r for r in worded if r["outcome"] != "within"]


def _power(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many required rows could have noticed the original, and which hardly could."""
    worded = [row_text.worded(r) for r in rows if r.get("required")]
    known = [r for r in worded if not r["sideEffect"] and r["power"]["detectOriginal"] is not None]
    weak = [r["label"] or r["name"] for r in known if r["weak"]]
    return {"stated": len(known), "able": len(known) - len(weak), "weak": weak}


def deadline(predicate: Mapping[str, Any]) -> dict[str, Any]:
    """Due and finish times, whole days left (negative: late), and the answer in words."""
    due, finished = predicate["request"]["dueAt"], predicate["event"]["finishedAt"]
    end, last = numbers.moment(finished), numbers.moment(due)
    base = {"dueAt": due, "finishedAt": finished, "daysLeft": None, "inTime": None}
    if end is None or last is None:
        return base | {"word": "Not known", "tone": "open", "icon": "question"}
    days, in_time = (last - end).days, end <= last
    word, tone, icon = ("No, late", "bad", "cross")
    if in_time and predicate["verdict"]["result"] == "PASSED":
        word, tone, icon = ("On course", "good", "tick")
    elif in_time:
        word, tone, icon = ("Not yet", "open", "question")
    known = {"daysLeft": days, "inTime": in_time, "word": word, "tone": tone, "icon": icon}
    return base | known


def artefact(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A copy or descendant of the old model, with its state in words."""
    word, tone, icon = labels.PROPAGATION.get(
        recorded["status"], (str(recorded["status"]), "open", "question")
    )
    return {**recorded, "word": word, "tone": tone, "icon": icon}
