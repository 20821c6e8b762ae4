"""All that the report says, as plain data: the page shows it, `report.json` holds it.

The parts stand in the order of reading: verdict, asked and done, evidence, controls, coverage,
limits, attempts, propagation, sign-off, reproduce.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compliance.presentation import row_text
from compliance.report import controls_section, coverage_section, mappings, verdict_section

FORMAT = "damp/report/v1"

OWN_FILES = frozenset({"report.html", "report.json"})
"""Byproducts that the report itself is: it cannot hold their digests."""

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
    whole: Mapping[str, Any],
    findings: Sequence[Mapping[str, Any]],
    controls: Mapping[str, Sequence[Mapping[str, Any]]],
    signatures: Sequence[Mapping[str, Any]],
    verify_command: str,
    reproduce_command: str,
    since: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of the report, JSON-able; `whole` is the decoded in-toto statement."""
    whole = whole if since is None else _brought_up_to_date(whole, since)
    predicate = whole["predicate"]
    return {
        "format": FORMAT,
        "about": _about(predicate),
        "since": None if since is None else {k: since[k] for k in ("entries", "at", "facts")},
        "verdict": verdict_section.verdict(whole, signatures),
        "asked": predicate["request"] | {"scopeWords": scope(predicate["request"]["scope"])},
        "done": _done(whole),
        "evidence": row_text.by_audit(predicate["audits"], findings),
        "controls": [controls_section.control(c) for c in predicate["controls"]],
        "controlFigures": controls_section.figures(predicate["controls"]),
        "coverage": coverage_section.coverage(predicate, findings, controls),
        "limits": _limits(predicate["verdict"]),
        "attempts": _attempts(predicate["event"]),
        "propagation": [verdict_section.artefact(a) for a in predicate["propagation"]],
        "supports": mappings.for_regulation(predicate["request"]["regulation"]),
        "signoff": [_signature(s) for s in signatures],
        "reproduce": _reproduce(predicate, verify_command, reproduce_command),
    }


def scope(wanted: Mapping[str, Any]) -> str:
    """The scope in words: "class 8", "classes 3 and 8"."""
    indices = [str(i) for i in wanted.get("indices", ())]
    if len(indices) == 1:
        return f"class {indices[0]}"
    return f"classes {', '.join(indices[:-1])} and {indices[-1]}" if indices else "no class named"


def _brought_up_to_date(whole: Mapping[str, Any], since: Mapping[str, Any]) -> dict[str, Any]:
    """The statement's content with the artefacts as the ledger knows them now."""
    predicate = whole["predicate"] | {"propagation": since["propagation"]}
    return {**whole, "predicate": predicate}


def _about(predicate: Mapping[str, Any]) -> dict[str, Any]:
    """What identifies the page: the header's facts."""
    return {
        "event": predicate["event"]["id"],
        "attempt": predicate["event"]["attempt"],
        "endedAt": predicate["event"]["finishedAt"],
        "policy": predicate["auditPlan"]["policy"]["name"],
        "ledger": predicate["event"]["ledger"]["origin"],
        "version": predicate["inputs"]["code"]["version"],
    }


def _done(whole: Mapping[str, Any]) -> dict[str, Any]:
    predicate = whole["predicate"]
    return {
        "modelAfter": list(whole["subject"]),
        **{k: predicate["inputs"][k] for k in ("modelBefore", "dataBefore", "dataAfter")},
        **{k: predicate["inputs"][k] for k in ("forgetSet", "retainSet")},
        "method": predicate["method"],
        "registration": predicate["registration"],
        "startedAt": predicate["event"]["startedAt"],
        "finishedAt": predicate["event"]["finishedAt"],
        "seconds": predicate["event"]["monotonicSeconds"],
        "cost": _cost(predicate["event"].get("cost")),
    }


def _cost(cost: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the audits cost, the dearest first; None in a statement that does not say."""
    if cost is None:
        return None
    seconds = sorted(cost["cpuSeconds"].items(), key=lambda pair: -pair[1])
    return {
        **cost,
        "cpuSeconds": dict(seconds),
        "seconds": round(sum(spent for _, spent in seconds), 3),
        "candidateTotal": round(sum(cost["candidateForwardPasses"].values()), 2),
    }


def _limits(verdict: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys([*verdict["limits"], *STANDING_LIMITS]))


def _attempts(event: Mapping[str, Any]) -> dict[str, Any]:
    earlier = [dict(a) for a in event["previousAttempts"]]
    missing = int(event["attempt"]) - 1 - len(earlier)
    return {"this": event["attempt"], "earlier": earlier, "missing": max(missing, 0)}


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
        "byproducts": [b for b in predicate["byproducts"] if b["name"] not in OWN_FILES],
        "retention": predicate["retention"],
    }
