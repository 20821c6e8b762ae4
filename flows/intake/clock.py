"""When an event's clock starts, when it ends, and which of its dates cannot be. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from compliance.documents import deadlines
from compliance.documents.policy import Policy
from compliance.documents.request import Request
from flows.state.errors import EventError

SKEW = timedelta(minutes=5)
"""That two clocks may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The clock of an event.

    Attributes:
        received: When it started.
        due: When an answer is owed.
        warnings: Dates that cannot be, in sentences.
    """

    received: datetime
    due: datetime
    warnings: tuple[str, ...] = ()


def of_request(
    request: Request,
    policy: Policy,
    *,
    received: datetime | None,
    now: datetime,
    zone: tzinfo = UTC,
) -> Clock:
    """The clock of a request: from its receipt, else from its own `submitted_time`, never later.

    Args:
        request: The request.
        policy: Whose clocks count where they end before the law's.
        received: When it reached the controller, if somebody says so.
        now: The time.
        zone: On whose calendar days and months are counted.
    Raises:
        EventError: A receipt in the future.
        StateError: A date from which no due date can be counted.
    """
    if received is not None and received > now + SKEW:
        raise EventError(
            f"A request cannot have been received at {received.isoformat()}, which is still to "
            "come: correct --received."
        )
    start = min(received or request.submitted_time, now)
    due = deadlines.due_at(start, request.regulation, policy, zone)
    return Clock(
        received=start,
        due=due,
        warnings=tuple(_impossible(request.submitted_time, received, now, due)),
    )


def of_claim(policy: Policy, *, now: datetime, zone: tzinfo = UTC) -> Clock:
    """The clock of a claim, which starts when it is handed in."""
    return Clock(received=now, due=deadlines.due_at(now, "other", policy, zone))


def _impossible(
    submitted: datetime, received: datetime | None, now: datetime, due: datetime
) -> list[str]:
    warnings = []
    if submitted > now + SKEW:
        warnings.append(
            f"`submitted_time` {submitted:%Y-%m-%d} is still to come: the clock started "
            f"{'at the receipt' if received else 'now'}."
        )
    elif received is not None and received < submitted - SKEW:
        warnings.append(
            f"It was received on {received:%Y-%m-%d}, before its `submitted_time` "
            f"{submitted:%Y-%m-%d}: the clock started at the earlier."
        )
    if due < now:
        remedy = "" if received else " If it was received later, submit it with --received TIME."
        warnings.append(
            f"Its due date {due:%Y-%m-%d} has gone by already.{remedy} Else inform the requester "
            "why the answer is late."
        )
    return warnings
