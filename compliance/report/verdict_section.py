"""The first part of the report: the verdict, and what a reader must know before anything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compliance.formats import typed
from compliance.presentation import labels, numbers, row_text
from compliance.signing import Statement, statement
from compliance.signing.facts import Artefact, AuditRow, Predicate

Json = dict[str, Any]


def verdict(
    whole: Mapping[str, Any],
    facts: Statement,
    signatures: Sequence[Mapping[str, Any]],
    used: str = "",
) -> Json:
    """The verdict box: result, reasons, deadline, what still holds data, who signed."""
    predicate = facts.predicate
    own, controls = predicate.verdict, predicate.controls
    tone, icon, meaning = labels.RESULTS.get(
        own.result, ("open", "question", "This result is not known to this page.")
    )
    copies = predicate.propagation
    return {
        **typed.plain(own),
        "reasons": list(dict.fromkeys(own.reasons)),
        "tone": tone,
        "icon": icon,
        "meaning": meaning,
        "assuranceWords": labels.ASSURANCE.get(own.assurance, ""),
        "contradictions": statement.contradictions(Statement.of(whole)),
        "required": row_text.tally(predicate.audits),
        "decisive": [row_text.worded(r) for r in predicate.required if r.outcome != "within"],
        "power": _power(predicate.required),
        "controls": {"total": len(controls), "right": sum(c.as_expected for c in controls)},
        "deadline": deadline(predicate, used),
        "stillHolds": [artefact(one) for one in copies if one.status != "DELETED"],
        "artefacts": len(copies),
        "signedBy": [str(s.get("role")) for s in signatures if s.get("keyId")],
        "awaited": [str(s.get("role")) for s in signatures if not s.get("keyId")],
        "demoKey": predicate.demo_key,
        "headOnly": predicate.method.head_only,
    }


def _power(required: Sequence[AuditRow]) -> Json:
    """How many required rows could have shown the original, as the claim counts them; which of the
    others look for the class and hardly could, and how many guard something else."""
    able = sum(row_text.counted(row) for row in required)
    weak = [row.label or row.title for row in required if row_text.weak(row)]
    aside = len(required) - able - len(weak)
    return {"required": len(required), "able": able, "weak": weak, "aside": aside}


def deadline(predicate: Predicate, used: str = "") -> Json:
    """Due and finish times, whole days left (negative: late), and the answer in words.

    Args:
        predicate: The statement's content.
        used: Since when the model after is in use; "" where it is not, as far as is known.
    """
    due, finished = predicate.request.due_at, predicate.event.finished_at
    end, last = numbers.moment(finished), numbers.moment(due)
    times, since = {"dueAt": due, "finishedAt": finished}, numbers.moment(used)
    if end is None or last is None:
        return times | {"daysLeft": None, "inTime": None} | _mark("Not known", "open", "question")
    answer = _mark("No, late", "bad", "cross")
    if since is not None and since <= last:
        answer = _mark("Yes", "good", "tick")
    elif since is not None:
        pass
    elif end <= last and predicate.verdict.result == "PASSED":
        answer = _mark("On course", "good", "tick")
    elif end <= last:
        answer = _mark("Not yet", "open", "question")
    return times | {"daysLeft": (last - end).days, "inTime": end <= last} | answer


def artefact(recorded: Artefact) -> Json:
    """A copy or descendant of the old model, with its state in words."""
    words = labels.PROPAGATION.get(recorded.status, (recorded.status, "open", "question"))
    return typed.plain(recorded) | _mark(*words)


def _mark(word: str, tone: str, icon: str) -> Json:
    return {"word": word, "tone": tone, "icon": icon}
