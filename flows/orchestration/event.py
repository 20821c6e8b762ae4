"""The flow of one unlearning event, in the ten steps of the diagram in the README."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.orchestration import artifacts, tasks
from flows.orchestration.tasks import once

Facts = dict[str, Any]


@flow(name="unlearning-event", flow_run_name="{event}-attempt-{attempt}", validate_parameters=False)
def unlearning_event(home: str, event: str, attempt: int) -> Facts:
    """Carry one attempt of one event from its request to its closed ledger entry.

    The caller holds the lock of the model's lineage. Killed anywhere and started again, it goes
    on after the last finished step.

    Args:
        home: The state folder.
        event: Id of the event.
        attempt: 1 for the first; 2 retrains where the policy falls back to that.

    Returns:
        `verdict`, `statement`, `report`, `registration`: facts for the person who asked.
    """
    where = {"home": home, "event": event, "attempt": attempt}

    accepted = once(tasks.accept, where=where)
    data = once(tasks.version_data, where=where, accepted=accepted)
    model = once(tasks.pin_model, where=where, accepted=accepted, data=data)
    references = once(tasks.references, where=where, accepted=accepted, data=data, model=model)
    plan = once(
        tasks.register_plan,
        where=where,
        accepted=accepted,
        data=data,
        model=model,
        references=references,
    )
    edit = once(
        tasks.cut_class,
        where=where,
        accepted=accepted,
        data=data,
        model=model,
        references=references,
    )
    found = once(
        tasks.audit_all,
        where=where,
        data=data,
        model=model,
        references=references,
        plan=plan,
        edit=edit,
    )
    record = once(
        tasks.record_event,
        where=where,
        accepted=accepted,
        data=data,
        model=model,
        plan=plan,
        edit=edit,
        found=found,
    )
    registration = once(
        tasks.register,
        where=where,
        accepted=accepted,
        data=data,
        model=model,
        edit=edit,
        record=record,
    )
    closed = once(
        tasks.close, where=where, accepted=accepted, record=record, registration=registration
    )
    artifacts.verdict(where, closed)
    return closed
