"""Step 8: one pure function judges, then report and statement are written and signed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from flows import provenance
from flows.journal import entered, read
from flows.layout import Attempt, Home
from flows.store import Artifact, digest_file, write_atomically

Facts = dict[str, Any]


def record(
    where: Facts,
    accepted: Facts,
    data: Facts,
    model: Facts,
    references: Facts,
    plan: Facts,
    edit: Facts,
    found: Facts,
) -> Facts:
    """Judge the findings by the registered policy; write findings, report and signed statement."""
    from compliance import judge, load_findings
    from compliance.ledger import Ledger
    from compliance.policy import Policy

    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "record"):
        candidate, controls = load_findings(attempt.findings)
        verdict = judge(candidate, controls, Policy.model_validate(accepted["policy"]))
        parts = predicate(attempt, accepted, data, model, references, plan, edit, verdict)
        statement, digest = _written(home, attempt, parts, model)
        Ledger(home.ledger).append_once(
            "statement_signed",
            attempt.event,
            f"attempt-{attempt.number}",
            {"attempt": attempt.number, "verdict": verdict.result, "statement": digest},
        )
    return {
        "verdict": verdict.result,
        "reasons": list(verdict.reasons),
        "statement": Artifact.of(home.root, attempt.statement).to_json(),
        "report": Artifact.of(home.root, attempt.report).to_json(),
        "report_json": Artifact.of(home.root, attempt.report_json).to_json(),
    }
