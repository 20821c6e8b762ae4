"""The flow that audits a claim made elsewhere: any two models, any method, nobody's word.

Same plan, audits, controls, verdict, statement, report, signature and ledger as an unlearning
event; nothing is cut, registered or promoted.
"""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.orchestration import artifacts, tasks
from flows.orchestration.tasks import once, step
from flows.steps import claim

Facts = dict[str, Any]

accept = step(claim.accept)
version_data = step(claim.version_data)
pin_models = step(claim.pin_models)
references = step(claim.references)
record_claim = step(claim.record)
close = step(claim.close)


@flow(name="forgetting-claim", flow_run_name="{event}-attempt-{attempt}", validate_parameters=False)
def forgetting_claim(home: str, event: str, attempt: int) -> Facts:
    """Audit one claim, from its receipt to its closed ledger entry.

    Killed anywhere and started again, it goes on after the last finished step.

    Args:
        home: The state folder.
        event: Id of the claim's event.
        attempt: Always 1: a claim is audited, not mended.

    Returns:
        `verdict`, `statement`, `report`: facts for the person who asked.
    """
    where = {"home": home, "event": event, "attempt": attempt}

    accepted = once(accept, where=where)
    data = once(version_data, where=where, accepted=accepted)
    pinned = once(pin_models, where=where, accepted=accepted, data=data)
    model, edit = pinned["model"], pinned["edit"]
    judges = once(
        references,
        where=where,
        accepted=accepted,
        data=data,
        model=model,
        given=pinned["references"],
    )
    plan = once(
        tasks.register_plan,
        where=where,
        accepted=accepted,
        data=data,
        model=model,
        references=judges,
    )
    found = once(
        tasks.audit_all,
        where=where,
        data=data,
        model=model,
        references=judges,
        plan=plan,
        edit=edit,
    )
    record = once(
        record_claim,
        where=where,
        accepted=accepted,
        data=data,
        model=model,
        plan=plan,
        edit=edit,
        found=found,
    )
    closed = once(close, where=where, record=record)
    artifacts.verdict(where, closed)
    return closed
