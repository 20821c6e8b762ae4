"""The ten steps in their order: numbers, the progress bar and Prefect's tasks follow from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.steps import audit, claim, conclude, edit, plan, prepare, references, register
from flows.steps.step import Step

_IN_ORDER: tuple[Step[Any, Any], ...] = (
    prepare.accept,
    prepare.version_data,
    prepare.pin_model,
    references.train_references,
    plan.register_plan,
    edit.edit,
    audit.audit,
    conclude.conclude,
    register.register,
    register.close,
)

STEPS: Mapping[str, Step[Any, Any]] = {step.name: step for step in _IN_ORDER}
"""The steps of an unlearning event, by name."""

OF_CLAIMS: tuple[Step[Any, Any], ...] = (
    claim.accept,
    claim.version_data,
    claim.pin_model,
    claim.train_references,
    claim.conclude,
    claim.close,
)
"""The steps that a claim's audit does in its own way; it shares the plan and the audits."""
