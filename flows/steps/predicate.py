"""The statement, from the facts that the steps have left."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from flows.records import audit_cost, provenance
from flows.state.facts import (
    Accepted,
    AcceptedRequest,
    Data,
    DataVersion,
    Edit,
    Json,
    Model,
    Plan,
    PreviousAttempt,
)
from flows.state.journal import read
from flows.state.paths import Attempt
from flows.steps.method_cost import MethodCost

if TYPE_CHECKING:
    from compliance.documents.policy import Policy
    from compliance.verdict import Verdict

CHAMPION = "champion"
"""The alias that moves on PASSED."""
STEM = 60
"""Characters of a file's name that its model is called by."""


def statement_of(
    attempt: Attempt,
    accepted: Accepted,
    data: Data,
    model: Model,
    plan: Plan,
    edit: Edit,
    verdict: Verdict,
    *,
    method: Json,
    propagation: Sequence[Json],
    byproducts: Sequence[Json],
    qualification: Json | None = None,
) -> Json:
    """The statement about the model after, valid by its schema.

    Args:
        attempt: And so on, to `edit`: what the steps have left.
        verdict: On the findings.
        method: What was done to the weights.
        propagation: What still holds the classes.
        byproducts: Files that it names by digest.
        qualification: What it rests on, where no model was retrained.
    Raises:
        StatementError: A part contradicts another.
    """
    from compliance.signing import statement
    from flows.state import keyring

    now = datetime.now(UTC)
    return statement.build(
        name=attempt.after.name,
        sha256=edit.after.sha256,
        event=_event(attempt, accepted, now),
        request=_request(attempt, accepted),
        inputs=_inputs(data, model),
        method=method,
        auditPlan=_plan(accepted.policy, plan),
        audits=verdict.audits_json(),
        controls=verdict.controls_json(),
        verdict=verdict.to_json(),
        propagation=list(propagation),
        registration=_registration(accepted, model, verdict),
        retention=_retention(now, accepted.policy),
        byproducts=byproducts,
        demoKey=keyring.signing_key(attempt.home, "executor").demo,
        qualification=qualification,
    )


def _event(attempt: Attempt, accepted: Accepted, now: datetime) -> Json:
    from compliance.ledger import Ledger

    return {
        "id": attempt.event,
        "attempt": attempt.number,
        "previousAttempts": [_previous(each) for each in accepted.previous],
        "ledger": Ledger(attempt.home.ledger).position(),
        "startedAt": accepted.started,
        "finishedAt": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "monotonicSeconds": _seconds(attempt),
        "cost": audit_cost.of_attempt(attempt),
        **_attempts(attempt, accepted),
    }


def _attempts(attempt: Attempt, accepted: Accepted) -> Json:
    """Which of the declared attempts this is, and what each took; nothing where none are."""
    if not isinstance(accepted, AcceptedRequest) or accepted.rung is None:
        return {}
    rung = accepted.rung
    numbers = [earlier.attempt for earlier in accepted.previous] + [attempt.number]
    return {
        "attempts": {
            "place": rung.place,
            "declared": list(rung.declared),
            "level": rung.level,
            "skipped": [each.to_json() for each in rung.skipped],
            "costs": [
                cost
                for number in numbers
                for cost in _cost(Attempt(attempt.home, attempt.event, number))
            ],
        }
    }


def _cost(attempt: Attempt) -> Iterator[Json]:
    """What an attempt's model took to make; nothing where that was not kept."""
    if not attempt.edit.exists():
        return
    kept = json.loads(attempt.edit.read_text()).get("cost")
    if kept is not None:
        cost = MethodCost.from_json(kept)
        yield {
            "attempt": attempt.number,
            "operations": cost.operations,
            "retrainingOperations": cost.retraining,
            "share": cost.share,
            "seconds": cost.seconds,
            "retrainingSeconds": cost.retraining_seconds,
        }


def _previous(earlier: PreviousAttempt) -> Json:
    return {
        "attempt": earlier.attempt,
        "statementDigest": earlier.statement,
        "verdict": earlier.verdict,
    }


def _seconds(attempt: Attempt) -> float:
    """That the attempt's steps took, by a clock that cannot jump."""
    return round(sum(note.get("seconds", 0.0) for note in read(attempt)), 3)


def _request(attempt: Attempt, accepted: Accepted) -> Json:
    return {
        "id": attempt.event,
        "digest": accepted.digest,
        "regulation": accepted.regulation,
        "receivedAt": accepted.received,
        "dueAt": accepted.due,
        "scope": {"type": "class", "indices": list(accepted.forget)},
        "verifiedBy": accepted.verified_by,
    }


def _inputs(data: Data, model: Model) -> Json:
    from flows.state.settings import settings

    def version(part: DataVersion) -> Json:
        return {"name": data.name, "version": part.version, "rows": part.rows}

    return {
        "modelBefore": {
            "digest": {"sha256": model.file.sha256},
            "registry": model.registry.to_json() if model.registry else None,
            "architecture": model.architecture,
            "parameters": model.parameters,
            **_preprocessing(data),
        },
        "dataBefore": version(data.before),
        "dataAfter": version(data.after),
        "forgetSet": data.forget_set.to_json(),
        "retainSet": data.retain_set.to_json(),
        "code": provenance.code(),
        "environment": provenance.environment(),
        "device": provenance.device(settings().device),
    }


def _preprocessing(data: Data) -> Json:
    """What the model saw of each image, where that was not the image as it is."""
    applied = data.spec.preprocessing
    return (
        {"preprocessing": {"spec": applied.content(), "sha256": applied.digest()}}
        if applied
        else {}
    )


def _plan(policy: Policy, plan: Plan) -> Json:
    return {
        "digest": plan.digest,
        "ledgerSequence": plan.sequence,
        "registeredAt": plan.registered_at,
        "seed": plan.seed,
        "seedSource": plan.seed_source,
        "policy": {"name": policy.name, "digest": policy.digest()},
        "expectedPower": plan.expected_power,
    }


def _registration(accepted: Accepted, model: Model, verdict: Verdict) -> Json | None:
    """What is to be registered; nothing is where a claim was audited."""
    if not isinstance(accepted, AcceptedRequest):
        return None
    return {
        "name": registered_name(accepted, model),
        "version": None,
        "intendedAlias": CHAMPION,
        "aliasMoves": verdict.result == "PASSED",
    }


def registered_name(accepted: AcceptedRequest, model: Model) -> str:
    """The model's name in the registry: its own, the request's, or one of its file and bytes.

    The digits of the bytes keep two files of one name apart.
    """
    if model.registry is not None:
        return model.registry.name
    named = accepted.request.model
    if named.name is not None:
        return named.name
    stem = re.sub(r"[^A-Za-z0-9_]+", "-", Path(str(named.file)).stem)[:STEM].strip("-")
    return f"{stem or 'model'}-{model.file.sha256[:8]}"


def _retention(now: datetime, policy: Policy) -> Json:
    def after(days: int) -> str:
        return (now + timedelta(days=days)).isoformat(timespec="seconds").replace("+00:00", "Z")

    return {"keepUntil": after(policy.keep_days), "reauditDue": after(policy.reaudit_days)}


def method_of(attempt: Attempt, accepted: AcceptedRequest, edit: Edit) -> Json:
    """What this event did to the weights."""
    from damp.version import __version__

    record = json.loads(attempt.edit.read_text())
    parts = ("operators", "skipped", "recalibrated", "headOnly")
    return {
        "name": accepted.method.preset if _is_no_preset(accepted) else "damp",
        "version": __version__,
        "parameters": {
            "retire": True,
            **_parameters(accepted),
            "retired": list(edit.retired),
            "seed": edit.seed,
        },
        **{part: record[part] for part in parts},
        **{part: record[part] for part in ("renewed", "other") if part in record},
        "repairs": record["repairs"] if "repairs" in record else _former_repairs(record),
        **{part: record[part] for part in ("goals", "standIn") if part in record},
    }


def _parameters(accepted: AcceptedRequest) -> Json:
    """Of the surgery; settings and source of another method stand under `other`."""
    return {k: v for k, v in accepted.method_json().items() if k not in ("settings", "code")}


def _is_no_preset(accepted: AcceptedRequest) -> bool:
    method = accepted.method
    return method.retrains or method.renews or method.is_other


def _former_repairs(record: Json) -> list[Json]:
    """The repairs of an edit that was made when each had a key of its own."""
    former = (("low_rank_update", "rewritten"), ("head_refit", "mended"))
    return [{"kind": kind, "layer": record[key]} for kind, key in former if record.get(key)]


def propagation_of(
    attempt: Attempt, accepted: AcceptedRequest, data: Data, model: Model
) -> list[Json]:
    """What still holds the class: damp deletes nothing behind its user's back, it says so."""
    from flows.intake import requests
    from flows.records import inventory

    scope = inventory.Scope(
        event=attempt.event,
        before=model.file.sha256,
        failed=tuple(_failed(attempt, accepted)),
        data=data.name,
        source=data.spec.in_words(),
        data_before=data.before.version,
        data_after=data.after.version,
        forget=accepted.forget,
        file=requests.named_file(accepted.request, Path(accepted.origin)),
        name=registered_name(accepted, model),
    )
    return list(inventory.to_json(inventory.inventory(attempt.home, scope)))


def _failed(attempt: Attempt, accepted: AcceptedRequest) -> Iterator[str]:
    """Digests of the models of earlier attempts that did not pass."""
    from compliance.signing import envelope

    for earlier in accepted.previous:
        if earlier.verdict != "PASSED":
            path = Attempt(attempt.home, attempt.event, earlier.attempt).statement
            yield envelope.decoded(path)["subject"][0]["digest"]["sha256"]
