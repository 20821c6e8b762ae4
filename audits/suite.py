"""The audits by name, in the order in which a report shows them. A new audit is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from audits import (
    accuracy,
    edit_leakage,
    few_shot,
    head_refit,
    head_suppression,
    linear_probe,
    membership,
    perturbation,
    relearning,
    remainder,
    routing,
    similarity,
    utility,
)
from audits.evidence import Evidence
from audits.finding import Finding

Audit = Callable[[Evidence], Finding]

AUDITS: Mapping[str, Audit] = {
    "accuracy": accuracy.audit,
    "routing": routing.audit,
    "membership": membership.audit,
    "linear_probe": linear_probe.audit,
    "few_shot": few_shot.audit,
    "head_refit": head_refit.audit,
    "relearning": relearning.audit,
    "perturbation": perturbation.audit,
    "remainder": remainder.audit,
    "similarity": similarity.audit,
    "head_suppression": head_suppression.audit,
    "utility": utility.audit,
    "edit_leakage": edit_leakage.audit,
}
