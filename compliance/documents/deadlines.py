"""The clock of a request: it starts at receipt. Pure: the time is an argument."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from compliance.documents import clock_rules
from compliance.formats.errors import StateError

if TYPE_CHECKING:
    from compliance.documents.policy import Policy

WARNINGS = (14, 21, 28)
"""Days after receipt at which an open request is pointed out."""
SHORT = 7
"""Days before the due date from which on only retraining is started."""
FAILURES = 2
"""Failed attempts after which only retraining is started."""


def due_at(received: datetime, regulation: str, policy: Policy, zone: tzinfo = UTC) -> datetime:
    """When a request must have been dealt with: by the policy, and never later than by the law."""
    return clock_rules.due_at(received, regulation, policy.days(regulation), zone)


def extended(
    due: datetime, now: datetime, days: int, longest: int, latest: datetime | None = None
) -> datetime:
    """The due date moved once.

    Args:
        due: The first due date.
        now: The time; the requester has to be informed before the first due date.
        days: By how many.
        longest: What the policy allows for this regulation.
        latest: The last moment that the law allows; None where it names none.
    Raises:
        StateError: too late, or more than is allowed.
    """
    if longest == 0:
        raise StateError(
            "The policy allows no extension for this regulation: see `extensions` in the policy."
        )
    if not 1 <= days <= longest:
        raise StateError(f"The policy allows an extension of 1 to {longest} days, not {days}.")
    if now > due:
        raise StateError(
            f"The due date {due:%Y-%m-%d} has gone by: the requester must be informed before it. "
            "Close or carry out the request, and inform the requester why it is late."
        )
    moved = due + timedelta(days=days)
    if latest is not None and moved > latest:
        raise StateError(
            f"The law allows no later date than {latest:%Y-%m-%d}: extend by "
            f"{max((latest - due) // timedelta(days=1), 0)} days at most."
        )
    return moved


def days_left(due: datetime, now: datetime) -> int:
    """Whole days to the due date, negative once it has gone by."""
    return (due - now) // timedelta(days=1)


def warning(received: datetime, now: datetime) -> int | None:
    """The last warning day that has been reached, None before the first.

    >>> from datetime import UTC
    >>> start = datetime(2026, 9, 1, tzinfo=UTC)
    >>> warning(start, start + timedelta(days=22))
    21
    """
    age = (now - received) // timedelta(days=1)
    return max((day for day in WARNINGS if day <= age), default=None)


def must_retrain(due: datetime, now: datetime, failed_attempts: int) -> bool:
    """Whether there is no time, or no trust, left for another edit."""
    return failed_attempts >= FAILURES or days_left(due, now) < SHORT
