"""The rules of events under a qualification: what needs no model to compare with.

What is still readable of the class is judged by the study's thresholds, beside these.
"""

from __future__ import annotations

from typing import Any

from compliance.documents.policy import Policy

RULES: tuple[dict[str, Any], ...] = (
    {"measurement": "accuracy.forget_before_retiring", "at_most": 0.05, "required": True},
    {"measurement": "accuracy.forget_after_retiring", "at_most": 0.05, "required": True},
    {
        "measurement": "utility.retain_accuracy",
        "below": 0.02,
        "above": 1.0,
        "required": True,
    },
    {"measurement": "weight_provenance.copies", "at_most": 0.0, "required": True},
    {"measurement": "weight_provenance.idle", "at_most": 0.0, "required": True},
)
UNKNOWN = "0" * 64
"""In place of the digest of a qualification that is not there yet."""


def policy_of(
    study: str, judged_by: Policy, attempts: tuple[str, ...], qualification: str = UNKNOWN
) -> Policy:
    """The policy of events under a qualification.

    Args:
        study: Name of the study.
        judged_by: The study's own policy, whose level, samples, clocks and sign-offs hold on.
        attempts: The ladder.
        qualification: SHA-256 of its statement.
    """
    kept = judged_by.model_dump(mode="json")
    names = ("alpha", "minimum_samples", "signoffs", "clocks", "extensions", "identity")
    more = ("unknown_artefacts", "callbacks", "reaudit_days", "keep_days")
    return Policy.model_validate(
        {name: kept[name] for name in (*names, *more)}
        | {
            "name": f"under-{study}"[:80],
            "assurance": "L2",
            "references": 0,
            "yardstick": {"qualification": qualification},
            "rules": [dict(rule) for rule in RULES],
            "attempts": list(attempts),
            "fallback_on": ["FAILED", "INCONCLUSIVE"],
        }
    )
