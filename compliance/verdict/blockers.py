"""What keeps a candidate within every margin from a PASSED all the same. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compliance.documents.policy import LEAST_REFERENCES, Policy
from compliance.verdict import kinds
from compliance.verdict.assurance import PASSED, reached
from compliance.verdict.controls import Control
from compliance.verdict.judged_row import JudgedRow
from compliance.verdict.wording import NO_POWER


def blockers(
    rows: Sequence[JudgedRow],
    controls: Sequence[Control],
    policy: Policy,
    propagation: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    """Each blocker in words, with what would remove it."""
    yield from _about_references(controls)
    yield from _about_level(rows, policy)
    yield from _about_power(rows, policy)
    yield from kinds.lacking(policy.kinds, rows)
    yield from _about_unseen(rows, policy)
    yield from _about_samples(rows, policy)
    yield from about_copies(propagation, policy)


def foreseen(policy: Policy, *, references: int, unseen: int | None) -> Iterator[str]:
    """What keeps a verdict by this policy out of reach whatever the models are.

    Args:
        policy: The rules.
        references: Retrained models that will be there: handed in, or trained by a recipe.
        unseen: Classes that nobody was trained on; None where that is not known yet.
    """
    if policy.assurance == "L1":
        yield L1_IS_OUTPUTS
    if policy.assurance == "L3" and references < LEAST_REFERENCES:
        yield (
            f"No verdict can be reached: policy {policy.name} asks for L3, and there are "
            f"{references} retrained models: name a recipe, hand in {LEAST_REFERENCES} or more, or "
            "ask for L2 by classes that the model was never trained on."
        )
    if policy.assurance == "L2" and unseen is not None and unseen < policy.unseen_classes:
        yield (
            f"No pass can be reached: policy {policy.name} asks for {policy.unseen_classes} "
            f"classes that the model was never trained on, and {unseen} are given: give more."
        )


LEAST_SHARE_OF_REFERENCES = 0.5
"""Of the retrained models, each judged by the others, this share must pass."""


def _about_references(controls: Sequence[Control]) -> Iterator[str]:
    results = [control.result for control in controls if control.expected == PASSED]
    passed = results.count(PASSED)
    if results and passed < LEAST_SHARE_OF_REFERENCES * len(results):
        yield (
            f"{passed} of {len(results)} retrained models pass by these rules when judged by the "
            "others, so that a pass would be chance: bring more held-out images or references."
        )


def _about_unseen(rows: Sequence[JudgedRow], policy: Policy) -> Iterator[str]:
    """Too few classes that nobody was trained on, where these are the baseline."""
    figures = [row.measurement for row in rows if row.required and row.measurement is not None]
    counts = [len(figure.null) for figure in figures if figure.against == "unseen"]
    if counts and min(counts) < policy.unseen_classes:
        yield (
            f"{min(counts)} unseen classes are the baseline and the policy asks for "
            f"{policy.unseen_classes}: give more classes that the model was never trained on."
        )


def _about_level(rows: Sequence[JudgedRow], policy: Policy) -> Iterator[str]:
    if policy.assurance == "L1":
        yield L1_IS_OUTPUTS
    elif reached(rows) < policy.assurance:
        yield (
            f"The policy asks for {policy.assurance}, the evidence reaches {reached(rows)}: audits "
            "of the representation or retrained references are missing."
        )


L1_IS_OUTPUTS = (
    "L1 looks at outputs only, and a suppressed last layer looks the same there: a class erasure "
    "needs audits of the representation (L2 or L3)."
)
BLIND = (
    "The margins of every required measurement of the representation have room for the original "
    "itself, so that a pass would be hollow: bring more held-out images of the class or references."
)


def is_blind(rows: Sequence[JudgedRow], policy: Policy) -> bool:
    """Whether no required row of the representation has margins that exclude the original.

    One whose power is a half or more has: the original lies beyond its margin
    by what the test asks for, so that a model like it would come out "within" by chance alone. That
    follows from original and baseline, whatever the candidate shows. Where the policy claims
    nothing of the representation (L1), there is nothing to be blind to.
    """
    deep = [row for row in rows if row.required and row.rule is not None and row.rule.deep]
    return policy.assurance != "L1" and not any(
        row.detect_original is not None and row.detect_original >= NO_POWER for row in deep
    )


def _about_power(rows: Sequence[JudgedRow], policy: Policy) -> Iterator[str]:
    if is_blind(rows, policy):
        yield BLIND


def _about_samples(rows: Sequence[JudgedRow], policy: Policy) -> Iterator[str]:
    counted = {kind for row in rows if row.measurement for kind in row.measurement.sizes}
    for kind, least in policy.minimum_samples.items():
        if kind not in counted:
            yield f"No audit says how many samples of {kind} it had; the policy asks for {least}."


def about_copies(propagation: Sequence[Mapping[str, Any]], policy: Policy) -> Iterator[str]:
    """Copies of the old weights whose state is unknown, where the policy minds."""
    if policy.unknown_artefacts == "inconclusive":
        for artefact in propagation:
            if artefact["status"] == "UNKNOWN":
                yield (
                    f"The state of {artefact['artefact']}, made from the old weights, is "
                    "unknown: find out, and record it."
                )
