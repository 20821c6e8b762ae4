"""Where each event stands, read from the ledger: the ledger is the only memory.

    received -> verified -> scheduled -> executing -> audited -> approved -> deployed -> closed
                                             |  ^         |
                                             v  |         v
                                       failed_audit -> retrain_required
    exits: denied, cancelled, duplicate; paused and back; error, which a person clears

An entry's kind says what happened; `transitions.py` names the state that follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from compliance.errors import StateError
from compliance.transitions import KINDS, TRANSITIONS, State

__all__ = [
    "KINDS",
    "TRANSITIONS",
    "Event",
    "State",
    "check",
    "current",
    "events",
    "follow",
    "pending",
]

Entry = Mapping[str, Any]


WAITING = frozenset({State.RECEIVED, State.VERIFIED, State.SCHEDULED, State.EXECUTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event as the ledger tells it.

    Attributes:
        id: Its id, which is its request's.
        state: Where it stands.
        received: Time of receipt.
        due: Due date, "" where none was entered.
        attempt: Number of the latest attempt, 0 before the first.
        attempt_closed: Whether that attempt has been dealt with.
        verdict: Of the latest statement; "" before the first.
        statements: Digests of its statements, in order.
        before_pause: Where it goes on after a pause.
        problem: The first entry that should not be there; empty where there is none.
    """

    id: str
    state: State
    received: str
    due: str = ""
    attempt: int = 0
    attempt_closed: bool = False
    verdict: str = ""
    statements: tuple[str, ...] = ()
    before_pause: State | None = None
    problem: str = ""

    @property
    def pending(self) -> bool:
        """Whether there is work that a compliance run should take up."""
        if self.state in (State.AUDITED, State.FAILED_AUDIT):
            return not self.attempt_closed
        return self.state in WAITING or self.state is State.RETRAIN_REQUIRED


def events(entries: Sequence[Entry]) -> dict[str, Event]:
    """All events, in the order of receipt.

    An entry that should not be there leaves the event where it was and is told in its `problem`:
    one bad entry must not hide all events from a person who looks.
    """
    found: dict[str, Event] = {}
    for entry in entries:
        event = entry["event"]
        if event and entry["kind"] in KINDS:
            found[event] = _followed(found.get(event), entry)
    return found


def _followed(event: Event | None, entry: Entry) -> Event:
    try:
        return follow(event, entry)
    except StateError as error:
        told = f"Ledger entry {entry['seq']}: {error}"
        known = event or Event(id=entry["event"], state=State.ERROR, received=entry["time"])
        return replace(known, problem=known.problem or told)


def current(entries: Sequence[Entry], event: str) -> Event:
    """Where one event stands.

    Raises:
        StateError: the ledger does not know it.
    """
    found = events([entry for entry in entries if entry["event"] == event])
    if event not in found:
        raise StateError(f"The ledger knows no event {event}: submit its request first.")
    return found[event]


def pending(entries: Sequence[Entry]) -> list[Event]:
    """Events with work to do, the nearest due date first."""
    waiting = [event for event in events(entries).values() if event.pending]
    return sorted(waiting, key=lambda event: (event.due or "9999", event.received, event.id))


def check(entries: Sequence[Entry], kind: str, event: str, body: Mapping[str, Any]) -> None:
    """Whether an entry may be made next.

    Raises:
        StateError: the event's state does not allow it.
    """
    known = events([entry for entry in entries if entry["event"] == event])
    follow(known.get(event), {"kind": kind, "event": event, "time": "", "body": body})


def follow(event: Event | None, entry: Entry) -> Event:
    """The event after an entry.

    Raises:
        StateError: its state does not allow it, or the kind is unknown.
    """
    kind, body = entry["kind"], entry["body"]
    if kind not in KINDS:
        raise StateError(
            f"Ledger entries of kind {kind!r} are unknown: see compliance/transitions.py."
        )
    if event is None:
        if kind != "request_received":
            raise StateError(f"{kind} of event {entry['event']}, which was never received.")
        due = str(body.get("due", ""))
        received = str(body.get("received", entry["time"]))
        return Event(id=entry["event"], state=State.RECEIVED, received=received, due=due)
    target = _target(event, kind, body)
    if target is not event.state and target not in _allowed(event, kind):
        raise StateError(
            f"Event {event.id} is {event.state.value}: {kind} is not possible there. "
            f"`damp status` shows what comes next."
        )
    return _noted(event, kind, body, target)


def _target(event: Event, kind: str, body: Mapping[str, Any]) -> State:
    if kind == "statement_signed" and body.get("verdict") == "FAILED":
        return State.FAILED_AUDIT
    if kind == "event_resumed":
        return event.before_pause or event.state
    return KINDS[kind] or event.state


def _allowed(event: Event, kind: str) -> frozenset[State]:
    """States that may follow; a model is promoted on a PASSED only."""
    if kind == "event_resumed" and event.before_pause:
        return frozenset({event.before_pause})
    if kind in ("signed_off", "model_promoted") and event.verdict != "PASSED":
        return frozenset()
    return TRANSITIONS[event.state]


def _noted(event: Event, kind: str, body: Mapping[str, Any], target: State) -> Event:
    """The event with what the entry says about its attempts."""
    changed: dict[str, Any] = {"state": target}
    if kind == "event_paused":
        changed["before_pause"] = event.state
    if kind in ("attempt_started", "plan_registered") and body.get("attempt", 0) > event.attempt:
        changed |= {"attempt": body["attempt"], "attempt_closed": False}
    if kind == "statement_signed":
        changed |= {"verdict": str(body.get("verdict", "")), "attempt_closed": False}
        changed["statements"] = (*event.statements, str(body.get("statement", "")))
    if kind == "attempt_closed":
        changed["attempt_closed"] = True
    return replace(event, **changed)
