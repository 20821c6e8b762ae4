"""States of an event, the kinds of ledger entries, and which state may follow which."""

from __future__ import annotations

from collections.abc import Mapping
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
    APPROVED = "approved"
    DEPLOYED = "deployed"
    CLOSED = "closed"
    PAUSED = "paused"
    ERROR = "error"
    DENIED = "denied"
    CANCELLED = "cancelled"
    DUPLICATE = "duplicate"


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
        "signed_off": State.APPROVED,
        "model_promoted": State.DEPLOYED,
        "event_closed": State.CLOSED,
        "event_paused": State.PAUSED,
        "event_resumed": None,  # the state before the pause
        "event_cancelled": State.CANCELLED,
        "attempt_failed": State.ERROR,
        "reaudited": None,
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

ENDED = frozenset({State.CLOSED, State.DENIED, State.CANCELLED, State.DUPLICATE})
"""States that nothing leads out of."""

_ALWAYS = frozenset({State.PAUSED, State.CANCELLED, State.ERROR})
_RUN = frozenset({State.SCHEDULED, State.EXECUTING})

TRANSITIONS: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.RECEIVED: _ALWAYS | _RUN | {State.VERIFIED, State.DENIED, State.DUPLICATE},
        State.VERIFIED: _ALWAYS | _RUN | {State.DENIED, State.DUPLICATE},
        State.SCHEDULED: _ALWAYS | _RUN | {State.VERIFIED, State.DENIED, State.DUPLICATE},
        State.EXECUTING: _ALWAYS | {State.EXECUTING, State.AUDITED, State.FAILED_AUDIT},
        State.AUDITED: _ALWAYS
        | {State.EXECUTING, State.RETRAIN_REQUIRED, State.APPROVED, State.DEPLOYED, State.CLOSED},
        State.FAILED_AUDIT: _ALWAYS | {State.EXECUTING, State.RETRAIN_REQUIRED, State.CLOSED},
        State.RETRAIN_REQUIRED: _ALWAYS | _RUN | {State.CLOSED},
        State.APPROVED: _ALWAYS | {State.APPROVED, State.DEPLOYED, State.CLOSED},
        State.DEPLOYED: frozenset({State.CLOSED}),
        State.ERROR: _ALWAYS | _RUN | {State.RETRAIN_REQUIRED, State.CLOSED},
        State.PAUSED: frozenset({State.CANCELLED}),
        State.CLOSED: frozenset(),
        State.DENIED: frozenset(),
        State.CANCELLED: frozenset(),
        State.DUPLICATE: frozenset(),
    }
)
