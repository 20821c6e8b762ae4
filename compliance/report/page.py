"""All that the report says, as plain data: the page shows it, `report.json` holds it.

`sections.py` says in which order a reader meets it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict, Unpack

from compliance.formats import typed
from compliance.ledger.entry_text import WORDS
from compliance.presentation import labels, row_text
from compliance.presentation.next_steps import NextStep
from compliance.report import (
    controls_section,
    coverage_section,
    mappings,
    officer,
    sections,
    verdict_section,
)
from compliance.report.officer import Reader
from compliance.signing import Statement
from compliance.signing.facts import Attempts, Cost, EventFacts, Predicate

Json = Mapping[str, Any]

FORMAT = "damp/report/v1"
PROMOTED = WORDS["model_promoted"]
"""How the ledger says that a model was put into use."""

OWN_FILES = frozenset({"report.html", "report.json"})
"""Byproducts that the report itself is: it cannot hold their digests."""

STANDING_LIMITS = (
    "The claim is evidence against the attacks listed here, at the power stated. It says nothing "
    "about attacks that were not run.",
    "Editing a model does not satisfy an order to delete the model: the old one and its copies "
    f"must be dealt with as well ({sections.part('propagation')}).",
    "The audits speak about whole classes and this model. They do not speak about single "
    "persons, nor about other models trained on the same data.",
    "No test can exclude that the owner of the model deceived the tool. An auditor can run the "
    f"attempt again and compare digests ({sections.part('reproduce')}).",
    "This report is not legal advice. Whether it suffices is for the controller and a lawyer to "
    "decide.",
)


class Shown(TypedDict, total=False):
    """What a report shows beside the statement.

    Attributes:
        findings: The candidate's findings as JSON; their `series` feed the pictures.
        controls: Findings of the controls by name; what could not be measured on them is shown
            under coverage. May be left out.
        signatures: One dict per signature or awaited signature: `role`, `keyId` (None while it is
            awaited), `demo`, `note`.
        verify_command: The command with which a reader checks the statement.
        reproduce_command: The command with which a reader runs the attempt again.
        since: What the ledger holds since the statement was signed (`since_signed.since`); None
            for the page as it is filed.
        next: What to do next, as `presentation.next_steps` computes it.
        reader: For whom the officer's pages are written: language, names, labels.
    """

    findings: Required[Sequence[Json]]
    controls: Mapping[str, Sequence[Json]] | None
    signatures: Sequence[Json]
    verify_command: Required[str]
    reproduce_command: Required[str]
    since: Json | None
    next: Sequence[NextStep]
    reader: Reader


def report_json(statement: Json, **shown: Unpack[Shown]) -> dict[str, Any]:
    """What the page says, as JSON for machines: figures, outcomes and the words for them.

    What was recorded is taken over as it stands; what is counted or worded is read from the typed
    facts.

    Args:
        statement: The decoded in-toto statement, valid by the statement schema.
        shown: See `Shown`.
    """
    findings, since = shown["findings"], shown.get("since")
    signatures = shown.get("signatures", ())
    raw = dict(statement["predicate"])
    if since is not None:  # the artefacts as the ledger knows them now
        raw["propagation"] = since["propagation"]
    facts = Statement.of({**statement, "predicate": raw})
    own, steps = facts.predicate, shown.get("next", ())
    used = _used(since)
    return {
        "format": FORMAT,
        "about": _about(own),
        "officer": officer.pages(
            {**statement, "predicate": raw},
            facts,
            reader=shown.get("reader", Reader()),
            steps=steps,
            signatures=signatures,
            used=used,
        ),
        "used": used,
        "since": None if since is None else {k: since[k] for k in ("entries", "at", "facts")},
        "verdict": verdict_section.verdict(statement, facts, signatures, used),
        "next": [step.to_json() for step in steps],
        "asked": raw["request"] | {"scopeWords": scope(own.request.scope.indices)},
        "done": _done(statement["subject"], raw, own),
        "evidence": row_text.by_audit(own.audits, findings),
        "controls": [controls_section.control(c) for c in own.controls],
        "controlFigures": controls_section.figures(own.controls),
        "coverage": coverage_section.coverage(own.audits, findings, shown.get("controls") or {}),
        "limits": row_text.limits_once([*own.verdict.limits, *STANDING_LIMITS], own.audits),
        "attempts": _attempts(own.event),
        "propagation": [verdict_section.artefact(a) for a in own.propagation],
        "supports": mappings.for_regulation(own.request.regulation),
        "signoff": [{key: s.get(key) for key in SIGNATURE} for s in signatures],
        "reproduce": _reproduce(raw, own, shown),
    }


def _used(since: Json | None) -> str:
    """Since when the model after is in use, as the ledger says; "" where it does not."""
    promoted = PROMOTED[0]
    times = [f["at"] for f in since["facts"] if f["what"] == promoted] if since else []
    return str(times[0]) if times else ""


SIGNATURE = ("role", "keyId", "demo", "note")


def scope(indices: Sequence[int]) -> str:
    """The scope in words: "class 8", "classes 3 and 8"."""
    *most, last = [str(index) for index in indices] or [""]
    if not last:
        return "no class named"
    return f"classes {', '.join(most)} and {last}" if most else f"class {last}"


def _about(own: Predicate) -> dict[str, Any]:
    """What identifies the page: the header's facts."""
    return {
        "event": own.event.id,
        "attempt": own.event.attempt,
        "endedAt": own.event.finished_at,
        "policy": own.audit_plan.policy.name,
        "ledger": own.event.ledger.origin,
        "version": own.inputs.code.version,
    }


def _done(subject: Sequence[Json], raw: Json, own: Predicate) -> dict[str, Any]:
    inputs = ("modelBefore", "dataBefore", "dataAfter", "forgetSet", "retainSet")
    repairs = [typed.plain(r) | {"words": labels.repair(r.kind)} for r in own.method.repaired]
    return {
        "modelAfter": list(subject),
        **{key: raw["inputs"][key] for key in inputs},
        "method": raw["method"] | {"repairs": repairs},
        "registration": raw["registration"],
        "startedAt": own.event.started_at,
        "finishedAt": own.event.finished_at,
        "seconds": own.event.monotonic_seconds,
        "cost": _cost(own.event.cost),
    }


def _cost(cost: Cost | None) -> dict[str, Any] | None:
    """What the audits cost, the dearest first; None in a statement that does not say."""
    if cost is None:
        return None
    dearest = sorted(cost.cpu_seconds.items(), key=lambda pair: -pair[1])
    return typed.plain(cost) | {
        "cpuSeconds": dict(dearest),
        "seconds": round(sum(cost.cpu_seconds.values()), 3),
        "candidateTotal": round(sum(cost.candidate_forward_passes.values()), 2),
    }


def _attempts(event: EventFacts) -> dict[str, Any]:
    missing = event.attempt - 1 - len(event.previous_attempts)
    return {
        "this": event.attempt,
        "earlier": typed.plain(event.previous_attempts),
        "missing": max(missing, 0),
        "declared": None if event.attempts is None else _declared(event.attempts),
    }


def _declared(attempts: Attempts) -> dict[str, Any]:
    """The attempts that the policy declares, and this one among them."""
    return typed.plain(attempts) | {
        "of": len(attempts.declared),
        "method": attempts.declared[attempts.place - 1],
    }


def _reproduce(raw: Json, own: Predicate, shown: Shown) -> dict[str, Any]:
    return {
        "verifyCommand": shown["verify_command"],
        "reproduceCommand": shown["reproduce_command"],
        "event": raw["event"],
        "plan": raw["auditPlan"],
        "methodSeed": own.method.parameters.get("seed"),
        **{key: raw["inputs"][key] for key in ("code", "environment", "device", "forgetSet")},
        "byproducts": [b for b in raw["byproducts"] if b["name"] not in OWN_FILES],
        "retention": raw["retention"],
    }
