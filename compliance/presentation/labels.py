"""Outcomes, levels and states in words that a compliance officer reads without help."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# outcome -> (word, tone of the palette, icon); one shape per outcome, so black and white suffices
OUTCOMES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "within": ("within margin", "good", "tick"),
        "outside": ("outside margin", "bad", "cross"),
        "undecided": ("cannot tell", "open", "question"),
        "not_run": ("not run", "open", "dash"),
        "not_judged": ("not judged", "open", "dash"),
        "informational": ("for information", "muted", "info"),
    }
)

RESULTS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "PASSED": (
            "good",
            "tick",
            "Every required measurement lies within the margin that the policy fixed beforehand, "
            "and the same audits gave the right answer on models whose answer is known.",
        ),
        "FAILED": (
            "bad",
            "cross",
            "At least one required measurement lies outside its margin. This model must not be "
            "put into use as the answer to the request.",
        ),
        "INCONCLUSIVE": (
            "open",
            "question",
            "No decision could be reached. This is not a pass: the model must not be put into use "
            "on the strength of this record.",
        ),
    }
)

ASSURANCE: Mapping[str, str] = MappingProxyType(
    {
        "L1": "outputs of the model only",
        "L2": "outputs and inner representations, without models retrained for this event",
        "L3": "outputs and inner representations, compared with models retrained without the class",
    }
)

REGULATIONS: Mapping[str, str] = MappingProxyType(
    {
        "gdpr": "EU General Data Protection Regulation, request for erasure",
        "ccpa": "California Consumer Privacy Act, request to delete",
        "contract": "a contract between the parties",
        "recall": "a recall of data by its source",
        "other": "another ground, recorded outside this tool",
    }
)

PROPAGATION: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "DELETED": ("deleted", "good", "tick"),
        "QUARANTINED": ("locked away, still exists", "open", "dash"),
        "EXPIRES_ON": ("still exists until it expires", "open", "dash"),
        "RETAINED": ("kept", "open", "cross"),
        "UNKNOWN": ("unknown", "bad", "question"),
    }
)

# what followed the cuts -> what it did, in a sentence after the layer's name
REPAIRS: Mapping[str, str] = MappingProxyType(
    {
        "head_refit": "fitted anew, so that its rows for the classes to keep have changed as well",
        "low_rank_update": "updated against what was left of the classes",
        "natural_update": "changed until the classes were as separable as they naturally are",
    }
)


def repair(kind: str) -> str:
    """What a repair did; an unknown one by its own name."""
    return REPAIRS.get(kind, kind.replace("_", " "))


def outcome(name: str | None) -> tuple[str, str, str]:
    """Word, tone and icon of an outcome; an unknown one is shown as it is, never as a pass."""
    return OUTCOMES.get(str(name), (str(name), "open", "question"))
