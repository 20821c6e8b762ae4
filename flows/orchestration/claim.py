"""The flow that audits a claim made elsewhere: any two models, any method, nobody's word.

Same plan, audits, controls, verdict, statement, report, signature and ledger as an unlearning
event; nothing is edited, registered or promoted.
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.orchestration import artifacts, run_pages
from flows.orchestration.tasks import once
from flows.state.facts import Closed
from flows.state.paths import Attempt, Home
from flows.steps.audit import audit
from flows.steps.claim import accept, close, conclude, pin_model, train_references, version_data
from flows.steps.plan import register_plan


@flow(name="forgetting-claim", flow_run_name=run_pages.name, validate_parameters=False)
def forgetting_claim(home: str, event: str, attempt: int) -> Closed:
    """Audit one claim, from its receipt to its closed ledger entry.

    Killed anywhere and started again, it goes on after the last finished step.

    Args:
        home: The state folder.
        event: Id of the claim's event.
        attempt: Always 1: a claim is audited, not tried again.
    """
    at = Attempt(Home(Path(home)), event, attempt)

    accepted = once(accept, at)
    data = once(version_data, at, accepted)
    pinned = once(pin_model, at, accepted, data)
    model, edited = pinned.model, pinned.edit
    references = once(train_references, at, accepted, data, model, pinned.references)
    plan = once(register_plan, at, accepted, data, model, references)
    findings = once(audit, at, data, model, references, plan, edited)
    record = once(conclude, at, accepted, data, model, plan, edited, findings)
    closed = once(close, at, record)

    artifacts.show_verdict(at, closed)
    return closed
