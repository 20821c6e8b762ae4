"""The desk: what was asked, by which rules it is judged, and the record that is left of it.

A walk through the room, in the order of an event:

    request.py      what a person asks for            request.yaml -> Request
    claim.py        what somebody says of two models  claim.yaml -> Claim
    policy.py       what must be shown, and how well  default-v1 -> Policy
    ledger.py       append-only chain of what happened
    states.py       where an event stands, read from the ledger; deadlines.py its clock
    verdict.py      findings + controls + policy -> Verdict; judging.py, controls.py, doubts.py
    statement.py    the verdict with all that it rests on, as an in-toto statement
    signing.py      Ed25519 signatures over it (DSSE); keys.py and trust.py whose they are
    verify.py       the check that needs none of the above to be believed
    report.py       the page for people; report_index.py all events, and several side by side
    checkpoint.py   what somebody else keeps of the ledger; proofs.py that it only grew

No network, no torch. Nothing heavy is imported before it is used: checking a statement takes a
fraction of a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compliance.documents.claim import Claim, load_claim
    from compliance.documents.policy import Policy, load_policy
    from compliance.documents.request import Request, load_request
    from compliance.formats.errors import ComplianceError
    from compliance.ledger.ledger import Ledger
    from compliance.report.index import render_comparison, render_index
    from compliance.report.render import render_html, render_markdown, report_json
    from compliance.signing.trust import Trust, load_trust
    from compliance.verdict.findings import load_findings
    from compliance.verdict.judging import judge_rows
    from compliance.verdict.verdict import Verdict, judge
    from compliance.verification.verify import Verification, verify_statement

__all__ = [
    "Claim",
    "ComplianceError",
    "Ledger",
    "Policy",
    "Request",
    "Trust",
    "Verdict",
    "Verification",
    "judge",
    "judge_rows",
    "load_claim",
    "load_findings",
    "load_policy",
    "load_request",
    "load_trust",
    "render_comparison",
    "render_html",
    "render_index",
    "render_markdown",
    "report_json",
    "verify_statement",
]

_WHERE = {
    "Claim": "compliance.documents.claim",
    "ComplianceError": "compliance.formats.errors",
    "Ledger": "compliance.ledger.ledger",
    "Policy": "compliance.documents.policy",
    "Request": "compliance.documents.request",
    "Trust": "compliance.signing.trust",
    "Verdict": "compliance.verdict.verdict",
    "Verification": "compliance.verification.verify",
    "judge": "compliance.verdict.verdict",
    "judge_rows": "compliance.verdict.judging",
    "load_claim": "compliance.documents.claim",
    "load_findings": "compliance.verdict.findings",
    "load_policy": "compliance.documents.policy",
    "load_request": "compliance.documents.request",
    "load_trust": "compliance.signing.trust",
    "render_comparison": "compliance.report.index",
    "render_html": "compliance.report.render",
    "render_index": "compliance.report.index",
    "render_markdown": "compliance.report.render",
    "report_json": "compliance.report.render",
    "verify_statement": "compliance.verification.verify",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
