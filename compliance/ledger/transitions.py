"""States of an event, one row each, and the kinds of ledger entries that lead to them.

A new state is a row in `STATES` and a kind of entry in `KINDS`; what may follow what, which states
end an event, the words for people and the table in docs/record.md come from the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """A state of an event."""

    RECEIVED = "received"
    VERIFIED = "verified"
    SCHEDULED = "scheduled"
    EXECUTING = "executing"
    AUDITED = "audited"
    FAILED_AUDIT = "failed_audit"
    RETRAIN_REQUIRED = "retrain_required"
    NEXT_ATTEMPT = "next_attempt"
    APPROVED = "approved"
    DEPLOYED = "deployed"
    CLOSED = "closed"
    PAUSED = "paused"
    ERROR = "error"
    DENIED = "denied"
    CANCELLED = "cancelled"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateInfo:
    """What a state means, and which states may follow it; none where the event has ended."""

    meaning: str
    follows: frozenset[State] = frozenset()

    @property
    def ends(self) -> bool:
        """Whether nothing more can happen to the event."""
        return not self.follows


KINDS: Mapping[str, State | None] = MappingProxyType(
    {
        "request_received": State.RECEIVED,
        "request_verified": State.VERIFIED,
        "request_denied": State.DENIED,
        "request_duplicate": State.DUPLICATE,
        "event_scheduled": State.SCHEDULED,
        "attempt_started": State.EXECUTING,
        "plan_registered": State.EXECUTING,
        "statement_signed": State.AUDITED,  # FAILED_AUDIT where the body's verdict is FAILED
        "attempt_closed": None,  # the verdict has been dealt with; the state stays
        "retrain_required": State.RETRAIN_REQUIRED,
        "next_attempt": State.NEXT_ATTEMPT,
        "signed_off": State.APPROVED,
        "model_promoted": State.DEPLOYED,
        "event_closed": State.CLOSED,
        "event_paused": State.PAUSED,
        "event_resumed": None,  # the state before the pause
        "event_cancelled": State.CANCELLED,
        "attempt_failed": State.ERROR,
        "reaudited": None,
        "spot_checked": None,
        "deadline_extended": None,
        "deadline_warning": None,
        "artefact_declared": None,
        "purge_started": None,
        "artefacts_purged": None,
        "callback_sent": None,
    }
)
"""Kinds of entries and the states that follow; None: none of its own."""

OPEN_ONLY = frozenset({"deadline_extended", "deadline_warning"})
"""Kinds that make no sense once an event has ended."""

_ALWAYS = frozenset({State.PAUSED, State.CANCELLED, State.ERROR})
_RUN = frozenset({State.SCHEDULED, State.EXECUTING})
_REFUSED = frozenset({State.DENIED, State.DUPLICATE})

STATES: Mapping[State, StateInfo] = MappingProxyType(
    {
        State.RECEIVED: StateInfo(
            meaning="the request is on file and its clock runs",
            follows=_ALWAYS | _RUN | _REFUSED | {State.VERIFIED},
        ),
        State.VERIFIED: StateInfo(
            meaning="somebody has verified the requester's identity",
            follows=_ALWAYS | _RUN | _REFUSED,
        ),
        State.SCHEDULED: StateInfo(
            meaning="it waits for its turn among the events on its model",
            follows=_ALWAYS | _RUN | _REFUSED | {State.VERIFIED},
        ),
        State.EXECUTING: StateInfo(
            meaning="an attempt is under way",
            follows=_ALWAYS | {State.EXECUTING, State.AUDITED, State.FAILED_AUDIT},
        ),
        State.AUDITED: StateInfo(
            meaning="the last attempt has a signed statement, PASSED or INCONCLUSIVE",
            follows=_ALWAYS
            | {State.EXECUTING, State.RETRAIN_REQUIRED, State.NEXT_ATTEMPT}
            | {State.APPROVED, State.DEPLOYED, State.CLOSED},
        ),
        State.FAILED_AUDIT: StateInfo(
            meaning="the last attempt has a signed statement, FAILED",
            follows=_ALWAYS
            | {State.EXECUTING, State.RETRAIN_REQUIRED, State.NEXT_ATTEMPT, State.CLOSED},
        ),
        State.RETRAIN_REQUIRED: StateInfo(
            meaning="no further edit is tried: the next attempt trains anew",
            follows=_ALWAYS | _RUN | {State.CLOSED},
        ),
        State.NEXT_ATTEMPT: StateInfo(
            meaning="the last attempt did not pass: the next one that was declared is due",
            follows=_ALWAYS | _RUN | {State.CLOSED},
        ),
        State.APPROVED: StateInfo(
            meaning="a PASSED statement was signed off by a second role",
            follows=_ALWAYS | {State.APPROVED, State.DEPLOYED, State.CLOSED},
        ),
        State.DEPLOYED: StateInfo(
            meaning="the model after is in use", follows=frozenset({State.CLOSED})
        ),
        State.ERROR: StateInfo(
            meaning="an attempt ended by an error, which a person clears",
            follows=_ALWAYS | _RUN | {State.RETRAIN_REQUIRED, State.NEXT_ATTEMPT, State.CLOSED},
        ),
        State.PAUSED: StateInfo(
            meaning="nothing runs until it is resumed; the clock goes on",
            follows=frozenset({State.CANCELLED}),
        ),
        State.CLOSED: StateInfo(meaning="it was dealt with"),
        State.DENIED: StateInfo(meaning="the request was denied, with a reason"),
        State.CANCELLED: StateInfo(meaning="the request was withdrawn"),
        State.DUPLICATE: StateInfo(meaning="another event does the same"),
    }
)
"""Every state; a pause or an error also leads back to where the event stood."""

TRANSITIONS: Mapping[State, frozenset[State]] = MappingProxyType(
    {state: info.follows for state, info in STATES.items()}
)
ENDED = frozenset(state for state, info in STATES.items() if info.ends)
"""States that nothing leads out of."""


def as_markdown() -> str:
    """The table of states in docs/record.md."""
    lines = [
        f"| `{state.value}` | {info.meaning} | {_names(info.follows) or 'nothing: it has ended'} |"
        for state, info in STATES.items()
    ]
    return "\n".join(["| state | meaning | may be followed by |", "|---|---|---|", *lines]) + "\n"


def _names(states: frozenset[State]) -> str:
    return ", ".join(f"`{state.value}`" for state in State if state in states)
