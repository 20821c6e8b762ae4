"""Ledger entries in words: what happened, and the facts that a reader wants beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from compliance.ledger.chain import Entry

Body = Mapping[str, Any]


def words(entry: Entry) -> tuple[str, str]:
    """What happened, and details in one line; unknown kinds by their own name."""
    if entry.kind not in WORDS:
        return entry.kind.replace("_", " "), ""
    what, detail = WORDS[entry.kind]
    return what, detail(entry.body)


def _part(body: Body, name: str, form: str = "{}") -> str:
    value = body.get(name)
    return "" if value in (None, "", []) else form.format(value)


def _all(*parts: tuple[str, str]) -> Callable[[Body], str]:
    """The named facts of a body, each in its form, those that are there."""
    return lambda body: ", ".join(filter(None, (_part(body, name, form) for name, form in parts)))


_ATTEMPT = ("attempt", "attempt {}")
_REASON = ("reason", "reason: {}")
_NOTE = ("note", "{}")


def _started(body: Body) -> str:
    """Which attempt by which method, and why, where it is not the one that was asked for."""
    method = _part(body.get("method", {}), "preset", "by {}")
    rung = body.get("rung") or {}
    declared = rung.get("declared", ())
    place = f"{rung['place']} of {len(declared)} that were declared" if declared else ""
    skipped = ", ".join(f"{e['preset']} skipped" for e in rung.get("skipped", ()))
    parts = (_part(body, *_ATTEMPT), method, place, skipped, _part(body, *_REASON))
    return ", ".join(filter(None, parts))


WORDS: Mapping[str, tuple[str, Callable[[Body], str]]] = MappingProxyType(
    {
        "ledger_opened": ("Ledger opened", _all(("origin", "{}"))),
        "tail_repaired": (
            "A line cut short by a crash was removed",
            _all(("bytes", "{} bytes"), ("sha256", "sha256 {}")),
        ),
        "request_received": (
            "Request received",
            _all(("regulation", "ground {}"), ("due", "due {}")),
        ),
        "request_verified": ("Requester's identity verified", _all(("role", "by {}"), _NOTE)),
        "request_denied": ("Request denied", _all(_REASON, _NOTE)),
        "request_duplicate": ("Marked as a duplicate", _all(("of", "of event {}"))),
        "deadline_extended": (
            "Deadline extended",
            _all(("days", "by {} days"), ("due", "now due {}"), _REASON),
        ),
        "deadline_warning": (
            "Deadline warning",
            _all(("day", "day {}"), ("left", "{} days left")),
        ),
        "event_scheduled": (
            "Scheduled with others on its model",
            _all(("place", "place {} of its batch")),
        ),
        "attempt_started": ("Attempt started", _started),
        "plan_registered": ("Audit plan registered", _all(_ATTEMPT, ("digest", "digest {}"))),
        "statement_signed": (
            "Statement signed",
            _all(_ATTEMPT, ("verdict", "verdict {}"), ("statement", "digest {}")),
        ),
        "attempt_closed": ("Attempt closed", _all(_ATTEMPT, ("verdict", "verdict {}"))),
        "attempt_failed": ("Attempt ended by an error", _all(_ATTEMPT, _REASON)),
        "retrain_required": ("Retraining required", _all(_ATTEMPT, _REASON)),
        "next_attempt": ("Another attempt is due", _all(_ATTEMPT, ("verdict", "verdict {}"))),
        "signed_off": ("Signed off", _all(("role", "by {}"), ("keyid", "key {}"))),
        "model_promoted": (
            "Model promoted",
            _all(("name", "{}"), ("version", "version {}"), ("alias", "alias {}")),
        ),
        "event_closed": ("Event closed", _all(("verdict", "verdict {}"), _REASON)),
        "event_paused": ("Paused", _all(_REASON)),
        "event_resumed": ("Resumed", _all()),
        "event_cancelled": ("Cancelled", _all(_REASON)),
        "reaudited": ("Audited again", _all(("verdict", "verdict {}"), ("event", "event {}"))),
        "family_registered": (
            "Family registered for a study",
            _all(("study", "study {}"), ("name", "{}"), ("try", "try {}")),
        ),
        "qualification_signed": (
            "Study ended",
            _all(("study", "study {}"), ("result", "{}"), ("statement", "digest {}")),
        ),
        "qualification_suspended": (
            "Qualification suspended",
            _all(("qualification", "{}"), ("event", "by event {}"), _REASON),
        ),
        "spot_checked": (
            "Checked against retrained models",
            _all(("verdict", "verdict {}"), ("qualification", "qualification {}")),
        ),
        "artefact_declared": (
            "Artefact declared",
            _all(("artefact", "{}"), ("location", "at {}"), ("status", "{}"), _NOTE),
        ),
        "purge_started": ("Deleting artefacts", _all()),
        "artefacts_purged": ("Artefacts deleted", _all(("count", "{} of them"))),
        "callback_sent": ("Requester's system notified", _all(("status", "answer {}"))),
    }
)
"""Kind of entry: what happened, and the details from its body."""
