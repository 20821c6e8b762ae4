"""Counts over requests: what a board asks for, and what some rules ask to be published. Pure.

A request counts where it was *received* in the period. Days run from receipt to the answer: the
denial, or the close of the event, whatever its verdict. Medians and means are over answered
requests. Audits of claims are no requests: they are counted apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import fmean, median
from typing import Any

from compliance.formats.timestamps import parse_utc
from compliance.ledger import states
from compliance.ledger.bodies import StatementSigned
from compliance.ledger.chain import Entry
from compliance.ledger.states import Event, State

Facts = dict[str, Any]

ANSWERS = ("request_denied", "event_closed")
ANSWERED = (State.DENIED, State.CLOSED)


def counts(entries: Sequence[Entry], now: datetime, *, since: datetime, until: datetime) -> Facts:
    """All counts over requests received from `since` on and before `until`.

    Args:
        entries: The whole ledger.
        now: The time, which decides what is overdue.
        since: First moment of the period.
        until: First moment after it.
    """
    received = [
        event
        for event in states.events(entries).values()
        if since <= parse_utc(event.received) < until
    ]
    events = [event for event in received if not event.claim]
    # a denial that came too late is in the ledger too and answers nothing
    ended = {event.id for event in events if event.state in ANSWERED}
    answered = {
        e.event: parse_utc(e.time) for e in entries if e.kind in ANSWERS and e.event in ended
    }
    denied = [event for event in events if event.state is State.DENIED]
    return {
        "since": since.isoformat(),
        "until": until.isoformat(),
        "received": len(events),
        "by_regulation": _sorted(Counter(e.regulation or "not recorded" for e in events)),
        "complied_with": sum(_complied(event) for event in events),
        "denied": len(denied),
        "denied_by_reason": _sorted(Counter(e.reason or "not recorded" for e in denied)),
        "cancelled": sum(event.state is State.CANCELLED for event in events),
        "duplicates": sum(event.state is State.DUPLICATE for event in events),
        "closed_otherwise": sum(e.state is State.CLOSED and e.verdict != "PASSED" for e in events),
        "open": sum(not event.ended for event in events),
        "overdue": sum(_overdue(event, now) for event in events),
        "extended": sum(event.extended for event in events),
        "answered_late": sum(_late(event, answered) for event in events),
        **_days(events, answered),
        **_verdicts(entries, {event.id for event in events}),
        "claims": len(received) - len(events),
    }


def _complied(event: Event) -> bool:
    return event.state in (State.CLOSED, State.DEPLOYED) and event.verdict == "PASSED"


def _overdue(event: Event, now: datetime) -> bool:
    return not event.ended and bool(event.due) and now > parse_utc(event.due)


def _late(event: Event, answered: dict[str, datetime]) -> bool:
    when = answered.get(event.id)
    return when is not None and bool(event.due) and when > parse_utc(event.due)


def _days(events: Sequence[Event], answered: dict[str, datetime]) -> Facts:
    """Days from receipt to answer; None where nothing was answered."""
    taken = [
        (answered[event.id] - parse_utc(event.received)) / timedelta(days=1)
        for event in events
        if event.id in answered
    ]
    return {
        "answered": len(taken),
        "median_days": round(median(taken), 2) if taken else None,
        "mean_days": round(fmean(taken), 2) if taken else None,
    }


def _verdicts(entries: Sequence[Entry], events: set[str]) -> Facts:
    own = [entry for entry in entries if entry.event in events]
    signed = [e.read(StatementSigned).verdict for e in own if e.kind == "statement_signed"]
    return {
        "attempts": len(signed),
        "verdicts": _sorted(Counter(signed)),
        "reaudits": sum(entry.kind == "reaudited" for entry in own),
    }


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items()))
