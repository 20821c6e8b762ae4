"""Which event is meant: by its whole id, or by its beginning where only one begins so."""

from __future__ import annotations

from compliance.ledger import Ledger, states
from flows.state.errors import EventError
from flows.state.paths import Home

LEAST = 4
"""Characters of an abbreviated id at least."""


def whole(home: Home, prefix: str) -> str:
    """The whole id of the event that is meant.

    Raises:
        EventError: None begins so, or several do.
    """
    events = list(states.events(Ledger(home.ledger).entries()) if home.ledger.exists() else ())
    if prefix in events:
        return prefix
    matches = [e for e in events if e.startswith(prefix)] if len(prefix) >= LEAST else []
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise EventError(
            f"Several events begin with {prefix}: {', '.join(matches)}. Write more of it."
        )
    raise EventError(
        f"The ledger in {home.root} knows no event {prefix}. `damp status` lists them; "
        "`damp submit` files a request."
    )


def only(home: Home) -> list[str]:
    """The event that is meant where none is named: there is one alone; else nothing."""
    events = list(states.events(Ledger(home.ledger).entries()) if home.ledger.exists() else ())
    return events if len(events) == 1 else []
