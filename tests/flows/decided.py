"""A state folder in which an event stands anywhere in its life, made without running anything.

`put(home, ...)` files a request as `damp submit` does after its checks; `decide(home, ...)` leaves
what an attempt leaves: model, findings, plan, report, signed statement, ledger entries. Figures are
those of tests/compliance/example.py.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from compliance.documents import deadlines
from compliance.documents.policy import Policy
from compliance.documents.request import parse_request
from compliance.ledger import Ledger
from compliance.signing import envelope, statement
from compliance.verdict import judge
from flows.intake import clock, requests
from flows.state import keyring
from flows.state.paths import Attempt, Home

Facts = dict[str, Any]
COMPLIANCE = Path(__file__).parents[1] / "compliance"

REQUEST = """\
apiVersion: damp/v1
kind: ErasureRequest
subject_request_id: {id}
regulation: {regulation}
submitted_time: 2026-09-20T08:00:00Z
scope: {{type: class, selector: {{index: 8}}}}
model: {{registry: "digits@champion"}}
data: {{name: digits}}
recipe: digits
policy: policy.yaml
"""


def example() -> ModuleType:
    """tests/compliance/example.py."""
    name = "compliance_example"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, COMPLIANCE / "example.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def policy(**changes: Any) -> Policy:
    content = example().policy().model_dump(mode="json")
    if "attempts" in changes:  # they say what the two others say
        del content["fallback"], content["max_attempts"]
    return Policy.model_validate(content | changes)


def put(
    home: Home,
    *,
    regulation: str = "gdpr",
    received: datetime | None = None,
    more: str = "",
    **changes: Any,
) -> str:
    """File a request, with more lines, under a policy with these changes; its id."""
    identity = str(uuid.uuid4())
    origin = home.root.parent / f"from-{identity[:8]}"
    origin.mkdir(parents=True)
    rules = policy(**changes)
    (origin / "policy.yaml").write_text(json.dumps(rules.model_dump(mode="json")))
    text = REQUEST.format(id=identity, regulation=regulation) + more
    request = parse_request(text)
    now = datetime.now(UTC)
    started = clock.of_request(request, rules, received=now, now=now)
    requests.receive(home, request, rules, text.encode(), origin, started)
    if received is not None:
        _received_at(home, identity, request.regulation, rules, received)
    return identity


def _received_at(
    home: Home, event: str, regulation: str, rules: Policy, received: datetime
) -> None:
    """The same receipt at another time: the ledger's last entry is written anew."""
    lines = home.ledger.read_bytes().splitlines(keepends=True)
    body = json.loads(lines[-1])["body"]
    home.ledger.write_bytes(b"".join(lines[:-1]))
    due = deadlines.due_at(received, regulation, rules)
    body |= {"received": received.isoformat(), "due": due.isoformat()}
    Ledger(home.ledger).append_once("request_received", event, "receipt", body)


def decide(
    home: Home,
    event: str,
    *,
    verdict: str = "PASSED",
    number: int = 1,
    with_report: bool = False,
    before: bytes = b"the old weights",
    versions: tuple[str, str] | None = None,
) -> Attempt:
    """Leave a decided attempt behind, signed by the executor of this state folder."""
    keyring.ensure_demo_key(home)
    attempt, ledger = Attempt(home, event, number), Ledger(home.ledger)
    attempt.folder.mkdir(parents=True)
    key = f"attempt-{number}"
    previous = _previous(ledger, event)
    body = {"attempt": number, "method": {"preset": "mixture"}}
    ledger.append_once("attempt_started", event, key, body, checked=True)
    attempt.after.write_bytes(f"weights {event} {number}".encode())
    (attempt.folder / "before.safetensors").write_bytes(before)
    parts = _parts(ledger, attempt, verdict, previous)
    parts["inputs"]["modelBefore"]["digest"]["sha256"] = hashlib.sha256(before).hexdigest()
    for part, version in zip(("dataBefore", "dataAfter"), versions or (), strict=False):
        parts["inputs"][part]["version"] = version
    _write(attempt, parts, keyring.signing_key(home, "executor"), with_report=with_report)
    digest = envelope.digest(attempt.statement.read_bytes())
    signed = {"attempt": number, "verdict": verdict, "statement": digest}
    ledger.append_once("statement_signed", event, key, signed, checked=True)
    ledger.append_once(
        "attempt_closed", event, key, {"attempt": number, "verdict": verdict}, checked=True
    )
    return attempt


def _previous(ledger: Ledger, event: str) -> list[Facts]:
    return [
        {
            "attempt": e["body"]["attempt"],
            "statementDigest": e["body"]["statement"],
            "verdict": e["body"]["verdict"],
        }
        for e in ledger.of(event, "statement_signed")
    ]


def _parts(ledger: Ledger, attempt: Attempt, verdict: str, previous: list[Facts]) -> Facts:
    record = example()
    planted = {"FAILED": {"few_shot__1_at_penultimate": 0.92}}.get(verdict, {})
    controls = record.controls()
    if verdict == "INCONCLUSIVE":
        controls["original"] = record.findings()
    judged = judge(record.findings(**planted), controls, record.policy())
    assert judged.result == verdict
    parts: Facts = record.parts(judged)
    digest = hashlib.sha256(f"plan {attempt.event} {attempt.number}".encode()).hexdigest()
    entry = ledger.append_once(
        "plan_registered",
        attempt.event,
        f"attempt-{attempt.number}",
        {"plan": {}, "digest": digest, "attempt": attempt.number},
        checked=True,
    )
    now = datetime.now(UTC)
    parts["sha256"] = hashlib.sha256(attempt.after.read_bytes()).hexdigest()
    parts["auditPlan"] |= {"digest": digest, "ledgerSequence": entry["seq"]}
    parts["event"] |= {
        "id": attempt.event,
        "attempt": attempt.number,
        "previousAttempts": previous,
        "ledger": ledger.position(),
        "startedAt": (now - timedelta(seconds=90)).isoformat(timespec="milliseconds"),
        "finishedAt": now.isoformat(timespec="milliseconds"),
    }
    parts["request"]["id"] = attempt.event
    return parts


def _write(attempt: Attempt, parts: Facts, key: Any, *, with_report: bool) -> None:
    record = example()
    candidate = [f.to_json() for f in record.findings()]
    controls = {name: [f.to_json() for f in fs] for name, fs in record.controls().items()}
    attempt.findings.write_text(json.dumps({"candidate": candidate, "controls": controls}))
    digest = hashlib.sha256(attempt.findings.read_bytes()).hexdigest()
    parts["byproducts"] = [{"name": attempt.findings.name, "sha256": digest}]
    attempt.statement.write_bytes(envelope.sign(statement.build(**parts), key))
    if with_report:
        attempt.report.write_text("<!doctype html><title>the page as it was filed</title>")
