"""Which event is meant: by its whole id, or by its beginning where only one begins so."""

from __future__ import annotations

from compliance.ledger import Ledger, states
from flows.state.errors import EventError
from flows.state.paths import Home

LEAST = 4
"""Characters of an abbreviated id at least."""


def whole(home: Home, told: str) -> str:
    """The whole id of the event that is meant.

    Raises:
        EventError: None begins so, or several do.
    """
    known = list(states.events(Ledger(home.ledger).entries()) if home.ledger.exists() else ())
    if told in known:
        return told
    found = [event for event in known if event.startswith(told)] if len(told) >= LEAST else []
    if len(found) == 1:
        return found[0]
    if found:
        raise EventError(f"Several events begin with {told}: {', '.join(found)}. Write more of it.")
    raise EventError(
        f"The ledger in {home.root} knows no event {told}. `damp status` lists them; "
        "`damp submit` files a request."
    )
