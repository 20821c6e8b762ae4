"""The statement's parts, from the facts that the steps have left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flows.records import audit_cost, provenance
from flows.state.journal import read
from flows.state.paths import Attempt, Home

if TYPE_CHECKING:
    from compliance.verdict import Verdict

Facts = dict[str, Any]

CHAMPION = "champion"
"""The alias that moves on PASSED."""


def parts(
    home: Home,
    attempt: Attempt,
    accepted: Facts,
    data: Facts,
    model: Facts,
    plan: Facts,
    edit: Facts,
    verdict: Verdict,
    propagation: Sequence[Facts],
    *,
    method: Facts,
) -> Facts:
    """The statement's parts, all but the byproducts; `method` is what was done to the weights."""
    from compliance.ledger import Ledger
    from flows.state import keyring

    now = datetime.now(UTC)
    return {
        "name": attempt.after.name,
        "sha256": edit["after"]["sha256"],
        "event": {
            "id": attempt.event,
            "attempt": attempt.number,
            "previousAttempts": accepted["previous"],
            "ledger": Ledger(home.ledger).position(),
            "startedAt": accepted["started"],
            "finishedAt": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "monotonicSeconds": _worked(attempt),
            "cost": audit_cost.of_attempt(attempt),
        },
        "request": {
            "id": attempt.event,
            "digest": accepted["request_digest"],
            "regulation": accepted["regulation"],
            "receivedAt": accepted["received"],
            "dueAt": accepted["due"],
            "scope": {"type": "class", "indices": accepted["forget"]},
            "verifiedBy": accepted["verified_by"],
        },
        "inputs": _inputs(data, model),
        "method": method,
        "auditPlan": {
            "digest": plan["digest"],
            "ledgerSequence": plan["sequence"],
            "registeredAt": plan["registered_at"],
            "seed": plan["seed"],
            "seedSource": plan["seed_source"],
            "policy": {"name": accepted["policy"]["name"], "digest": accepted["policy_digest"]},
            "expectedPower": plan["expected_power"],
        },
        "audits": verdict.audits_json(),
        "controls": verdict.controls_json(),
        "verdict": verdict.to_json(),
        "propagation": list(propagation),
        "registration": {
            "name": registered_name(data, model),
            "version": None,
            "intendedAlias": CHAMPION,
            "aliasMoves": verdict.result == "PASSED",
        },
        "retention": _retention(now, accepted["policy"]),
        "demoKey": keyring.signing_key(home, "executor").demo,
    }


def registered_name(data: Facts, model: Facts) -> str:
    """The model's name in the registry: its own, or that of its data where it came as a file."""
    registry = model["registry"]
    return str(registry["name"] if registry else f"{data['name']}-from-file")


def _worked(attempt: Attempt) -> float:
    """Seconds that the attempt's steps took, by a clock that cannot jump."""
    return round(sum(note.get("seconds", 0.0) for note in read(attempt)), 3)


def _inputs(data: Facts, model: Facts) -> Facts:
    from flows.state.settings import settings

    def version(part: str) -> Facts:
        return {"name": data["name"]} | {k: data[part][k] for k in ("version", "rows")}

    return {
        "modelBefore": {
            "digest": {"sha256": model["file"]["sha256"]},
            "registry": model["registry"],
            "architecture": model["architecture"],
            "parameters": model["parameters"],
        },
        "dataBefore": version("before"),
        "dataAfter": version("after"),
        "forgetSet": data["forget_set"],
        "retainSet": data["retain_set"],
        "code": provenance.code(),
        "environment": provenance.environment(),
        "device": provenance.device(settings().device),
    }


def method_of(attempt: Attempt, accepted: Facts, edit: Facts) -> Facts:
    """What this event did to the weights."""
    from damp.version import __version__

    done = json.loads(attempt.edit.read_text())
    method = accepted["method"]
    return {
        "name": "retrain" if method["preset"] == "retrain" else "damp",
        "version": __version__,
        "parameters": {"retire": True}
        | method
        | {"retired": edit["retired"], "seed": edit["seed"]},
        "operators": done["operators"],
        "skipped": done["skipped"],
        "recalibrated": done["recalibrated"],
        "repairs": [
            {"kind": kind, "layer": done[field]}
            for kind, field in (("low_rank_update", "rewritten"), ("head_refit", "mended"))
            if done.get(field)  # an edit cut before the preset was there has none
        ],
        "headOnly": done["headOnly"],
    }


def artefacts(
    home: Home, attempt: Attempt, accepted: Facts, data: Facts, model: Facts
) -> list[Facts]:
    """What still holds the class: damp deletes nothing behind its user's back, it says so."""
    from flows.intake import requests
    from flows.records import inventory

    scope = inventory.Scope(
        event=attempt.event,
        before=model["file"]["sha256"],
        failed=tuple(_failed(attempt, accepted)),
        data=data["name"],
        source=requests.source_of(home, attempt.event),
        data_before=data["before"]["version"],
        data_after=data["after"]["version"],
    )
    return inventory.to_json(inventory.inventory(home, scope))


def _failed(attempt: Attempt, accepted: Facts) -> Iterator[str]:
    """Digests of the models of earlier attempts that did not pass."""
    from compliance.signing import envelope

    for earlier in accepted["previous"]:
        if earlier["verdict"] != "PASSED":
            path = Attempt(attempt.home, attempt.event, earlier["attempt"]).statement
            yield envelope.decoded(path)["subject"][0]["digest"]["sha256"]


def _retention(now: datetime, policy: Facts) -> Facts:
    def after(days: int) -> str:
        return (now + timedelta(days=days)).isoformat(timespec="seconds").replace("+00:00", "Z")

    return {"keepUntil": after(policy["keep_days"]), "reauditDue": after(policy["reaudit_days"])}
