"""/metrics: right by Prometheus' own parser, on this machine only, and for who has the password."""

from __future__ import annotations

import http.client
import runpy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from compliance.formats.timestamps import parse_utc
from compliance.ledger import Ledger, states
from flows.intake import lifecycle
from flows.records import metrics
from flows.servers import auth, metrics_server
from flows.state.errors import ServerError
from flows.state.paths import Home

RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))
Values = dict[tuple[str, str], float]


def parsed(text: str) -> Values:
    """By the parser of prometheus-client: the independent reference."""
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_events_are_counted_by_state_and_verdict_with_days_and_durations(home: Home) -> None:
    pending, failed, passed = (RECORDS.put(home) for _ in range(3))
    RECORDS.decide(home, failed, verdict="FAILED")
    RECORDS.decide(home, passed)
    lifecycle.close(home, passed, reason="done")
    due = parse_utc(states.current(Ledger(home.ledger).entries(), pending).due)
    values = parsed(metrics.text(home, due - timedelta(days=3)))
    assert values["damp_events", "received"] == 1
    assert values["damp_events", "failed_audit"] == 1
    assert values["damp_events", "closed"] == 1
    assert values["damp_events", "error"] == 0
    assert sum(v for (name, _), v in values.items() if name == "damp_events") == 3
    assert values["damp_verdicts", "FAILED"] == values["damp_verdicts", "PASSED"] == 1
    assert values["damp_event_days_left", pending] == pytest.approx(3)
    assert ("damp_event_days_left", passed) not in values  # it has ended
    assert values["damp_events_late", ""] == 0
    assert values["damp_attempt_duration_seconds", failed] >= 0
    late = parsed(metrics.text(home, due + timedelta(days=1)))
    assert late["damp_events_late", ""] == 2
    assert late["damp_event_days_left", pending] == pytest.approx(-1)


def test_an_empty_state_folder_has_its_zeros(home: Home) -> None:
    values = parsed(metrics.text(home, datetime.now(UTC)))
    assert values["damp_ledger_entries", ""] == 0
    assert {value for (name, _), value in values.items() if name == "damp_events"} == {0.0}


def test_a_label_is_escaped() -> None:
    odd = 'a"b\\c\nd'
    (line,) = [*metrics._metric("m", "Meaning.", [({"event": odd}, 1.0)])][2:]
    assert parsed(f"# TYPE m gauge\n{line}\n") == {("m", odd): 1.0}


@pytest.fixture
def server(home: Home) -> Iterator[tuple[int, dict[str, str]]]:
    home.root.mkdir(exist_ok=True)
    password = auth.auth_string(home.root)
    with metrics_server.served(lambda: "m 1.0\n", "text/plain", port=0, auth=password) as address:
        yield int(address.rpartition(":")[2].partition("/")[0]), auth.header(password)


def asked(port: int, path: str, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_whoever_has_the_password_is_answered(server: tuple[int, dict[str, str]]) -> None:
    port, right = server
    assert asked(port, "/metrics", right) == (200, "m 1.0\n")
    assert asked(port, "/other", right)[0] == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Basic bm9ib2R5Om5vdGhpbmc="}, 401),
        ({"Host": "rebound.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_nobody_else_is(
    server: tuple[int, dict[str, str]], headers: dict[str, str], status: int
) -> None:
    port, right = server
    given = headers if status == 401 else right | headers
    answer = asked(port, "/metrics", given)
    assert answer[0] == status
    assert "m 1.0" not in answer[1]


def test_a_port_that_is_taken_is_refused(server: tuple[int, dict[str, str]]) -> None:
    taken = metrics_server.served(lambda: "", "text/plain", port=server[0], auth="a:b")
    with pytest.raises(ServerError, match="--metrics-port"), taken:
        pass
