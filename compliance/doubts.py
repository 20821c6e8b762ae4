"""What keeps a candidate within every margin from a PASSED all the same. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compliance.controls import Control
from compliance.judging import LEAST_POWER
from compliance.levels import PASSED, reached
from compliance.policy import Policy
from compliance.rows import JudgedRow


def doubts(
    rows: Sequence[JudgedRow],
    controls: Sequence[Control],
    policy: Policy,
    propagation: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    """Each doubt in words, with what would remove it."""
    yield from _about_references(controls)
    yield from _about_level(rows, policy)
    yield from _about_power(rows, policy)
    yield from _about_samples(rows, policy)
    yield from _about_copies(propagation, policy)


def _about_references(controls: Sequence[Control]) -> Iterator[str]:
    found = [control.found for control in controls if control.expected == PASSED]
    if found and PASSED not in found:
        yield (
            "No retrained model came out PASSED by these rules, so that a pass would say nothing: "
            "bring more samples or references, or widen the margins."
        )


def _about_level(rows: Sequence[JudgedRow], policy: Policy) -> Iterator[str]:
    if policy.assurance == "L1":
        yield (
            "L1 looks at outputs only, and a suppressed last layer looks the same there: a class "
            "erasure needs audits of the representation (L2 or L3)."
        )
    elif reached(rows) < policy.assurance:
        yield (
            f"The policy asks for {policy.assurance}, the evidence reaches {reached(rows)}: audits "
            "of the representation or retrained references are missing."
        )


def witnesses(rows: Sequence[JudgedRow]) -> list[str]:
    """Audits of the representation that could have told the original, by a required row.

    What they could is known from original and yardstick, whatever the candidate shows.
    """
    able = {
        row.audit
        for row in rows
        if row.required and row.rule and row.rule.deep and (row.detect_original or 0) >= LEAST_POWER
    }
    return sorted(able)


def _about_power(rows: Sequence[JudgedRow], policy: Policy) -> Iterator[str]:
    able = witnesses(rows)
    if policy.assurance != "L1" and len(able) < policy.witnesses:
        yield few_witnesses(able, policy)


def few_witnesses(able: Sequence[str], policy: Policy) -> str:
    """Why a pass would be hollow."""
    named = f" ({', '.join(able)})" if able else ""
    return (
        f"{len(able)} audits of the representation could have told the original by these margins"
        f"{named} and the policy asks for {policy.witnesses}: a model can be made to look right to "
        "few. Bring more samples or references."
    )


def _about_samples(rows: Sequence[JudgedRow], policy: Policy) -> Iterator[str]:
    counted = {kind for row in rows if row.measurement for kind in row.measurement.sizes}
    for kind, least in policy.minimum_samples.items():
        if kind not in counted:
            yield f"No audit says how many samples of {kind} it had; the policy asks for {least}."


def _about_copies(propagation: Sequence[Mapping[str, Any]], policy: Policy) -> Iterator[str]:
    if policy.unknown_artefacts == "inconclusive":
        for artefact in propagation:
            if artefact["status"] == "UNKNOWN":
                yield (
                    f"Nobody knows what became of {artefact['artefact']}, made from the old "
                    "weights: find out, and record it."
                )
