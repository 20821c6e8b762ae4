"""All that the report says, as plain data: the page shows it, `report.json` holds it.

The parts stand in the order of reading: verdict, asked and done, evidence, controls, coverage,
limits, attempts, propagation, sign-off, reproduce.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compliance import report_questions, report_rows, report_words

FORMAT = "damp/report/v1"

STANDING_LIMITS = (
    "The claim is evidence against the attacks listed here, at the power stated. It says nothing "
    "about attacks that were not run.",
    "Editing a model does not satisfy an order to delete the model: the old one and its copies "
    "must be dealt with as well (part 8).",
    "The audits speak about whole classes and this model. They do not speak about single "
    "persons, nor about other models trained on the same data.",
    "No test can exclude that the owner of the model deceived the tool. An auditor can run the "
    "attempt again and compare digests (part 10).",
    "This report is not legal advice. Whether it suffices is for the controller and a lawyer to "
    "decide.",
)


def page(
    statement: Mapping[str, Any],
    findings: Sequence[Mapping[str, Any]],
    signatures: Sequence[Mapping[str, Any]],
    verify_command: str,
    reproduce_command: str,
) -> dict[str, Any]:
    """The content of the report, JSON-able; `statement` is the decoded in-toto statement."""
    predicate = statement["predicate"]
    return {
        "format": FORMAT,
        "verdict": _verdict(predicate, signatures),
        "asked": predicate["request"] | {"scopeWords": scope(predicate["request"]["scope"])},
        "done": _done(statement),
        "evidence": report_rows.by_audit(predicate["audits"], findings),
        "controls": [_control(c) for c in predicate["controls"]],
        "coverage": _coverage(predicate),
        "limits": _limits(predicate["verdict"]),
        "attempts": _attempts(predicate["event"]),
        "propagation": [_artefact(a) for a in predicate["propagation"]],
        "signoff": [_signature(s) for s in signatures],
        "reproduce": _reproduce(predicate, verify_command, reproduce_command),
    }


def _verdict(
    predicate: Mapping[str, Any], signatures: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    verdict = predicate["verdict"]
    tone, icon, meaning = report_words.RESULTS.get(
        verdict["result"], ("open", "question", "This result is not known to this page.")
    )
    controls = predicate["controls"]
    return {
        **verdict,
        "tone": tone,
        "icon": icon,
        "meaning": meaning,
        "assuranceWords": report_words.ASSURANCE.get(verdict["assurance"], ""),
        "contradictions": contradictions(predicate),
        "required": report_rows.tally(predicate["audits"]),
        "decisive": _decisive(predicate["audits"]),
        "controls": {"total": len(controls), "right": sum(bool(c["asExpected"]) for c in controls)},
        "deadline": deadline(predicate),
        "stillHolds": [_artefact(a) for a in predicate["propagation"] if a["status"] != "DELETED"],
        "artefacts": len(predicate["propagation"]),
        "signedBy": [s.get("role", "") for s in signatures if s.get("keyId")],
        "demoKey": bool(predicate["demoKey"]),
        "headOnly": bool(predicate["method"].get("headOnly")),
    }


def _decisive(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Required rows that are not within their margin: what stands between the model and a pass."""
    worded = [report_rows.worded(r) for r in rows if r.get("required")]
    return [r for r in worded if r["outcome"] != "within"]


def contradictions(predicate: Mapping[str, Any]) -> list[str]:
    """Where a PASSED is not borne out by the rows and controls that stand beside it."""
    if predicate["verdict"]["result"] != "PASSED":
        return []
    counts = report_rows.tally(predicate["audits"])
    wrong = sum(not c["asExpected"] for c in predicate["controls"])
    found = {
        "it says PASSED, but no measurement was required.": counts["total"] == 0,
        "it says PASSED, but required measurements are not within their margin.": (
            counts["within"] < counts["total"]
        ),
        "it says PASSED, but a control was not judged as expected.": wrong > 0,
        "it says PASSED, but there is no control.": not predicate["controls"],
    }
    return [line for line, holds in found.items() if holds]


def scope(wanted: Mapping[str, Any]) -> str:
    """The scope in words: "class 8", "classes 3 and 8"."""
    indices = [str(i) for i in wanted.get("indices", ())]
    if len(indices) == 1:
        return f"class {indices[0]}"
    return f"classes {', '.join(indices[:-1])} and {indices[-1]}" if indices else "no class named"


def deadline(predicate: Mapping[str, Any]) -> dict[str, Any]:
    """Due and finish times, whole days left (negative: late), and the answer in words."""
    due, finished = predicate["request"]["dueAt"], predicate["event"]["finishedAt"]
    end, last = report_words.moment(finished), report_words.moment(due)
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


def _done(statement: Mapping[str, Any]) -> dict[str, Any]:
    predicate = statement["predicate"]
    return {
        "modelAfter": list(statement["subject"]),
        **{k: predicate["inputs"][k] for k in ("modelBefore", "dataBefore", "dataAfter")},
        **{k: predicate["inputs"][k] for k in ("forgetSet", "retainSet")},
        "method": predicate["method"],
        "registration": predicate["registration"],
        "startedAt": predicate["event"]["startedAt"],
        "finishedAt": predicate["event"]["finishedAt"],
        "seconds": predicate["event"]["monotonicSeconds"],
    }


def _control(control: Mapping[str, Any]) -> dict[str, Any]:
    right = bool(control["asExpected"])
    rows = [report_rows.worded(r) for r in control["rows"]]
    required = [r for r in rows if r["required"]]
    return {
        "name": control["name"],
        "words": _control_words(control["name"]),
        "expected": control["expected"],
        "found": control["found"],
        "asExpected": right,
        "word": "as expected" if right else "not as expected",
        "tone": "good" if right else "bad",
        "icon": "tick" if right else "cross",
        "required": report_rows.tally(control["rows"]),
        "rows": required,
    }


def _control_words(name: str) -> str:
    if name.startswith("reference_"):
        return "a retrained model, judged by the other retrained models"
    return _CONTROLS.get(name, "")


_CONTROLS = {
    "original": "the model before the change, untouched",
    "output_retired": "the untouched model with the output switched off and nothing else",
    "head_refitted": "the untouched inner layers with a new last layer that never saw the class",
    "random_direction": "the model changed by as much, but in random directions",
}


def _coverage(predicate: Mapping[str, Any]) -> dict[str, Any]:
    rows = predicate["audits"]
    spoken = {str(row.get("audit")) for row in rows}
    ran = {str(row.get("audit")) for row in rows if report_rows.ran(row)}
    return {
        "ran": [{"audit": a, "name": _attack(a)[0], "what": _attack(a)[1]} for a in sorted(ran)],
        "notRun": [report_rows.worded(r) for r in rows if not report_rows.ran(r)],
        "outside": [
            {"audit": key, "name": name, "what": what}
            for key, (name, what) in report_questions.ATTACKS.items()
            if key not in spoken
        ],
    }


def _attack(key: str) -> tuple[str, str]:
    return report_questions.ATTACKS.get(key, (key, ""))


def _limits(verdict: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys([*verdict["limits"], *STANDING_LIMITS]))


def _attempts(event: Mapping[str, Any]) -> dict[str, Any]:
    earlier = [dict(a) for a in event["previousAttempts"]]
    missing = int(event["attempt"]) - 1 - len(earlier)
    return {"this": event["attempt"], "earlier": earlier, "missing": max(missing, 0)}


def _artefact(artefact: Mapping[str, Any]) -> dict[str, Any]:
    word, tone, icon = report_words.PROPAGATION.get(
        artefact["status"], (str(artefact["status"]), "open", "question")
    )
    return {**artefact, "word": word, "tone": tone, "icon": icon}


def _signature(signature: Mapping[str, Any]) -> dict[str, Any]:
    return {key: signature.get(key) for key in ("role", "keyId", "demo", "note")}


def _reproduce(
    predicate: Mapping[str, Any], verify_command: str, reproduce_command: str
) -> dict[str, Any]:
    return {
        "verifyCommand": verify_command,
        "reproduceCommand": reproduce_command,
        "event": predicate["event"],
        "plan": predicate["auditPlan"],
        "methodSeed": predicate["method"].get("parameters", {}).get("seed"),
        **{k: predicate["inputs"][k] for k in ("code", "environment", "device")},
        "forgetSet": predicate["inputs"]["forgetSet"],
        "byproducts": list(predicate["byproducts"]),
        "retention": predicate["retention"],
    }
