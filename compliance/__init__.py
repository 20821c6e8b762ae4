"""What was asked, by which rules it is judged, and the record that is left of it.

A walk through the rooms, in the order of an event:

    documents/     what people write: a request, a claim, a policy; the clock of a request
    ledger/        the append-only chain of what happened, and where each event stands in it
    verdict/       findings + controls + policy -> a verdict, by pure functions
    signing/       the statement of an attempt, Ed25519 signatures over it, whose keys count
    qualification/ a procedure that was qualified once, and events under it
    verification/  the check of a statement that needs none of the rest to be believed
    presentation/  words, figures and colours for people
    charts/        the report's pictures
    report/        the page of an attempt, pages about many, exports for other tools
    formats/       strict JSON, YAML with line numbers, times, errors: what all rooms stand on

Imports go down only: report > charts > presentation | verification > qualification > verdict |
ledger > signing | documents > formats. The names below are the ones that most callers need; each
room has a door of its own with more. No network, no torch. Nothing heavy is imported before it is
used: checking a statement takes a fraction of a second.
"""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)

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
