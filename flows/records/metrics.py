"""What Prometheus reads of a state folder, as its text format 0.0.4: events, days left, durations.

Names of measurements hold no class and no person: an event is named by its id, as everywhere.
Source of the form: prometheus.io, "Exposition formats".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from compliance.formats.errors import TimeError
from compliance.formats.timestamps import parse_utc
from compliance.ledger import Entry, Ledger, states
from compliance.ledger.transitions import State
from flows.state.paths import Home

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[Mapping[str, str], float]


def text(home: Home, now: datetime) -> str:
    """All metrics of a state folder.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    entries = Ledger(home.ledger).entries() if home.ledger.exists() else []
    events = states.events(entries)
    lines = [
        *_metric("damp_events", "Events by state.", _by_state(events.values())),
        *_metric("damp_verdicts", "Events by their last verdict.", _by_verdict(events.values())),
        *_metric(
            "damp_event_days_left",
            "Days until an open event is due; negative once it is late.",
            _days_left(events.values(), now),
        ),
        *_metric(
            "damp_events_late",
            "Open events whose due date has gone by.",
            [({}, float(sum(days < 0 for _, days in _days_left(events.values(), now))))],
        ),
        *_metric(
            "damp_attempt_duration_seconds",
            "From the start of an event's last attempt to its signed statement.",
            _durations(entries),
        ),
        *_metric("damp_ledger_entries", "Entries of the ledger.", [({}, float(len(entries)))]),
    ]
    return "\n".join(lines) + "\n"


def _by_state(events: Iterable[states.Event]) -> list[Sample]:
    """Every state, those without an event too: a metric that vanishes cannot be alerted on."""
    counts = Counter(event.state for event in events)
    return [({"state": state.value}, float(counts[state])) for state in State]


def _by_verdict(events: Iterable[states.Event]) -> list[Sample]:
    counts = Counter(event.verdict for event in events)
    names = ("PASSED", "FAILED", "INCONCLUSIVE")
    return [({"verdict": name}, float(counts[name])) for name in names]


def _days_left(events: Iterable[states.Event], now: datetime) -> list[Sample]:
    return [
        ({"event": event.id}, (parse_utc(event.due) - now).total_seconds() / 86400)
        for event in events
        if event.due and not event.ended
    ]


def _durations(entries: Sequence[Entry]) -> list[Sample]:
    started: dict[str, datetime] = {}
    took: dict[str, float] = {}
    for entry in entries:
        try:
            at = parse_utc(entry.time)
        except TimeError:
            continue  # written by hand: `damp ledger verify` names it
        if entry.kind == "attempt_started":
            started[entry.event] = at
        if entry.kind == "statement_signed" and entry.event in started:
            took[entry.event] = (at - started[entry.event]).total_seconds()
    return [({"event": event}, seconds) for event, seconds in took.items()]


def _metric(name: str, meaning: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} gauge"
    for labels, value in samples:
        inner = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
        yield f"{name}{{{inner}}} {value!r}" if inner else f"{name} {value!r}"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
