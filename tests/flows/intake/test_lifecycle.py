"""A request's life: who asks, by when, whether it is done, who signs it off."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compliance.formats.errors import StateError
from compliance.ledger import Ledger, entry_text, states
from compliance.verification.verify import verify_statement
from damp.catalogue import DEFAULT_PRESET
from flows.intake import lifecycle, requests, signoff
from flows.state import event_ids, keyring, locks
from flows.state.errors import BusyError, EventError
from flows.state.paths import Attempt, Home
from flows.steps import prepare

RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))
NOW = datetime(2026, 9, 20, 8, tzinfo=UTC)
BOTH = {"signoffs": ["executor", "reviewer"]}
Damp = Callable[..., Any]
Refusal = Callable[..., Any]


def current(home: Home, event: str) -> states.Event:
    return states.current(Ledger(home.ledger).entries(), event)


# Identity


def test_nothing_runs_before_a_required_identity_is_verified(home: Home) -> None:
    event = RECORDS.put(home, identity="required")
    assert requests.pending(home) == []
    lifecycle.verify_identity(home, event, role="privacy-desk")
    assert current(home, event).verified_by == "privacy-desk"
    assert requests.pending(home) == [event]
    again = lifecycle.verify_identity(home, event, role="privacy-desk")
    assert len(Ledger(home.ledger).of(event, "request_verified")) == 1
    assert again["body"] == {"role": "privacy-desk"}


def test_a_person_s_name_is_no_role(home: Home, refused: Refusal) -> None:
    event = RECORDS.put(home)
    with refused(EventError, "no role", "privacy-desk"):
        lifecycle.verify_identity(home, event, role="Erika Mustermann")


# Ends


def test_a_denial_has_a_ground_that_is_counted(home: Home, refused: Refusal) -> None:
    event = RECORDS.put(home)
    with refused(EventError, "is no ground", "unverifiable"):
        lifecycle.deny(home, event, reason="because", note="")
    with refused(EventError, "needs a note"):
        lifecycle.deny(home, event, reason="other", note=" ")
    lifecycle.deny(home, event, reason="other", note="two\nlines")
    assert current(home, event).state is states.State.DENIED
    assert Ledger(home.ledger).entries()[-1]["body"]["note"] == "two lines"
    with refused(StateError, "is denied"):
        lifecycle.cancel(home, event, reason="no")


@pytest.mark.parametrize("end", ["deny", "duplicate", "cancel"])
def test_an_ended_request_is_never_run(home: Home, end: str) -> None:
    event, other = RECORDS.put(home), RECORDS.put(home)
    steps: dict[str, Callable[[], Any]] = {
        "deny": lambda: lifecycle.deny(home, event, reason="exempt", note=""),
        "duplicate": lambda: lifecycle.duplicate(home, event, of=other),
        "cancel": lambda: lifecycle.cancel(home, event, reason="withdrawn"),
    }
    steps[end]()
    assert requests.pending(home) == [other]
    ledger = Ledger(home.ledger)
    with pytest.raises(StateError):
        ledger.append("attempt_started", event, {"attempt": 1}, checked=True)


def test_an_event_is_no_duplicate_of_itself_or_of_nothing(home: Home, refused: Refusal) -> None:
    event = RECORDS.put(home)
    with refused(EventError, "of itself"):
        lifecycle.duplicate(home, event, of=event)
    with refused(EventError, "knows no event"):
        lifecycle.duplicate(home, event, of="00000000")


def test_a_decided_request_cannot_be_denied_any_more(home: Home, refused: Refusal) -> None:
    event = RECORDS.put(home)
    RECORDS.decide(home, event)
    with refused(StateError, "request_denied is not possible"):
        lifecycle.deny(home, event, reason="exempt", note="")


# Pauses


def test_a_paused_request_waits_and_goes_on_where_it_was(home: Home, refused: Refusal) -> None:
    event = RECORDS.put(home)
    due = current(home, event).due
    with refused(StateError, "not paused"):
        lifecycle.resume(home, event)
    for _ in range(2):
        lifecycle.pause(home, event, reason="waiting for the contract")
        assert requests.pending(home) == []
        assert current(home, event).due == due  # the clock goes on
        lifecycle.resume(home, event)
        assert requests.pending(home) == [event]
    lifecycle.pause(home, event, reason="again")
    lifecycle.deny(home, event, reason="unverifiable", note="")
    assert current(home, event).state is states.State.DENIED


def test_a_paused_decided_event_cannot_be_denied(home: Home, refused: Refusal) -> None:
    event = RECORDS.put(home)
    RECORDS.decide(home, event)
    lifecycle.pause(home, event, reason="wait")
    with refused(StateError, "request_denied is not possible"):
        lifecycle.deny(home, event, reason="exempt", note="")


@pytest.mark.parametrize("step", ["pause", "cancel", "close"])
def test_a_running_event_is_not_taken_from_under_its_run(home: Home, step: str) -> None:
    event = RECORDS.put(home)
    before = home.ledger.read_bytes()
    with locks.lineage(home, "digits"), pytest.raises(BusyError):
        getattr(lifecycle, step)(home, event, reason="stop")
    assert home.ledger.read_bytes() == before


@pytest.mark.parametrize("reason", ["", "  ", "x" * 301, "a\x1b[31m", "tab\x00"])
def test_a_reason_is_printable_and_short(home: Home, refused: Refusal, reason: str) -> None:
    event = RECORDS.put(home)
    with refused(EventError, "printable"):
        lifecycle.cancel(home, event, reason=reason)


# The clock


def test_an_extension_moves_the_due_date_once_and_in_time(home: Home, refused: Refusal) -> None:
    event = RECORDS.put(home, received=NOW, extensions={"gdpr": 60})
    late = NOW + timedelta(days=31)
    with refused(StateError, "1 to 60 days"):
        lifecycle.extend(home, event, days=61, reason="many", now=NOW)
    with refused(StateError, "has gone by"):
        lifecycle.extend(home, event, days=30, reason="many", now=late)
    lifecycle.extend(home, event, days=30, reason="many requests", now=NOW + timedelta(days=20))
    assert current(home, event).due == (NOW + timedelta(days=60)).isoformat()
    with refused(StateError, "once is all"):
        lifecycle.extend(home, event, days=5, reason="more", now=NOW)


def test_where_the_policy_allows_no_extension_there_is_none(home: Home, refused: Refusal) -> None:
    event = RECORDS.put(home, regulation="contract", received=NOW)
    with refused(StateError, "no extension for this regulation"):
        lifecycle.extend(home, event, days=1, reason="x", now=NOW)


def test_each_warning_day_is_logged_once(home: Home) -> None:
    event, young = (
        RECORDS.put(home, received=NOW),
        RECORDS.put(home, received=NOW + timedelta(days=20)),
    )
    ended = RECORDS.put(home, received=NOW)
    lifecycle.cancel(home, ended, reason="withdrawn")
    days = []
    for day in (1, 14, 15, 22, 22, 40):
        days += [(f.event, f.day) for f in lifecycle.remind(home, NOW + timedelta(days=day))]
    assert days == [(event, 14), (event, 21), (event, 28), (young, 14)]
    assert Ledger(home.ledger).of(event, "deadline_warning")[-1]["body"]["left"] == -10


def test_a_clock_that_went_back_warns_of_nothing_twice(home: Home) -> None:
    event = RECORDS.put(home, received=NOW)
    assert [f.day for f in lifecycle.remind(home, NOW + timedelta(days=22))] == [21]
    assert lifecycle.remind(home, NOW - timedelta(days=365)) == []
    assert [f.day for f in lifecycle.remind(home, NOW + timedelta(days=15))] == [14]
    assert lifecycle.remind(home, NOW + timedelta(days=22)) == []
    assert len(Ledger(home.ledger).of(event, "deadline_warning")) == 2


@pytest.mark.parametrize(
    ("fallback", "days", "failed", "preset", "why"),
    [
        pytest.param("retrain", 1, 0, DEFAULT_PRESET, "", id="in-time"),
        pytest.param("retrain", 24, 0, "retrain", "0 failed attempts, 5 days left", id="late"),
        pytest.param("retrain", 40, 0, "retrain", "0 failed attempts, 0 days left", id="too-late"),
        pytest.param("retrain", 1, 2, "retrain", "2 failed attempts, 28 days left", id="twice"),
        pytest.param("none", 24, 2, DEFAULT_PRESET, "", id="not-by-this-policy"),
    ],
)
def test_without_time_or_trust_only_retraining_is_started_and_the_ledger_says_why(
    home: Home, fallback: str, days: int, failed: int, preset: str, why: str
) -> None:
    received = datetime.now(UTC) - timedelta(days=days, hours=1)
    event = RECORDS.put(home, received=received, fallback=fallback)
    for number in range(1, failed + 1):
        RECORDS.decide(home, event, number=number, verdict="FAILED")
    assert prepare.accept(Attempt(home, event, failed + 1)).method.preset == preset
    started = Ledger(home.ledger).of(event, "attempt_started")[-1]
    words = f"attempt {failed + 1}, by {preset}"
    assert entry_text.words(started)[1].startswith(f"{words}, reason: {why}" if why else words)


LADDER = ["mended", "renewed", "retrain"]


@pytest.mark.parametrize(
    ("days", "place", "preset", "skipped"),
    [(1, 1, "mended", []), (24, 3, "retrain", ["mended", "renewed"])],
)
def test_of_declared_attempts_the_first_is_started_or_in_a_hurry_the_last(
    home: Home, days: int, place: int, preset: str, skipped: list[str]
) -> None:
    received = datetime.now(UTC) - timedelta(days=days, hours=1)
    event = RECORDS.put(home, received=received, attempts=LADDER)
    accepted = prepare.accept(Attempt(home, event, 1))
    assert accepted.method.preset == preset
    assert accepted.rung is not None
    assert (accepted.rung.place, accepted.rung.declared) == (place, tuple(LADDER))
    assert [each.preset for each in accepted.rung.skipped] == skipped
    assert all("5 days left" in each.reason for each in accepted.rung.skipped)
    assert accepted.judged_by.alpha == pytest.approx(accepted.policy.alpha / 3)
    started = Ledger(home.ledger).of(event, "attempt_started")[-1]
    assert f"{place} of 3 that were declared" in entry_text.words(started)[1]
    # begun again after a kill it is what it was, whatever the clock says by then
    assert prepare.accept(Attempt(home, event, 1)) == accepted


def test_an_event_begun_before_policies_declared_attempts_ends_as_it_began(home: Home) -> None:
    event = RECORDS.put(home, attempts=LADDER)
    RECORDS.decide(home, event, verdict="FAILED")  # its entry says nothing of attempts
    Ledger(home.ledger).append_once(
        "retrain_required", event, "attempt-1", {"attempt": 1}, checked=True
    )
    accepted = prepare.accept(Attempt(home, event, 2))
    assert (accepted.rung, accepted.method.preset) == (None, "retrain")
    assert accepted.judged_by == accepted.policy


# Names of events


def test_an_event_may_be_named_by_its_beginning(home: Home, refused: Refusal) -> None:
    event = RECORDS.put(home)
    assert event_ids.whole(home, event[:4]) == event
    for prefix in (event[:3], "zzzz", ""):
        with refused(EventError, "knows no event"):
            event_ids.whole(home, prefix)


# Sign-offs


@pytest.fixture
def waiting(home: Home) -> str:
    """An event that has passed and waits for the reviewer."""
    event: str = RECORDS.put(home, **BOTH)
    RECORDS.decide(home, event)
    return event


def test_the_reviewer_signs_the_same_bytes(home: Home, waiting: str) -> None:
    assert current(home, waiting).awaited == ("reviewer",)
    keyring.new(home, role="reviewer", days=30)
    signature = signoff.approve(home, waiting, role="reviewer", signed=None)
    assert (signature.awaited, signature.verdict) == ([], "PASSED")
    assert current(home, waiting).state is states.State.APPROVED
    file = home.event(waiting) / "attempt-1" / "statement.dsse.json"
    both = ("executor", "reviewer")
    verification = verify_statement(file, home.trust, ledger=home.ledger, roles=both)
    assert verification.exit_code == 0
    assert verification.digest == signature.digest


def test_without_a_reviewer_s_key_nothing_is_signed(
    home: Home, waiting: str, refused: Refusal
) -> None:
    with refused(EventError, "No key here can sign as reviewer"):
        signoff.approve(home, waiting, role="reviewer", signed=None)


def test_a_signature_made_elsewhere_is_taken_over(
    home: Home, waiting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reviewer's key is on another machine: only the statement and the trust file travel."""
    statement = home.event(waiting) / "attempt-1" / "statement.dsse.json"
    monkeypatch.setenv("DAMP_KEYS", str(tmp_path / "the reviewer's keys"))
    keyring.new(home, role="reviewer", days=30)
    copy, trust = tmp_path / "copy.json", tmp_path / "trust.json"
    trust.write_bytes(home.trust.read_bytes())
    elsewhere = Home(tmp_path / "nothing here")
    signoff.sign(elsewhere, statement, role="reviewer", trust=trust, output=copy)
    monkeypatch.setenv("DAMP_KEYS", str(tmp_path / "keys"))
    before = statement.read_bytes()
    with pytest.raises(EventError, match="No key here"):
        signoff.approve(home, waiting, role="reviewer", signed=None)
    assert statement.read_bytes() == before
    assert signoff.approve(home, waiting, role="reviewer", signed=copy).awaited == []


def test_a_copy_of_another_statement_or_without_the_signature_is_refused(
    home: Home, waiting: str, tmp_path: Path, refused: Refusal
) -> None:
    keyring.new(home, role="reviewer", days=30)
    other = RECORDS.put(home, **BOTH)
    foreign = RECORDS.decide(home, other).statement
    statement = home.event(waiting) / "attempt-1" / "statement.dsse.json"
    with refused(ValueError, "different statements"):
        signoff.approve(home, waiting, role="reviewer", signed=foreign)
    with refused(EventError, "no signature of a trusted reviewer"):
        signoff.approve(home, waiting, role="reviewer", signed=statement)


@pytest.mark.parametrize("verdict", ["FAILED", "INCONCLUSIVE"])
def test_only_a_pass_is_signed_off(home: Home, verdict: str, refused: Refusal) -> None:
    event = RECORDS.put(home, **BOTH)
    RECORDS.decide(home, event, verdict=verdict)
    keyring.new(home, role="reviewer", days=30)
    with refused(StateError, "signed_off is not possible"):
        signoff.approve(home, event, role="reviewer", signed=None)


def test_a_statement_that_does_not_hold_is_not_signed(
    home: Home, waiting: str, refused: Refusal
) -> None:
    keyring.new(home, role="reviewer", days=30)
    after = home.event(waiting) / "attempt-1" / "after.safetensors"
    after.write_bytes(b"another model")
    with refused(EventError, "does not hold, so it is not signed"):
        signoff.approve(home, waiting, role="reviewer", signed=None)


def test_a_sign_off_cut_short_between_file_and_ledger_is_finished(
    home: Home, waiting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring.new(home, role="reviewer", days=30)

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "append_once", dies)
        with pytest.raises(KeyboardInterrupt):
            signoff.approve(home, waiting, role="reviewer", signed=None)
    assert current(home, waiting).awaited == ("reviewer",)
    first, again = (signoff.approve(home, waiting, role="reviewer", signed=None) for _ in range(2))
    assert first == again
    assert len(Ledger(home.ledger).of(waiting, "signed_off")) == 1


# The command line


def test_the_inbox_shows_what_is_due_and_what_comes_next(damp: Damp, home: Home) -> None:
    soon = datetime.now(UTC) - timedelta(days=22)
    late = datetime.now(UTC) - timedelta(days=33)
    events = {
        "new": RECORDS.put(home),
        "unknown": RECORDS.put(home, identity="required", received=soon),
        "late": RECORDS.put(home, received=late, regulation="other"),  # 30 days, in any month
        "paused": RECORDS.put(home),
        "waiting": RECORDS.put(home, **BOTH),
        "gone": RECORDS.put(home),
    }
    RECORDS.decide(home, events["waiting"])
    assert damp("pause", events["paused"][:8], "--reason", "wait").code == 0
    assert damp("deny", events["gone"], "--reason", "exempt").code == 0
    rows = {row["id"]: row for row in damp("inbox", "--json").json()}
    assert list(rows)[:2] == [events["late"], events["unknown"]]
    assert events["gone"] not in rows
    following = {name: rows[event]["next"] for name, event in events.items() if event in rows}
    assert following == {
        "new": f"damp run --event {events['new']}",
        "late": f"damp run --event {events['late']}",
        "unknown": f"damp verify-identity {events['unknown']} --role ROLE",
        "paused": f"damp resume {events['paused']}",
        "waiting": f"damp approve {events['waiting']} --role reviewer",
    }
    assert (rows[events["late"]]["days_left"], rows[events["unknown"]]["warning"]) == (-4, 21)
    shown = damp("inbox", "--all").out
    assert "3 days LATE" in shown
    assert "denied" in shown


def test_every_step_answers_in_words_and_as_json(damp: Damp, home: Home) -> None:
    event = RECORDS.put(home, extensions={"gdpr": 60})
    result = damp("verify-identity", event, "--role", "privacy-desk")
    assert result.code == 0
    assert "Requester's identity verified (by privacy-desk)" in result.out
    assert f"Next: damp run --event {event}" in result.out
    answer = damp("extend", event, "--days", "10", "--reason", "many", "--json").json()
    assert (answer["extended"], answer["state"]) == (True, "verified")
    assert damp("cancel", event, "--reason", "withdrawn", "--json").json()["next"] == ""
    refused = damp("pause", event, "--reason", "x")
    assert (refused.code, "is cancelled" in refused.err) == (1, True)
    assert damp("deny", "nobody", "--reason", "exempt").code == 1


def test_approving_shows_what_is_signed(damp: Damp, home: Home, waiting: str) -> None:
    keyring.new(home, role="reviewer", days=30)
    result = damp("approve", waiting[:8])
    assert result.code == 0, result.err
    assert "verdict PASSED" in result.out
    assert "In all" in result.out
    assert "damp promote" in result.out


def test_a_second_signature_is_added_to_a_file(
    damp: Damp, home: Home, waiting: str, tmp_path: Path
) -> None:
    keyring.new(home, role="reviewer", days=30)
    statement = home.event(waiting) / "attempt-1" / "statement.dsse.json"
    result = damp("sign", statement, "--output", tmp_path / "signed.json", "--json")
    assert result.code == 0, result.err
    assert len(damp("verify", tmp_path / "signed.json", "--json").json()["signatures"]) == 2
    (tmp_path / "no.json").write_text("{}")
    assert damp("sign", tmp_path / "no.json").code == 1
