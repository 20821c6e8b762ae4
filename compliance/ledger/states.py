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

from compliance.formats.errors import StateError
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
        due: Due date, "" where none was entered; the last one where it was extended.
        regulation: The ground that was named; "" where none was entered.
        extended: Whether the due date was moved.
        identity: "required" where nothing runs before the requester's identity is verified.
        verified_by: The role that verified it; "" where nobody has.
        attempt: Number of the latest attempt, 0 before the first.
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
        return self.state in WAITING or self.state is State.RETRAIN_REQUIRED

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
            f"Ledger entries of kind {kind!r} are unknown: see compliance/ledger/transitions.py."
        )
    if event is None:
        if kind != "request_received":
            raise StateError(f"{kind} of event {entry['event']}, which was never received.")
        return _received(entry)
    target = _target(event, kind, body)
    late = kind in OPEN_ONLY and event.ended
    if late or (target is not event.state and target not in _allowed(event, kind)):
        raise StateError(
            f"Event {event.id} is {event.state.value}: {kind} is not possible there. "
            f"`damp status` shows what comes next."
        )
    return _noted(event, kind, body, target)


def _received(entry: Entry) -> Event:
    body = entry["body"]
    return Event(
        id=entry["event"],
        state=State.RECEIVED,
        received=str(body.get("received", entry["time"])),
        due=str(body.get("due", "")),
        regulation=str(body.get("regulation", "")),
        identity=str(body.get("identity", "")),
        signoffs=tuple(body.get("signoffs", ("executor",))),
        claim=bool(body.get("claim", False)),
    )


def _target(event: Event, kind: str, body: Mapping[str, Any]) -> State:
    if kind == "statement_signed" and body.get("verdict") == "FAILED":
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


def _noted(event: Event, kind: str, body: Mapping[str, Any], target: State) -> Event:
    """The event with what the entry says about its clock, its attempts and its signatures."""
    changed: dict[str, Any] = {"state": target}
    if "reason" in body:
        changed["reason"] = str(body["reason"])
    if kind in ("event_paused", "attempt_failed"):
        changed["before_pause"] = event.before_pause if event.state is target else event.state
    if kind == "event_resumed":
        changed |= {"before_pause": None, "reason": ""}
    if kind == "request_verified":
        changed["verified_by"] = str(body.get("role", ""))
    if kind == "deadline_extended":
        changed |= {"due": str(body.get("due", event.due)), "extended": True}
    if kind == "signed_off":
        changed["signed_off"] = (*event.signed_off, str(body.get("role", "")))
    if kind in ("attempt_started", "plan_registered") and body.get("attempt", 0) > event.attempt:
        changed |= {"attempt": body["attempt"], "attempt_closed": False}
    if kind == "statement_signed":
        changed |= {"verdict": str(body.get("verdict", "")), "attempt_closed": False}
        changed["signed_off"] = ()
        changed["statements"] = (*event.statements, str(body.get("statement", "")))
    if kind == "attempt_closed":
        changed["attempt_closed"] = True
    return replace(event, **changed)
