"""Whether an audit can run on this evidence at all; if not, why and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from audits import catalogue, finding
from audits.evidence import LEAST_NOVEL_CLASSES, Evidence
from audits.finding import JSON, Finding
from audits.observation import Observation
from audits.reference_independence import dependence


def not_run(audit: str, evidence: Evidence, reason: str, parameters: Mapping[str, JSON]) -> Finding:
    """The finding of an audit that could not run on this evidence."""
    question = catalogue.AUDITS[audit].question
    return finding.not_run(audit, question, reason, seed=evidence.seed, parameters=parameters)


def obstacle(
    audit: str,
    evidence: Evidence,
    *,
    forget_train: int = 0,
    forget_test: int = 1,
    retain_test: int = 1,
) -> str:
    """All that stands in an audit's way, in sentences; empty where nothing does.

    Args:
        audit: Its name; whether it needs references is in the catalogue.
        forget_train: Training rows it needs of each forget class.
        forget_test: Test rows it needs of each forget class.
        retain_test: Test rows it needs of each retain class.
    """
    needs = catalogue.AUDITS[audit].references
    novel_class_null = needs == "or_novel_classes"
    obstacles = list(_few_rows(evidence, forget_train, forget_test, retain_test))
    if needs != "optional" and not (
        novel_class_null and (evidence.alone or len(evidence.novel_classes) >= LEAST_NOVEL_CLASSES)
    ):
        obstacles += _few_references(evidence, novel_class_null)
    broken = [
        f"The logits of {who} hold NaN or infinity: observe the plain network, before its outputs "
        "are retired, and check its weights."
        for who, observation in evidence.models()
        if not evidence.of(_finite_logits, observation)
    ]
    # copies are looked for in the answers, which must be finite for that
    if needs != "optional" and evidence.references and not broken:
        obstacles += filter(None, [dependence(evidence)])
    obstacles += broken
    return " ".join(obstacles)


def _few_references(evidence: Evidence, novel_class_null: bool) -> Iterator[str]:
    count, least = len(evidence.references), evidence.least_references
    if count >= least:
        return
    instead = (
        f", or give rows of {LEAST_NOVEL_CLASSES} classes that nobody was trained on"
        * novel_class_null
    )
    yield (
        f"{count} retrained references were given and {least} are needed for a null "
        f"distribution: train more, with other seeds{instead}."
    )


def _few_rows(evidence: Evidence, train: int, test: int, retain: int) -> Iterator[str]:
    wanted = [
        ("training", evidence.train_labels, evidence.forget, train),
        ("test", evidence.test_labels, evidence.forget, test),
        ("test", evidence.test_labels, evidence.retain, retain),
    ]
    for part, labels, classes, least in wanted:
        for c in classes:
            count = int(np.count_nonzero(labels == c))
            if count < least:
                yield (
                    f"Class {c} has {count} {part} rows and {least} are needed: give more rows, "
                    "or pool several classes or seeds in the plan."
                )


def _finite_logits(evidence: Evidence, observation: Observation) -> bool:
    return bool(
        np.isfinite(observation.test_logits).all() and np.isfinite(observation.train_logits).all()
    )


def unusable(features: np.ndarray) -> str:
    """Why features cannot be probed; empty where they can.

    >>> unusable(np.ones((3, 2)))
    'the features are the same for every image'
    """
    if not np.isfinite(features).all():
        return "the features hold NaN or infinity"
    # (n, D): no row differs from the first
    if not (features != features[:1]).any():
        return "the features are the same for every image"
    return ""
