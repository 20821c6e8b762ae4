"""A request's life between receipt and verdict: each step checked against the ledger, then logged.

A step that the event's state does not allow is refused and leaves nothing behind. While an event
runs, what would take it from under the run's feet is refused as busy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from compliance.documents import clock_rules, deadlines
from compliance.documents.methods import RETRAIN
from compliance.formats.errors import StateError
from compliance.formats.timestamps import parse_utc
from compliance.ledger import Entry, Event, Ledger, since_signed, states
from flows.intake import requests
from flows.records import attempts, checkpoints, event_index
from flows.state import event_ids, locks
from flows.state.errors import EventError
from flows.state.paths import Home
from flows.state.settings import settings

Facts = dict[str, Any]

DENIALS = ("unverifiable", "not-the-person", "exempt", "out-of-scope", "other")
"""Grounds on which a request is denied; what `damp stats` counts by."""

STATUSES = ("DELETED", "QUARANTINED", "EXPIRES_ON", "RETAINED", "UNKNOWN")
"""What became of an artefact; the words of a statement's `propagation`."""

ROLE = re.compile(r"[a-z][a-z0-9-]{1,39}")
TEXT = 300
"""Characters of a reason or a note at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminder:
    """A warning day that an open event has reached, and how many days are left."""

    event: str
    day: int
    left: int


def verify_identity(home: Home, event: str, *, role: str) -> Entry:
    """Log that a role has verified who asks."""
    return _log(home, event, "request_verified", {"role": _role(role)}, key="identity")


def deny(home: Home, event: str, *, reason: str, note: str) -> Entry:
    """End an event before it runs, on a ground that is counted."""
    if reason not in DENIALS:
        raise EventError(f"'{reason}' is no ground. Choose one of: {', '.join(DENIALS)}.")
    if reason == "other" and not note.strip():
        raise EventError("The ground 'other' needs a note that says which: --note TEXT.")
    body = {"reason": reason} | ({"note": _text(note)} if note.strip() else {})
    return _exclusively(home, event, "request_denied", body)


def duplicate(home: Home, event: str, *, of: str) -> Entry:
    """End an event that asks for what another one does already."""
    whose, other = event_ids.whole(home, event), event_ids.whole(home, of)
    if whose == other:
        raise EventError("An event cannot be a duplicate of itself: name the other with --of.")
    return _exclusively(home, whose, "request_duplicate", {"of": other})


def cancel(home: Home, event: str, *, reason: str) -> Entry:
    """End an event because it was withdrawn."""
    return _exclusively(home, event, "event_cancelled", {"reason": _text(reason)})


def pause(home: Home, event: str, *, reason: str) -> Entry:
    """Keep an event from being run; its clock goes on."""
    return _exclusively(home, event, "event_paused", {"reason": _text(reason)})


def resume(home: Home, event: str) -> Entry:
    """Let a paused event go on where it was."""
    whose = event_ids.whole(home, event)
    if _current(home, whose).state is not states.State.PAUSED:
        raise StateError(f"Event {whose} is not paused: there is nothing to resume.")
    return _exclusively(home, whose, "event_resumed", {})


def extend(home: Home, event: str, *, days: int, reason: str, now: datetime | None = None) -> Entry:
    """Move the due date, once, as far as the policy allows."""
    whose = event_ids.whole(home, event)
    before = _current(home, whose)
    if before.extended:
        raise StateError(f"Event {whose} was extended before, to {before.due}: once is all.")
    longest = requests.policy_of(home, whose).extension(before.regulation)
    latest = clock_rules.latest(parse_utc(before.received), before.regulation, settings().zone)
    due = deadlines.extended(parse_utc(before.due), now or datetime.now(UTC), days, longest, latest)
    body = {"days": days, "due": due.isoformat(timespec="seconds"), "reason": _text(reason)}
    return _log(home, whose, "deadline_extended", body, key="extension")


def close(home: Home, event: str, *, reason: str) -> Entry:
    """End an event by hand, after its verdict."""
    return _exclusively(home, event, "event_closed", {"reason": _text(reason)})


def retry(home: Home, event: str, *, preset: str | None) -> Entry:
    """Open the next attempt of an event that did not pass, within what its policy allows.

    Args:
        home: The state folder.
        event: Id, or its beginning.
        preset: One of the methods that are left; None for the next of them.
    Raises:
        StateError: It has no verdict that another attempt could follow.
        EventError: Nothing is left, or this method is not.
    """
    whose = event_ids.whole(home, event)
    requests.must_be_request(home, whose)
    now = _current(home, whose)
    if now.verdict not in ("FAILED", "INCONCLUSIVE") or now.ended or now.pending:
        remedy = f" `damp run --event {whose}` carries it out." if now.pending else ""
        verdict = f"its verdict is {now.verdict}" if now.verdict else "it has no verdict"
        raise StateError(
            f"Event {whose} is {now.state.value}, and {verdict}: another attempt follows a FAILED "
            f"or INCONCLUSIVE that nothing else follows by itself.{remedy}"
        )
    left = attempts.left(home, whose, Ledger(home.ledger).of(whose))
    if not left:
        raise EventError(
            f"The policy of {whose} allows no further attempt. File a new request with more "
            "images, references or another policy, or close this one with `damp close`."
        )
    chosen = preset or left[0]
    if chosen not in left:
        raise EventError(
            f"'{chosen}' is not among the attempts that are left to {whose}: {', '.join(left)}."
        )
    kind = "retrain_required" if chosen == RETRAIN else "next_attempt"
    body = {"attempt": now.attempt, "verdict": now.verdict, "asked": chosen}
    return _exclusively(home, whose, kind, body)


def declare(
    home: Home,
    event: str,
    *,
    artefact: str,
    location: str,
    status: str,
    until: str = "",
    note: str = "",
) -> Entry:
    """Log what became of a copy that is not in this state folder; the last word on it counts."""
    if status not in STATUSES:
        raise EventError(f"'{status}' is no status. Choose one of: {', '.join(STATUSES)}.")
    if (status == "EXPIRES_ON") != bool(until):
        raise EventError("EXPIRES_ON and --until DATE belong together: say when it expires.")
    if until and not _is_date(until):
        raise EventError(f"'{until}' is no date: write it like 2027-01-31.")
    remarks = [_text(note)] if note.strip() else []
    body = {
        "artefact": _text(artefact),
        "location": _text(location),
        "status": status,
        "note": ". ".join([f"Until {until}", *remarks] if until else remarks),
    }
    return _log(home, event, "artefact_declared", body)


def declare_complete(home: Home, event: str, *, role: str) -> Entry:
    """Log a role's word that no copy exists elsewhere but those declared."""
    body = {
        "artefact": since_signed.ELSEWHERE,
        "location": since_signed.NOWHERE,
        "status": "DELETED",
        "note": f"There are no others, says {_role(role)}.",
    }
    return _log(home, event, "artefact_declared", body)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def remind(home: Home, now: datetime | None = None) -> list[Reminder]:
    """Log each warning day that an open event has reached, once; what was new."""
    if not home.ledger.exists():
        return []
    moment_now = now or datetime.now(UTC)
    ledger = Ledger(home.ledger)
    entries = ledger.entries()
    warned = {(e.event, e.key) for e in entries if e.kind == "deadline_warning"}
    fresh = []
    for event in states.events(entries).values():
        day = None if event.ended else deadlines.warning(parse_utc(event.received), moment_now)
        if day is None or not event.due or (event.id, f"day-{day}") in warned:
            continue
        left = deadlines.days_left(parse_utc(event.due), moment_now)
        body = {"day": day, "left": left}
        ledger.append_once("deadline_warning", event.id, f"day-{day}", body, checked=True)
        fresh.append(Reminder(event=event.id, day=day, left=left))
    return fresh


def _log(home: Home, event: str, kind: str, body: Facts, *, key: str = "") -> Entry:
    """Log a step; one with a key once."""
    whose, ledger = event_ids.whole(home, event), Ledger(home.ledger)
    if key:
        return ledger.append_once(kind, whose, key, body, checked=True)
    return ledger.append(kind, whose, body, checked=True)


def _exclusively(home: Home, event: str, kind: str, body: Facts) -> Entry:
    """Log a step while no run works on the event's model."""
    whose = event_ids.whole(home, event)
    with locks.lineage(home, requests.lineage_of(home, whose)):
        entry = Ledger(home.ledger).append(kind, whose, body, checked=True)
    if states.KINDS[kind] in states.ENDED:
        checkpoints.at_close(home)
        event_index.refresh(home)
    return entry


def _current(home: Home, event: str) -> Event:
    return states.current(Ledger(home.ledger).entries(), event)


def _role(name: str) -> str:
    if not ROLE.fullmatch(name):
        raise EventError(
            f"'{name}' is no role: small letters, digits and hyphens, as in privacy-desk. Never a "
            "person's name."
        )
    return name


def _text(words: str) -> str:
    """A reason on one line."""
    text = " ".join(words.split())
    if not text or len(text) > TEXT or not text.isprintable():
        raise EventError(
            f"A reason is 1 to {TEXT} printable characters that name no person. Give one with "
            "--reason or --note."
        )
    return text
