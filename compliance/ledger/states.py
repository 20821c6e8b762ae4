"""Where each event stands, read from the ledger: the ledger is the only memory.

    received -> verified -> scheduled -> executing -> audited -> approved -> deployed -> closed
                                             |  ^         |
                                             v  |         v
                                       failed_audit -> retrain_required
    exits: denied, cancelled, duplicate; paused and back; error, which a person clears

An entry's kind says what happened; `transitions.py` names the state that follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from compliance.formats import typed
from compliance.formats.errors import JsonError, StateError, TimeError
from compliance.formats.timestamps import parse_utc
from compliance.ledger.bodies import Change, RequestReceived
from compliance.ledger.chain import Entry
from compliance.ledger.transitions import ENDED, KINDS, OPEN_ONLY, TRANSITIONS, State

__all__ = [
    "ENDED",
    "KINDS",
    "TRANSITIONS",
    "Event",
    "State",
    "check",
    "current",
    "events",
    "follow",
    "of",
    "pending",
]

ONCE = frozenset({"attempt_started", "plan_registered", "statement_signed"})
"""Kinds of which an attempt has one; none counts after its statement."""
WAITING = frozenset({State.RECEIVED, State.VERIFIED, State.SCHEDULED, State.EXECUTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Where an event stands, by its entries.

    Attributes:
        id: Its id, which is its request's.
        state: Where it stands.
        received: Time of receipt.
        due: Due date, "" where none was entered; the last one where it was extended.
        regulation: The ground that was named; "" where none was entered.
        extended: Whether the due date was moved.
        identity: "required" where nothing runs before the requester's identity is verified.
        verified_by: The role that verified it; "" where nobody has.
        attempt: Number of the latest attempt, 0 before the first.
        decided: The latest attempt that has a statement, 0 before the first.
        attempt_closed: Whether that attempt has been dealt with.
        verdict: Of the latest statement; "" before the first.
        statements: Digests of its statements, in order.
        signoffs: Roles whose signatures a promotion needs.
        signed_off: Roles that have signed the latest statement beside the executor.
        reason: Why it ended, is paused, or was extended; "" where nothing was said.
        before_pause: Where it goes on after a pause or an error.
        problem: The first entry that should not be there; empty where there is none.
        claim: Whether it audits a claim: nothing is erased and nothing is promoted.
    """

    id: str
    state: State
    received: str
    due: str = ""
    regulation: str = ""
    extended: bool = False
    identity: str = ""
    verified_by: str = ""
    attempt: int = 0
    decided: int = 0
    attempt_closed: bool = False
    verdict: str = ""
    statements: tuple[str, ...] = ()
    signoffs: tuple[str, ...] = ("executor",)
    signed_off: tuple[str, ...] = ()
    reason: str = ""
    before_pause: State | None = None
    problem: str = ""
    claim: bool = False

    @property
    def pending(self) -> bool:
        """Whether there is work that a compliance run should take up."""
        if self.identity == "required" and not self.verified_by:
            return False
        if self.state in (State.AUDITED, State.FAILED_AUDIT):
            return not self.attempt_closed
        return self.state in WAITING or self.begins_again

    @property
    def begins_again(self) -> bool:
        """Whether an attempt was decided and another is due."""
        return self.state in (State.RETRAIN_REQUIRED, State.NEXT_ATTEMPT)

    @property
    def ended(self) -> bool:
        """Whether nothing more can happen to it."""
        return self.state in ENDED

    @property
    def awaited(self) -> tuple[str, ...]:
        """Roles whose sign-off of a PASSED statement is still missing; the executor has signed."""
        if self.verdict != "PASSED":
            return ()
        done = {"executor", *self.signed_off}
        return tuple(role for role in self.signoffs if role not in done)


def events(entries: Sequence[Entry]) -> dict[str, Event]:
    """All events, in the order of receipt.

    An entry that should not be there leaves the event where it was and stands in its `problem`:
    one bad entry must not hide all events from a person who looks.
    """
    every: dict[str, Event] = {}
    for entry in entries:
        if entry.event and entry.kind in KINDS:
            every[entry.event] = _followed(every.get(entry.event), entry)
    return every


def of(own: Iterable[Entry]) -> Event | None:
    """One event from its own entries alone, as `Ledger.of` returns them; None without any."""
    event = None
    for entry in own:
        if entry.kind in KINDS:
            event = _followed(event, entry)
    return event


def _followed(event: Event | None, entry: Entry) -> Event:
    try:
        return follow(event, entry)
    except (StateError, JsonError, TimeError) as error:
        problem = f"Ledger entry {entry.seq}: {error}"
        before = event or Event(id=entry.event, state=State.ERROR, received=entry.time)
        return replace(before, problem=before.problem or problem)


def current(entries: Sequence[Entry], event: str) -> Event:
    """Where one event stands.

    Raises:
        StateError: the ledger does not know it.
    """
    state = of(entry for entry in entries if entry.event == event)
    if state is None:
        raise StateError(f"The ledger knows no event {event}: submit its request first.")
    return state


def pending(entries: Sequence[Entry]) -> list[Event]:
    """Events with work to do, the nearest due date first."""
    waiting = [event for event in events(entries).values() if event.pending]
    return sorted(waiting, key=lambda event: (event.due or "9999", event.received, event.id))


def check(entries: Sequence[Entry], kind: str, event: str, body: Mapping[str, Any]) -> None:
    """Whether an entry may be made next.

    Raises:
        StateError: the event's state does not allow it.
    """
    before = of(entry for entry in entries if entry.event == event)
    _next(before, kind, event, "", body)


def follow(event: Event | None, entry: Entry) -> Event:
    """The event after an entry.

    Raises:
        StateError: its state does not allow it, or the kind is unknown.
        JsonError: its body has another form.
    """
    return _next(event, entry.kind, entry.event, entry.time, entry.body)


def _next(event: Event | None, kind: str, whose: str, time: str, body: Mapping[str, Any]) -> Event:
    if kind not in KINDS:
        raise StateError(
            f"Ledger entries of kind {kind!r} are unknown: see compliance/ledger/transitions.py."
        )
    if event is None:
        if kind != "request_received":
            raise StateError(f"{kind} of event {whose}, which was never received.")
        return _received(whose, time, typed.read(RequestReceived, body, kind))
    change = typed.read(Change, body, kind)
    target = _target(event, kind, change)
    if kind in ONCE and 0 < change.attempt <= event.decided:
        raise StateError(
            f"Attempt {change.attempt} of event {event.id} has its signed statement: a second "
            f"{kind} cannot replace what was decided."
        )
    late = kind in OPEN_ONLY and event.ended
    if late or (target is not event.state and target not in _allowed(event, kind)):
        raise StateError(
            f"Event {event.id} is {event.state.value}: {kind} is not possible there. "
            f"`damp status` shows what comes next."
        )
    return _changed(event, kind, change, target)


def _received(event: str, time: str, body: RequestReceived) -> Event:
    _check_times(body.received, body.due)
    return Event(
        id=event,
        state=State.RECEIVED,
        received=body.received or time,
        due=body.due,
        regulation=body.regulation,
        identity=body.identity,
        signoffs=body.signoffs,
        claim=body.claim,
    )


def _check_times(*texts: str | None) -> None:
    """Refuse what nobody could count with, in an entry that was written by hand.

    Raises:
        TimeError: No time, or in a year that UTC does not have.
    """
    for text in filter(None, texts):
        if len(text) > len("2026-12-01"):
            parse_utc(text)


def _target(event: Event, kind: str, change: Change) -> State:
    if kind == "statement_signed" and change.verdict == "FAILED":
        return State.FAILED_AUDIT
    if kind == "event_resumed":
        return event.before_pause or event.state
    return KINDS[kind] or event.state


def _allowed(event: Event, kind: str) -> frozenset[State]:
    """States that may follow; a model is promoted on a PASSED only, and never on a claim's."""
    if kind == "event_resumed" and event.before_pause:
        return frozenset({event.before_pause})
    if kind in ("request_denied", "request_duplicate") and event.before_pause:
        return TRANSITIONS[event.state] | TRANSITIONS[event.before_pause]
    if kind in ("signed_off", "model_promoted") and event.verdict != "PASSED":
        return frozenset()
    if kind == "model_promoted" and event.claim:
        return frozenset()
    return TRANSITIONS[event.state]


def _changed(event: Event, kind: str, change: Change, target: State) -> Event:
    """The event with what the entry says about its clock, its attempts and its signatures."""
    after = replace(
        event, state=target, reason=event.reason if change.reason is None else change.reason
    )
    match kind:
        case "event_paused" | "attempt_failed":
            before = event.before_pause if event.state is target else event.state
            return replace(after, before_pause=before)
        case "event_resumed":
            return replace(after, before_pause=None, reason="")
        case "request_verified":
            return replace(after, verified_by=change.role)
        case "deadline_extended":
            _check_times(change.due)
            return replace(after, due=change.due or event.due, extended=True)
        case "signed_off":
            return replace(after, signed_off=(*event.signed_off, change.role))
        case "attempt_started" | "plan_registered" if change.attempt > event.attempt:
            return replace(after, attempt=change.attempt, attempt_closed=False)
        case "statement_signed":
            return replace(
                after,
                verdict=change.verdict,
                decided=max(event.decided, change.attempt),
                attempt_closed=False,
                signed_off=(),
                statements=(*event.statements, change.statement),
            )
        case "attempt_closed":
            return replace(after, attempt_closed=True)
    return after
