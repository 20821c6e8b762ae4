"""Step 8: one pure function judges, then report and statement are written and signed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flows import intake, predicate
from flows.errors import EventError
from flows.journal import entered
from flows.layout import Attempt, Home
from flows.store import Artifact, digest_file, write_atomically

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
    """Judge the findings by the registered policy; write report and signed statement.

    The ledger's entry comes last: a process that dies before it writes both again, one that dies
    after it finds them signed.
    """
    from compliance.ledger import Ledger

    home, attempt = Home.of(where), Attempt.of(where)
    known = Ledger(home.ledger).find("statement_signed", attempt.event, f"attempt-{attempt.number}")
    if known is not None:
        return as_signed(home, attempt, known["body"])
    with entered(attempt, "record"):
        held = predicate.artefacts(home, attempt, accepted, data, model)
        verdict = judged(attempt, accepted, held)
        write_atomically(attempt.reproduce, intake.reproduction(home, attempt.event, model))
        parts = predicate.parts(home, attempt, accepted, data, model, plan, edit, verdict, held)
        digest = written(home, attempt, parts, accepted["policy"]["signoffs"])
        body = {"attempt": attempt.number, "verdict": verdict.result, "statement": digest}
        Ledger(home.ledger).append_once(
            "statement_signed", attempt.event, f"attempt-{attempt.number}", body
        )
    return facts(home, attempt, verdict.result, list(verdict.reasons))


def as_signed(home: Home, attempt: Attempt, body: Facts) -> Facts:
    """What was signed before, if its bytes are still there."""
    from compliance import signing

    there = attempt.statement.exists()
    if not there or signing.digest(attempt.statement.read_bytes()) != body["statement"]:
        raise EventError(
            f"The ledger says that attempt {attempt.number} of {attempt.event} was signed, but "
            f"{attempt.statement} is gone or changed. Restore it from a copy; a signed verdict is "
            "never written again."
        )
    verdict = signing.decoded(attempt.statement)["predicate"]["verdict"]
    return facts(home, attempt, verdict["result"], verdict["reasons"])


def facts(home: Home, attempt: Attempt, result: str, reasons: list[str]) -> Facts:
    """What the step leaves: the verdict, and where statement and report lie."""
    return {
        "verdict": result,
        "reasons": reasons,
        "statement": Artifact.of(home.root, attempt.statement).to_json(),
        "report": Artifact.of(home.root, attempt.report).to_json(),
        "report_json": Artifact.of(home.root, attempt.report_json).to_json(),
    }


def judged(attempt: Attempt, accepted: Facts, propagation: Sequence[Facts]) -> Verdict:
    """The verdict on the attempt's findings by the policy that was accepted."""
    from compliance import judge, load_findings
    from compliance.findings import impossible_controls
    from compliance.policy import Policy

    candidate, controls = load_findings(attempt.findings)
    return judge(
        candidate,
        controls,
        Policy.model_validate(accepted["policy"]),
        propagation=propagation,
        impossible=impossible_controls(attempt.findings),
    )


def written(home: Home, attempt: Attempt, parts: Facts, signoffs: Sequence[str]) -> str:
    """Report first, so that the statement can name its digest; returns the statement's digest."""
    from compliance import render_html, report_json, signing, statement
    from flows import keyring, reporting

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
        **reporting.commands(home, attempt),
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
