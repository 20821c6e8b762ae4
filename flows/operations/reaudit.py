"""Audit a finished event again: after ninety days, and when the suite of audits has changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from compliance.ledger import Entry, Ledger, states
from compliance.signing import envelope
from flows.state import logs
from flows.state.errors import EventError
from flows.state.files import Artifact, canonical, digest_bytes, digest_file, write_atomically
from flows.state.paths import Attempt, Home

if TYPE_CHECKING:
    from compliance.documents.policy import Policy

Facts = dict[str, Any]


def suite() -> str:
    """The audits as they are now: their names and damp's version."""
    from audits import AUDITS
    from damp.version import __version__

    return digest_bytes(canonical([__version__, sorted(AUDITS)]))[:16]


def due(home: Home, *, now: datetime | None = None) -> list[str]:
    """Events whose model in use must be audited again, the longest overdue first."""
    entries = Ledger(home.ledger).entries()
    today = now or datetime.now(UTC)
    dates = [
        (_due_at(home, event, entries), event.id)
        for event in states.events(entries).values()
        if event.state is states.State.CLOSED and event.verdict == "PASSED" and not event.claim
    ]
    return [event for date, event in sorted(dates) if date <= today]


def _due_at(home: Home, event: states.Event, entries: list[Entry]) -> datetime:
    """From the statement, then from the last re-audit; at once where the suite is another."""
    again = [e for e in entries if e["event"] == event.id and e["kind"] == "reaudited"]
    attempt = Attempt(home, event.id, event.attempt)
    if not again:
        told = envelope.decoded(attempt.statement)["predicate"]["retention"]["reauditDue"]
        return datetime.fromisoformat(told)
    last = again[-1]
    made = datetime.fromisoformat(last["time"])
    if last["body"]["suite"] != suite():
        return made
    return made + timedelta(days=policy_of(attempt).reaudit_days)


def policy_of(attempt: Attempt) -> Policy:
    """The policy that the attempt's plan fixed."""
    from compliance.documents.policy import Policy

    return Policy.model_validate(json.loads(attempt.plan.read_text())["policy"])


def reaudit(home: Home, event: str) -> Facts:
    """Run every audit again on the model that the event has left, and log what came out.

    The pinned model before, the same data and the cached references are the yardstick; the seed
    comes from the ledger, so that nobody can choose it.

    Returns:
        `event`, `verdict`, `why`, `findings`: the path of the new findings.

    Raises:
        EventError: The data have changed since, or a file is not the one that was signed.
    """
    attempt, facts = facts_of(home, event)
    seed = int(Ledger(home.ledger).head()[:8], 16)
    findings, controls = measured(home, facts, seed)
    from compliance import judge

    verdict = judge(findings, controls, policy_of(attempt))
    content = {
        "candidate": [finding.to_json() for finding in findings],
        "controls": {name: [f.to_json() for f in found] for name, found in controls.items()},
    }
    path = attempt.folder / "reaudits" / f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.json"
    write_atomically(path, json.dumps(content, indent=1).encode())
    body = {
        "attempt": attempt.number,
        "verdict": verdict.result,
        "findings": digest_file(path),
        "suite": suite(),
        "seed": seed,
    }
    Ledger(home.ledger).append("reaudited", event, body)
    logs.event(event, attempt.number).info("re-audited: %s", verdict.result)
    why = "; ".join(verdict.reasons)
    return {"event": event, "verdict": verdict.result, "why": why, "findings": home.relative(path)}


def facts_of(home: Home, event: str) -> tuple[Attempt, Facts]:
    """The signed attempt of an event, and what its steps knew of data, models and references.

    Raises:
        EventError: Nothing was signed, a file is not the one that was, or the data have changed.
    """
    known = states.current(Ledger(home.ledger).entries(), event)
    attempt = Attempt(home, event, known.attempt)
    if not attempt.statement.exists():
        raise EventError(f"Event {event} is {known.state.value}: nothing was signed yet. Run it.")
    return attempt, _facts(home, attempt, envelope.decoded(attempt.statement))


def seed_of(attempt: Attempt) -> int:
    """The seed that the attempt's plan fixed."""
    return int(json.loads(attempt.plan.read_text())["seed"])


def _facts(home: Home, attempt: Attempt, statement: Facts) -> Facts:
    """From what the steps have left: plan, pinned model, statement."""
    from compliance.documents.request import load_request
    from flows.data import loaders
    from flows.data import versions as dataversions
    from flows.intake import requests
    from flows.models import weights
    from flows.steps import references

    plan = json.loads(attempt.plan.read_text())
    request = load_request(attempt.reproduce)
    spec = requests.data_spec(request, attempt.folder)
    dataset = loaders.load(spec)
    before = Artifact.of(home.root, attempt.folder / "before.safetensors").to_json()
    after = Artifact.of(home.root, attempt.after).to_json()
    signed = statement["subject"][0]["digest"]["sha256"]
    if (before["sha256"], after["sha256"]) != (plan["modelBefore"], signed):
        raise EventError(
            f"The models in {attempt.folder} are not the ones that were signed. Restore them."
        )
    metadata = weights.read_metadata(attempt.folder / "before.safetensors")
    retired = weights.retired_outputs(metadata)
    versions = dataversions.before_and_after(dataset, plan["forget"], home, retired=retired)
    if [version.version for version in versions] != [plan["dataBefore"], plan["dataAfter"]]:
        raise EventError(
            f"The data of event {attempt.event} have changed since: they are now "
            f"{versions[0].version}, the event was about {plan['dataBefore']}. Bring them back."
        )
    data = {
        "spec": {"name": spec.name, "root": spec.root},
        "classes": dataset.classes,
        "forget": plan["forget"],
        "before": versions[0].to_json(),
        "unseen": requests.unseen_spec(request.unseen, attempt.folder),
    }
    model = {
        "file": before,
        "architecture": request.model.architecture,
        "input_shape": list(dataset.input_shape),
        "retired": retired,
    }
    judges = references.trained_for(home, plan, data, model)
    edit = {"after": after, "retired": sorted(retired + plan["forget"])}
    return {"data": data, "model": model, "references": judges, "edit": edit}


def measured(home: Home, facts: Facts, seed: int) -> Any:
    """Findings on the candidate, and on each control by its name."""
    from flows.steps import audit

    return audit.measured(home, **facts, plan={"seed": seed})
