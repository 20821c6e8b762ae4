"""When a request's clock starts: at its receipt, and dates that cannot be are pointed out."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compliance.documents.request import Request, parse_request
from compliance.formats.errors import RequestError
from compliance.ledger import Ledger
from flows.intake import clock
from flows.intake.clock import Clock
from flows.state.errors import EventError
from flows.state.paths import Home

STATES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
Refusal = Callable[..., Any]


def request(submitted: datetime) -> Request:
    text = STATES.REQUEST.format(id="5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11", regulation="gdpr")
    return parse_request(text.replace("2026-09-20T08:00:00Z", submitted.isoformat()))


def started(days: float, received: datetime | None = None) -> Clock:
    filed = request(NOW + timedelta(days=days))
    return clock.of_request(filed, STATES.policy(), received=received, now=NOW)


def test_the_clock_starts_when_the_request_was_submitted() -> None:
    fresh = started(-2)
    assert fresh == Clock(
        received=NOW - timedelta(days=2), due=datetime(2026, 12, 27, 12, tzinfo=UTC)
    )


def test_one_of_ninety_days_ago_is_late_and_says_so() -> None:
    old = started(-90)
    assert old.due < NOW
    assert "has gone by already" in old.warnings[0]
    assert "--received" in old.warnings[0]


def test_one_of_next_year_starts_now_and_says_so() -> None:
    early = started(365)
    assert early.received == NOW
    assert "still to come" in early.warnings[0]


def test_what_was_received_otherwise_is_said_on_the_command_line(refused: Refusal) -> None:
    received = NOW - timedelta(days=5)
    assert started(-90, received).received == received
    assert started(-90, received).warnings == ()
    assert "before its `submitted_time`" in started(-1, received).warnings[0]
    with refused(EventError, "still to come", "--received"):
        started(-1, NOW + timedelta(days=1))


def test_the_entry_states_both_dates_and_they_stay(home: Home) -> None:
    event = STATES.put(home, received=NOW - timedelta(days=200))
    body = Ledger(home.ledger).find("request_received", event, "receipt")
    assert body is not None
    assert body.body["due"] == "2026-06-13T12:00:00+00:00"


def test_the_command_line_takes_a_time_with_zone_only(damp: Callable[..., Any], home: Home) -> None:
    file = home.root.parent / "request.yaml"
    file.write_text("kind: ErasureRequest\n")
    for wrong in ("2026-02-10", "2026-02-10T09:00", "soon", "0001-01-01T00:00+02:00"):
        damp("submit", file, "--received", wrong).refused("with its zone", code=1)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-02:00"])
def test_a_time_that_utc_has_no_year_for_is_refused(time: str) -> None:
    filed = STATES.REQUEST.format(id="5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11", regulation="gdpr")
    with pytest.raises(RequestError, match="years 1 to 9999"):
        parse_request(filed.replace("2026-09-20T08:00:00Z", time))


def test_the_zone_comes_from_the_settings(
    home: Home, monkeypatch: pytest.MonkeyPatch, refused: Refusal
) -> None:
    from flows.state.errors import SettingsError
    from flows.state.settings import settings

    monkeypatch.setenv("DAMP_TIME_ZONE", "Europe/Berlin")
    settings.cache_clear()
    assert str(settings().zone) == "Europe/Berlin"
    for wrong in ("Berlin", "../../etc/passwd"):
        monkeypatch.setenv("DAMP_TIME_ZONE", wrong)
        settings.cache_clear()
        with refused(SettingsError, "no time zone"):
            settings()
    settings.cache_clear()
