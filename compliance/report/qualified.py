"""The page about a qualification: what it says in plain words first, then everything behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compliance.charts import studies
from compliance.ledger.chain import Entry
from compliance.qualification import bounds, standing
from compliance.qualification.qualification import Qualification
from compliance.report import templates
from compliance.signing import Trust

LOOKS = (1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 60, 80, 100)
"""Numbers of spot checks at which the bound is drawn."""


def render(content: Qualification, digest: str, entries: Sequence[Entry], trust: Trust) -> str:
    """One HTML page without script or address.

    Args:
        content: The statement's.
        digest: SHA-256 of its signed bytes.
        entries: The ledger as it is now: suspension, events and spot checks.
        trust: Whose spot checks count.
    """
    end = standing.suspended(entries, digest)
    runs = standing.runs(entries, digest)
    checks = standing.checks(entries, digest, trust)
    template = templates.html().get_template("qualification.html")
    page: dict[str, Any] = {
        "q": content,
        "digest": digest,
        "outcome": content.outcome,
        "suspended": end,
        "doubt": standing.in_doubt(entries, digest, trust),
        "runs": runs,
        "checks": checks,
        "bounds": standing.bounds_of(entries, digest, trust),
        "word": _word(content, suspended=end is not None),
        "pictures": [
            each
            for each in (
                studies.picture_of(content.classes, content.outcome.thresholds),
                studies.bounds_picture(LOOKS, [bounds.anytime(0, n) for n in LOOKS]),
            )
            if each is not None
        ],
    }
    return template.render(page=page)


def _word(content: Qualification, *, suspended: bool) -> tuple[str, str, str]:
    """The word in the box, its tone and its icon."""
    if suspended:
        return "SUSPENDED", "bad", "cross"
    if not content.outcome.qualifies:
        return "NOT QUALIFIED", "open", "question"
    return "QUALIFIED", "good", "tick"
