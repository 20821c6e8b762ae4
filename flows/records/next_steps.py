"""What to do next for an event: its last statement and where it stands, for the pure rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compliance.documents import ladder
from compliance.documents.methods import RETRAIN
from compliance.ledger import Entry, states
from compliance.presentation import next_steps
from compliance.presentation.next_steps import NextStep, Situation
from compliance.signing import Statement
from compliance.signing.facts import Predicate
from flows.records import attempts, training_times
from flows.state.paths import Home

REMEDY = (
    "Remove the cause, then run it again; where that cannot be, `damp cancel` withdraws the "
    "request, and a new one takes its place."
)
"""What lets an event go on that an error has stopped."""


def of(
    home: Home, event: states.Event, own: Sequence[Entry], statement: Mapping[str, Any]
) -> tuple[NextStep, ...]:
    """What to do next after an event's last statement.

    Args:
        home: The state folder.
        event: Where it stands.
        own: Its entries.
        statement: Decoded, of its last attempt; `damp verify` checks it.
    Raises:
        JsonError: The statement has another form.
    """
    predicate = Statement.of(statement).predicate
    return next_steps.next_steps(predicate, situation(home, event, own, predicate))


def undecided(event: states.Event, problem: str | None, stopped: str = "") -> tuple[NextStep, ...]:
    """What lets an event go on that has no verdict, or that was parked; nothing once it has ended.

    Args:
        event: Where it stands.
        problem: Why it was parked, or what is wrong with its entries.
        stopped: Why the step of a run that a person started stopped; "" where none did.
    """
    if event.ended:
        return ()
    run = f"damp run --event {event.id}"
    if event.state is states.State.ERROR:
        text = f"It was parked: {problem or 'without a reason'} {REMEDY}"
        return (NextStep(kind="resume", text=text, command=run),)
    if event.problem:
        text = f"Its entries contradict each other: {event.problem}"
        return (NextStep(kind="look", text=text, command=f"damp ledger show --event {event.id}"),)
    if event.state is states.State.PAUSED:
        text = "It is paused, and its clock goes on: let it be carried out."
        return (NextStep(kind="resume", text=text, command=f"damp resume {event.id}"),)
    if event.identity == "required" and not event.verified_by:
        text = "The policy wants to know who asks before anything runs."
        command = f"damp verify-identity {event.id} --role ROLE"
        return (NextStep(kind="identity", text=text, command=command),)
    if stopped:
        return (NextStep(kind="resume", text=f"It stopped: {stopped} {REMEDY}", command=run),)
    return (NextStep(kind="run", text="Carry it out, or let the schedule do it.", command=run),)


def at_signing(
    home: Home, event: str, own: Sequence[Entry], statement: Mapping[str, Any]
) -> tuple[NextStep, ...]:
    """The same for the page that is filed with a statement, before the ledger knows of it.

    Args:
        home: The state folder.
        event: Its id.
        own: Its entries up to the statement's.
        statement: Decoded.
    """
    predicate = Statement.of(statement).predicate
    result, claim = predicate.verdict.result, predicate.method.name == "claimed"
    plan = _plan(own)
    policy = plan.get("policy", {})
    awaited = tuple(role for role in policy.get("signoffs", ()) if role != "executor")
    left = attempts.left(home, event, own)
    where = Situation(
        event=event,
        claim=claim,
        deployed=result == "PASSED" and not awaited and not claim,
        awaited=awaited if result == "PASSED" else (),
        due=_due(result, plan, left) if result != "PASSED" and not claim else "",
        left=left,
        hopeless=not ladder.reachable(plan),
        retrain_seconds=_retrain_seconds(home, predicate),
    )
    return next_steps.next_steps(predicate, where)


def _plan(own: Sequence[Entry]) -> Mapping[str, Any]:
    """The plan that was registered last; empty before there is one."""
    plans = [entry.body["plan"] for entry in own if entry.kind == "plan_registered"]
    return plans[-1] if plans else {}


def _due(result: str, plan: Mapping[str, Any], left: Sequence[str]) -> str:
    """The method that the policy goes on with by itself; "" where it leaves that to a person."""
    policy, reach = plan.get("policy", {}), ladder.reachable(plan)
    if result not in policy.get("fallback_on", ("FAILED",)) or not left:
        return ""
    if not policy.get("attempts"):
        return RETRAIN if RETRAIN in left else ""
    return left[0] if reach or result == "FAILED" else ""


def situation(
    home: Home, event: states.Event, own: Sequence[Entry], predicate: Predicate
) -> Situation:
    """Where the event stands, by its entries."""
    kinds = {entry.kind for entry in own}
    return Situation(
        event=event.id,
        claim=event.claim,
        ended=event.ended,
        deployed="model_promoted" in kinds,
        purged="artefacts_purged" in kinds,
        awaited=event.awaited,
        due=attempts.due(home, event.id, own) if event.begins_again else "",
        left=attempts.left(home, event.id, own),
        hopeless=not ladder.reachable(_plan(own)),
        retrain_seconds=_retrain_seconds(home, predicate),
    )


def _retrain_seconds(home: Home, predicate: Predicate) -> float | None:
    """What one full training took: as the statement says, else as measured in this state folder."""
    declared = predicate.event.attempts
    measured = [cost.retraining_seconds for cost in declared.costs] if declared else []
    timed = [seconds for seconds in measured if seconds is not None]
    return (
        timed[-1] if timed else training_times.mean(home, data=predicate.inputs.data_before.version)
    )
