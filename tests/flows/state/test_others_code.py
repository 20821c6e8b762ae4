"""Which code may run for a claim is what the ledger received, whatever lies in the state folder."""

from __future__ import annotations

import json

import pytest

from compliance.ledger import Ledger
from flows.state import others_code
from flows.state.errors import EventError
from flows.state.paths import Home

EVENT = "5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11"
CODE = {"theirs": "00ff"}


@pytest.fixture
def claim(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A state folder with a claim whose code was allowed; this process has seen nothing yet."""
    monkeypatch.setattr(others_code, "_first", {})
    home.claim(EVENT).parent.mkdir(parents=True)
    home.claim(EVENT).write_text("kind: ForgettingClaim")
    write(home, {"original": "aa", **others_code.as_files(CODE)})
    Ledger(home.ledger).append_once("request_received", EVENT, "receipt", {"code": CODE})
    return home


def write(home: Home, files: dict[str, str]) -> None:
    """What the state folder says about the claim's files."""
    (home.event(EVENT) / "origin.json").write_text(json.dumps({"folder": "/a", "files": files}))


def test_what_was_allowed_may_run(claim: Home) -> None:
    assert others_code.of_event(claim, EVENT) == CODE


@pytest.mark.parametrize("files", [{"original": "aa"}, {"code:theirs": "11"}, {"code:os": "00ff"}])
def test_code_that_takes_itself_off_the_record_does_not_run_beside_the_key(
    claim: Home, files: dict[str, str]
) -> None:
    """Where there are no walls it can write there: the next step must not take it for ours."""
    write(claim, files)
    with pytest.raises(EventError, match="other code than the ledger received"):
        others_code.of_event(claim, EVENT)


@pytest.mark.parametrize("gone", [False, True], ids=["rewritten", "no-claim-any-more"])
def test_a_process_that_has_seen_it_believes_no_ledger_that_was_written_anew(
    claim: Home, gone: bool
) -> None:
    assert others_code.of_event(claim, EVENT) == CODE
    claim.ledger.unlink()
    write(claim, {"original": "aa"})
    if gone:
        claim.claim(EVENT).unlink()
    with pytest.raises(EventError, match="has changed while the event ran"):
        others_code.of_event(claim, EVENT)


def test_a_request_brings_no_code_of_others(home: Home) -> None:
    assert others_code.of_event(home, EVENT) == {}
