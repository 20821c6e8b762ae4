"""Step 8: one pure function judges, then report and statement are written and signed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows.intake import model_checks, requests
from flows.state.errors import EventError
from flows.state.facts import AcceptedRequest, Data, Edit, Findings, Json, Model, Plan, Record
from flows.state.files import Artifact, digest_file, write_atomically
from flows.state.paths import Attempt
from flows.steps import predicate, qualified
from flows.steps.step import step

if TYPE_CHECKING:
    from compliance.documents.policy import Policy
    from compliance.signing.keys import SigningKey
    from compliance.verdict import Verdict


def signed_before(attempt: Attempt) -> Record | None:
    """What the attempt has signed, where the ledger says so and the bytes are still there.

    Raises:
        EventError: They are not.
    """
    from compliance.ledger import Ledger
    from compliance.signing import envelope as signing

    key = f"attempt-{attempt.number}"
    entry = Ledger(attempt.home.ledger).find("statement_signed", attempt.event, key)
    if entry is None:
        return None
    if not _holds(attempt.statement, entry.body["statement"]):
        raise EventError(
            f"The ledger says that attempt {attempt.number} of {attempt.event} was signed, but "
            f"{attempt.statement} is gone or changed. Restore it from a copy; a signed verdict is "
            "never written again."
        )
    verdict = signing.decoded(attempt.statement)["predicate"]["verdict"]
    return _record(attempt, verdict["result"], verdict["reasons"])


def _holds(statement: Path, digest: str) -> bool:
    """Whether the envelope still holds what was signed."""
    from compliance import signing
    from compliance.formats.errors import EnvelopeError

    try:
        return signing.digest(statement.read_bytes()) == digest
    except (FileNotFoundError, EnvelopeError):
        return False


def _record(attempt: Attempt, result: str, reasons: Sequence[str]) -> Record:
    root = attempt.home.root
    return Record(
        verdict=result,
        reasons=tuple(reasons),
        statement=Artifact.of(root, attempt.statement),
        report=Artifact.of(root, attempt.report),
        report_json=Artifact.of(root, attempt.report_json),
    )


@step("Judge, report and sign", settled=signed_before)
def conclude(
    attempt: Attempt,
    accepted: AcceptedRequest,
    data: Data,
    model: Model,
    plan: Plan,
    edit: Edit,
    findings: Findings,
) -> Record:
    """Judge the findings by the registered policy; write report and signed statement."""
    propagation = predicate.propagation_of(attempt, accepted, data, model)
    limits = model_checks.kept(attempt.home, attempt.event).limits
    rules = accepted.judged_by
    policy = rules.model_copy(update={"limits": (*rules.limits, *limits)})
    qualification: Json | None = None
    if policy.yardstick is None:
        verdict = judged(attempt, policy, propagation)
    else:
        basis, family, facts = qualified.standing_of(
            attempt.home, qualified.Asked.of(accepted), data, model
        )
        verdict = qualified.judged(attempt, policy, basis, propagation)
        qualification = qualified.part(basis, family, facts, verdict)
        qualified.keep_beside(attempt, basis.digest)
    write_atomically(attempt.reproduce, _reproduction(accepted, data, model))
    statement = predicate.statement_of(
        attempt,
        accepted,
        data,
        model,
        plan,
        edit,
        verdict,
        method=predicate.method_of(attempt, accepted, edit),
        propagation=propagation,
        byproducts=byproducts(attempt.findings),
        qualification=qualification,
    )
    return sign(attempt, statement, verdict, accepted.policy.signoffs)


def _reproduction(accepted: AcceptedRequest, data: Data, model: Model) -> bytes:
    """The request about `before.safetensors` beside it, for another state folder. JSON is YAML.

    On the same kind of machine it leads to a model after with the same digest.
    """
    named: Json = {"file": "before.safetensors", "architecture": model.architecture}
    if data.spec.preprocessing is not None:
        named["preprocessing"] = data.spec.preprocessing.content()
    content = requests.placed(accepted.request, Path(accepted.origin)) | {"model": named}
    return json.dumps(content, indent=2).encode() + b"\n"


def judged(attempt: Attempt, policy: Policy, propagation: Sequence[Json]) -> Verdict:
    """The verdict on the attempt's findings by a policy."""
    from compliance import judge, load_findings
    from compliance.verdict.findings import impossible_controls

    candidate, controls = load_findings(attempt.findings)
    return judge(
        candidate,
        controls,
        policy,
        propagation=propagation,
        impossible=impossible_controls(attempt.findings),
    )


def sign(attempt: Attempt, statement: Json, verdict: Verdict, signoffs: Sequence[str]) -> Record:
    """Write report and signed statement of an attempt, then log that it was signed.

    The ledger's entry comes last: a process that dies before it writes both again, one that dies
    after it finds them signed.

    Args:
        attempt: Whose they are.
        statement: Names the findings so far; the report's files are added.
        verdict: On the findings.
        signoffs: Roles that the policy wants to sign.
    """
    from compliance.ledger import Ledger
    from compliance.signing import envelope as signing
    from flows.state import keyring

    key = keyring.signing_key(attempt.home, "executor")
    _write_report(attempt, statement, key, signoffs)
    # the report shows the statement, and the statement names the report's digest
    named = byproducts(attempt.findings, attempt.report, attempt.report_json)
    final = statement | {"predicate": statement["predicate"] | {"byproducts": named}}
    envelope = signing.sign(final, key)
    write_atomically(attempt.statement, envelope)
    body = {
        "attempt": attempt.number,
        "verdict": verdict.result,
        "statement": signing.digest(envelope),
    }
    Ledger(attempt.home.ledger).append_once(
        "statement_signed", attempt.event, f"attempt-{attempt.number}", body
    )
    return _record(attempt, verdict.result, verdict.reasons)


def _write_report(
    attempt: Attempt, statement: Json, key: SigningKey, signoffs: Sequence[str]
) -> None:
    from compliance import render_html, report_json
    from compliance.ledger import Ledger
    from flows.records import next_steps, reports

    findings = json.loads(attempt.findings.read_text())
    others = [{"role": role, "keyId": None} for role in signoffs if role != "executor"]
    content: Json = {
        "findings": findings["candidate"],
        "controls": findings["controls"],
        "signatures": [
            {"role": "executor", "keyId": key.keyid, "demo": key.demo, "note": ""},
            *others,
        ],
        "reader": reports.reader_of(),
        "next": next_steps.at_signing(
            attempt.home, attempt.event, Ledger(attempt.home.ledger).of(attempt.event), statement
        ),
        **reports.commands(attempt.home, attempt),
    }
    write_atomically(attempt.report, render_html(statement, **content).encode())
    page = json.dumps(report_json(statement, **content), indent=1)
    write_atomically(attempt.report_json, page.encode())


def byproducts(*files: Path) -> list[Json]:
    """Files as a statement names them."""
    return [{"name": file.name, "sha256": digest_file(file)} for file in files]
