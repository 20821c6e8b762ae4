"""The statement of one attempt: an in-toto Statement v1 with our own, strict predicate.

Its subject is the model *after* and nothing else, so that a gate which matches digests can never
find a PASSED for the model that still holds the class. docs/record.md explains each part.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from compliance.formats import strict_json
from compliance.formats.errors import StatementError
from compliance.signing.facts import Predicate, Statement

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:damp:attestation:unlearning-event:v1"
SCHEMA = "schemas/statement-v1.json"
SHOWN = 20  # schema violations that a message lists

Json = Mapping[str, Any]


def build(
    *,
    name: str,
    sha256: str,
    event: Json,
    request: Json,
    inputs: Json,
    method: Json,
    auditPlan: Json,
    audits: Sequence[Json],
    controls: Sequence[Json],
    verdict: Json,
    propagation: Sequence[Json],
    registration: Json | None,
    retention: Json,
    byproducts: Sequence[Json],
    demoKey: bool,
    qualification: Json | None = None,
) -> dict[str, Any]:
    """The statement about the model after, valid by the schema and free of contradictions.

    Args:
        name: File name of the model after.
        sha256: Digest of its bytes, 64 hexadecimal digits.
        event: And so on: the predicate's parts, under the names that they have there.
    Raises:
        StatementError: a part is missing or unknown, has the wrong form, or contradicts another.
    """
    predicate = {
        "event": event,
        "request": request,
        "inputs": inputs,
        "method": method,
        "auditPlan": auditPlan,
        "audits": audits,
        "controls": controls,
        "verdict": verdict,
        "propagation": propagation,
        "registration": registration,
        "retention": retention,
        "byproducts": byproducts,
        "demoKey": demoKey,
        **({} if qualification is None else {"qualification": qualification}),
    }
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    normal: dict[str, Any] = json.loads(strict_json.canonical(statement))
    validate(normal)
    return normal


def canonical(statement: Json) -> bytes:
    """The bytes that are signed, RFC 8785."""
    return strict_json.canonical(statement)


def validate(statement: Any) -> None:
    """Check form and consistency.

    Raises:
        StatementError: with every problem that was found.
    """
    problems = schema_problems(statement) or contradictions(Statement.of(statement))
    if problems:
        raise StatementError(problems)


def schema_problems(statement: Any) -> list[str]:
    """Where the statement departs from schemas/statement-v1.json, as place and reason."""
    from jsonschema import Draft202012Validator

    schema = json.loads(files("compliance").joinpath(SCHEMA).read_bytes())
    errors = Draft202012Validator(schema).iter_errors(statement)
    lines = [f"{_place(error.absolute_path)}: {_short(error.message)}" for error in errors]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return lines[:SHOWN] + more


def _place(path: Sequence[str | int]) -> str:
    return "/".join(str(part) for part in path) or "the statement"


def _short(message: str) -> str:
    return message if len(message) < 300 else f"{message[:140]} ... {message[-140:]}"


def contradictions(statement: Statement) -> list[str]:
    """Where a statement of the right form says two things that cannot both be true."""
    return list(_contradictions(statement))


def _contradictions(statement: Statement) -> Iterator[str]:
    predicate = statement.predicate
    event, verdict = predicate.event, predicate.verdict
    if statement.model_after == predicate.inputs.model_before.digest.sha256:
        yield "The model after has the digest of the model before: nothing was changed."
    listed = [attempt.attempt for attempt in event.previous_attempts]
    if listed != list(range(1, event.attempt)):
        yield f"Attempt {event.attempt} must list every earlier attempt; it lists {listed}."
    for control in predicate.controls:
        if control.as_expected and control.expected == "FAILED" != control.result:
            yield f"Control {control.name} came out {control.result}, which is not FAILED."
    if predicate.audit_plan.ledger_sequence >= event.ledger.sequence:
        yield "The audit plan was registered after the statement was written."
    if verdict.result == "PASSED":
        yield from _unfounded(predicate)
        yield from _uncovered(predicate)


def _unfounded(predicate: Predicate) -> Iterator[str]:
    """What a PASSED needs and does not have."""
    if not predicate.required:
        yield "PASSED, but no measurement was required."
    for row in predicate.required:
        if row.outcome != "within":
            yield f"PASSED, but {row.title} is {row.outcome}."
    if predicate.verdict.assurance == "L1":
        yield "PASSED at L1: outputs alone never show that a class was erased."
    wrong = [control.name for control in predicate.controls if not control.as_expected]
    if wrong or not predicate.controls:
        yield f"PASSED, but controls misbehaved or are missing: {', '.join(wrong) or 'all'}."


def _uncovered(predicate: Predicate) -> Iterator[str]:
    """What a PASSED under a qualification needs and does not have."""
    basis = predicate.qualification
    if basis is None:
        return
    if basis.problems:
        yield f"PASSED, but its qualification does not cover it: {' '.join(basis.problems)}"
    if predicate.verdict.assurance == "L3":
        yield "PASSED at L3, but no model was retrained: it rests on a qualification."
    if basis.kept is None or basis.thresholds is None:
        yield "PASSED under a qualification, but what is kept of the class was not measured."
