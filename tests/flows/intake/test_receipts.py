"""What is kept of where an event came from is read strictly, and a damaged one is named."""

from __future__ import annotations

import pytest

from flows.intake import receipts
from flows.state.errors import EventError
from flows.state.paths import Home

EVENT = "5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11"


@pytest.mark.parametrize("text", ["", "[1]", '{"folder": 3}', '{"folder": "a", "folder": "b"}'])
def test_an_origin_that_says_something_else_is_named(home: Home, text: str) -> None:
    place = home.event(EVENT) / "origin.json"
    place.parent.mkdir(parents=True)
    place.write_text(text)
    with pytest.raises(EventError, match=r"origin\.json.*estore it"):
        receipts.origin(home, EVENT)
    place.write_text('{"folder": "/a"}')
    assert receipts.origin(home, EVENT) == {"folder": "/a"}
