"""Several requests on one model in one run: logged as a batch, carried out in turn.

Each is cut out of the model that the one before has left, audited for itself, and gets a verdict
of its own: a failure among them takes nothing from the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from compliance.formats import strict_json
from compliance.formats.errors import ComplianceError, StateError
from compliance.ledger import TRANSITIONS, Ledger, State, states
from flows.intake import requests
from flows.state.errors import EventError
from flows.state.paths import Home


def schedule(home: Home, events: Sequence[str]) -> None:
    """Log the place in its batch of every event that shares its model with others of this run.

    Args:
        home: The state folder.
        events: In the order in which they will be carried out.
    """
    ledger = Ledger(home.ledger)
    entries = ledger.entries()
    for batch in _batches(home, events):
        key = f"batch-{strict_json.digest(batch)[:16]}"
        for place, event in enumerate(batch, 1):
            if State.SCHEDULED not in TRANSITIONS[states.current(entries, event).state]:
                continue  # it was begun before, and goes on
            body = {"batch": batch, "place": place}
            try:
                ledger.append_once("event_scheduled", event, key, body, checked=True)
            except StateError:
                continue  # another run has taken it up in this moment


def _batches(home: Home, events: Sequence[str]) -> list[list[str]]:
    """The events by model, where there are several on one."""
    batches = defaultdict(list)
    for event in events:
        try:
            batches[requests.lineage_of(home, event)].append(event)
        except (ComplianceError, EventError):
            continue  # its request cannot be read: its turn says why
    return [batch for batch in batches.values() if len(batch) > 1]
