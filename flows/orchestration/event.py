"""The flow of one unlearning event, in the ten steps of the diagram in the README."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.orchestration import artifacts, run_pages
from flows.orchestration.tasks import once
from flows.state.facts import Closed
from flows.state.paths import Attempt, Home
from flows.steps.audit import audit
from flows.steps.conclude import conclude
from flows.steps.edit import edit
from flows.steps.plan import register_plan
from flows.steps.prepare import accept, pin_model, version_data
from flows.steps.references import train_references
from flows.steps.register import close, register


@flow(name="unlearning-event", flow_run_name=run_pages.name, validate_parameters=False)
def unlearning_event(home: str, event: str, attempt: int) -> Closed:
    """Carry one attempt of one event from its request to its closed ledger entry.

    The caller holds the lock of the model's lineage. Killed anywhere and started again, it goes
    on after the last finished step.

    Args:
        home: The state folder.
        event: Id of the event.
        attempt: Its number, from 1; the ledger says by which method.
    """
    at = Attempt(Home(Path(home)), event, attempt)

    accepted = once(accept, at)
    data = once(version_data, at, accepted)
    model = once(pin_model, at, accepted, data)
    references = once(train_references, at, accepted, data, model)
    plan = once(register_plan, at, accepted, data, model, references)
    edited = once(edit, at, accepted, data, model, references)
    findings = once(audit, at, data, model, references, plan, edited)
    record = once(conclude, at, accepted, data, model, plan, edited, findings)
    registration = once(register, at, accepted, data, model, edited, record)
    closed = once(close, at, accepted, record, registration)

    artifacts.show_verdict(at, closed)
    return closed
