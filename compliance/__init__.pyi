from .documents.claim import Claim, load_claim
from .documents.policy import Policy, load_policy
from .documents.request import Request, load_request
from .formats.errors import ComplianceError
from .ledger.ledger import Ledger
from .report.index import render_comparison, render_index
from .report.render import render_html, render_markdown, report_json
from .signing.trust import Trust, load_trust
from .verdict.findings import load_findings
from .verdict.judging import judge_rows
from .verdict.verdict import Verdict, judge
from .verification.verify import Verification, verify_statement

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
