"""Step 8: one pure function judges, then report and statement are written and signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.intake import requests
from flows.state.errors import EventError
from flows.state.files import Artifact, digest_file, write_atomically
from flows.state.journal import entered
from flows.state.paths import Attempt, Home
from flows.steps import predicate

if TYPE_CHECKING:
    from compliance.verdict import Verdict

Facts = dict[str, Any]


def record(
    where: Facts,
    accepted: Facts,
    data: Facts,
    model: Facts,
    plan: Facts,
    edit: Facts,
    found: Facts,
) -> Facts:
    """Judge the findings by the registered policy; write report and signed statement."""
    home, attempt = Home.of(where), Attempt.of(where)

    def concluded() -> tuple[Verdict, Facts]:
        held = predicate.artefacts(home, attempt, accepted, data, model)
        verdict = judged(attempt, accepted["policy"], held)
        write_atomically(attempt.reproduce, requests.reproduction(home, attempt.event, model))
        return verdict, predicate.parts(
            home,
            attempt,
            accepted,
            data,
            model,
            plan,
            edit,
            verdict,
            held,
            method=predicate.method_of(attempt, accepted, edit),
        )

    return signed_once(home, attempt, accepted["policy"]["signoffs"], concluded)


def signed_once(
    home: Home,
    attempt: Attempt,
    signoffs: Sequence[str],
    concluded: Callable[[], tuple[Verdict, Facts]],
) -> Facts:
    """Write report and signed statement of an attempt, unless the ledger says that it was signed.

    The ledger's entry comes last: a process that dies before it writes both again, one that dies
    after it finds them signed.

    Args:
        home: The state folder.
        attempt: Whose they are.
        signoffs: Roles that the policy wants to sign.
        concluded: Gives the verdict and the parts of the statement.
    """
    from compliance.ledger import Ledger

    ledger, key = Ledger(home.ledger), f"attempt-{attempt.number}"
    known = ledger.find("statement_signed", attempt.event, key)
    if known is not None:
        return _as_signed(home, attempt, known["body"])
    with entered(attempt, "record"):
        verdict, parts = concluded()
        digest = _written(home, attempt, parts, signoffs)
        body = {"attempt": attempt.number, "verdict": verdict.result, "statement": digest}
        ledger.append_once("statement_signed", attempt.event, key, body)
    return _facts(home, attempt, verdict.result, list(verdict.reasons))


def _as_signed(home: Home, attempt: Attempt, body: Facts) -> Facts:
    """What was signed before, if its bytes are still there."""
    from compliance import signing

    if not _is_there(attempt.statement, body["statement"]):
        raise EventError(
            f"The ledger says that attempt {attempt.number} of {attempt.event} was signed, but "
            f"{attempt.statement} is gone or changed. Restore it from a copy; a signed verdict is "
            "never written again."
        )
    verdict = signing.decoded(attempt.statement)["predicate"]["verdict"]
    return _facts(home, attempt, verdict["result"], verdict["reasons"])


def _is_there(statement: Path, digest: str) -> bool:
    """Whether the envelope still holds what was signed."""
    from compliance import signing
    from compliance.formats.errors import EnvelopeError

    try:
        return signing.digest(statement.read_bytes()) == digest
    except (FileNotFoundError, EnvelopeError):
        return False


def _facts(home: Home, attempt: Attempt, result: str, reasons: list[str]) -> Facts:
    """What the step leaves: the verdict, and where statement and report lie."""
    return {
        "verdict": result,
        "reasons": reasons,
        "statement": Artifact.of(home.root, attempt.statement).to_json(),
        "report": Artifact.of(home.root, attempt.report).to_json(),
        "report_json": Artifact.of(home.root, attempt.report_json).to_json(),
    }


def judged(attempt: Attempt, policy: Facts, propagation: Sequence[Facts]) -> Verdict:
    """The verdict on the attempt's findings by a policy."""
    from compliance import judge, load_findings
    from compliance.documents.policy import Policy
    from compliance.verdict import impossible_controls

    candidate, controls = load_findings(attempt.findings)
    return judge(
        candidate,
        controls,
        Policy.model_validate(policy),
        propagation=propagation,
        impossible=impossible_controls(attempt.findings),
    )


def _written(home: Home, attempt: Attempt, parts: Facts, signoffs: Sequence[str]) -> str:
    """Report first, so that the statement can name its digest; returns the statement's digest."""
    from compliance import render_html, report_json, signing
    from compliance.signing import statement
    from flows.records import reports
    from flows.state import keyring

    key = keyring.signing_key(home, "executor")
    draft = statement.build(**parts, byproducts=_byproducts(attempt, attempt.findings))
    findings = json.loads(attempt.findings.read_text())
    shown: Facts = {
        "findings": findings["candidate"],
        "controls": findings["controls"],
        "signatures": [
            {"role": "executor", "keyId": key.keyid, "demo": key.demo, "note": ""},
            *({"role": role, "keyId": None} for role in signoffs if role != "executor"),
        ],
        **reports.commands(home, attempt),
    }
    write_atomically(attempt.report, render_html(draft, **shown).encode())
    page = json.dumps(report_json(draft, **shown), indent=1)
    write_atomically(attempt.report_json, page.encode())
    named = _byproducts(attempt, attempt.findings, attempt.report, attempt.report_json)
    final = statement.build(**parts, byproducts=named)
    envelope = signing.sign(final, key)
    write_atomically(attempt.statement, envelope)
    return signing.digest(envelope)


def _byproducts(attempt: Attempt, *files: Any) -> list[Facts]:
    return [{"name": file.name, "sha256": digest_file(file)} for file in files]
