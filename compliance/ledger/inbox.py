"""What is due: every open event with its clock and what has to happen next. Pure: time is given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from compliance.documents import deadlines
from compliance.formats.timestamps import parse_utc
from compliance.ledger.states import Event, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An event's clock and next step.

    Attributes:
        id: Of the event; `state` to `extended` and `verdict` as `Event` has them, None for "".
        days_left: Until it is due, -1 where late by less than a day; None once it has ended.
        warning: The last warning day reached; None before the first and once it has ended.
        awaited: Roles whose sign-off is missing.
        next: A command, or what is waited for; empty where nothing has to happen.
    """

    id: str
    state: str
    regulation: str | None
    received: str
    due: str | None
    extended: bool
    days_left: int | None
    warning: int | None
    verdict: str | None
    awaited: tuple[str, ...]
    reason: str | None
    next: str

    def to_json(self) -> dict[str, Any]:
        """The fields of `damp inbox --json`."""
        return asdict(self) | {"awaited": list(self.awaited)}


def rows(events: Iterable[Event], now: datetime, *, ended: bool = False) -> list[Row]:
    """One row for each open event, the nearest due date first; ended ones too where asked for."""
    chosen = [event for event in events if ended or not event.ended]
    return [row(event, now) for event in sorted(chosen, key=lambda e: (e.ended, e.due, e.id))]


def row(event: Event, now: datetime) -> Row:
    """The row of one event."""
    due = parse_utc(event.due) if event.due and not event.ended else None
    return Row(
        id=event.id,
        state=event.state.value,
        regulation=event.regulation or None,
        received=event.received,
        due=event.due or None,
        extended=event.extended,
        days_left=None if due is None else deadlines.days_left(due, now),
        warning=None if due is None else deadlines.warning(parse_utc(event.received), now),
        verdict=event.verdict or None,
        awaited=event.awaited,
        reason=event.reason or None,
        next=next_step(event),
    )


def next_step(event: Event) -> str:
    """What has to happen next, as a command where there is one; empty where nothing has to."""
    if event.ended:
        return ""
    if event.problem:
        return f"look at it: {event.problem}"
    if event.state is State.PAUSED:
        return f"damp resume {event.id}"
    if event.identity == "required" and not event.verified_by:
        return f"damp verify-identity {event.id} --role ROLE"
    if event.pending:
        return f"damp run --event {event.id}"
    return _after_the_verdict(event)


def _after_the_verdict(event: Event) -> str:
    if event.awaited:
        return f"damp approve {event.id} --role {event.awaited[0]}"
    if event.verdict == "PASSED" and event.claim:
        return f"damp close {event.id} --reason ..."
    if event.verdict == "PASSED":
        return f"damp promote --event {event.id}"
    return f"damp status --event {event.id}, which says what to do after {event.verdict}"
