"""`damp doctor` names what would keep an event from running, with a remedy for each."""

from __future__ import annotations

import socket
import time
from importlib import metadata
from pathlib import Path

import pytest

from compliance.ledger import Ledger
from flows.operations import doctor
from flows.servers import local_services, processes
from flows.state import keyring
from flows.state.paths import Home
from flows.state.settings import settings
from tests.flows.conftest import Damp
from tests.flows.state.test_settings import server


def checks(home: Home) -> dict[str, doctor.HealthCheck]:
    return {check.what: check for check in doctor.examine(home)}


def test_a_healthy_place_has_no_problem(home: Home, damp: Damp) -> None:
    keyring.new(home, role="executor", days=300)
    Ledger(home.ledger).append("request_received", "x", {})
    results = checks(home)
    assert {check.level for check in results.values()} <= {doctor.GOOD, doctor.WARNING}
    assert results["ledger"].finding == "2 entries, the chain holds"
    answer = damp("doctor", "--json")
    assert answer.code == 0
    assert {each["what"] for each in answer.json()} >= {"versions", "disk", "keys", "prefect"}


def test_every_finding_has_a_remedy(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "https://api.prefect.cloud/api")
    monkeypatch.setattr(doctor, "LEAST_DISK", 1 << 60)
    monkeypatch.setattr(doctor, "LEAST_MEMORY", 1 << 60)
    results = doctor.examine(home)
    assert {s.what for s in results if s.level != doctor.GOOD} >= {
        "disk",
        "memory",
        "keys",
        "profile",
    }
    assert all(check.remedy for check in results if check.level != doctor.GOOD)


def test_a_package_of_another_version_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version
    monkeypatch.setattr(
        metadata, "version", lambda name: "3.8.8" if name == "prefect" else real(name)
    )
    check = checks(home)["versions"]
    assert check.level == doctor.BAD
    assert "prefect 3.8.8 (needs <3.10,>=3.9)" in check.finding


def test_a_ledger_that_was_changed_is_a_problem(home: Home, damp: Damp) -> None:
    Ledger(home.ledger).append("request_received", "x", {"due": "2026-01-01"})
    home.ledger.write_text(home.ledger.read_text().replace("2026-01-01", "2027-01-01"))
    assert checks(home)["ledger"].level == doctor.BAD
    assert damp("doctor").code == 1


def test_keys_that_expire_soon_or_lie_open_are_named(home: Home) -> None:
    key = keyring.new(home, role="executor", days=3)
    assert checks(home)["keys"].finding == "expires within 14 days"
    private = keyring.folders(home)[0] / f"{key.keyid}.pem"
    private.chmod(0o644)
    results = [check for check in doctor.examine(home) if check.level == doctor.BAD]
    assert [check.remedy for check in results] == [f"chmod 600 {private}"]


def test_a_read_only_state_folder_is_a_problem(home: Home, read_only_disk: Path) -> None:
    check = next(s for s in doctor.examine(Home(read_only_disk / "state")) if s.what != "versions")
    assert (check.level, "Read-only file system" in check.finding) == (doctor.BAD, True)


def test_a_server_that_is_silent_is_a_problem(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAMP_MLFLOW_URI", "http://127.0.0.1:1")
    settings.cache_clear()
    results = checks(home)
    assert results["mlflow"].level == doctor.BAD
    assert results["locks"].level == doctor.WARNING  # a shared registry, locks of one machine


def test_a_port_that_another_program_has_taken_is_named(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = processes.free_port()
    monkeypatch.setattr(local_services, "USUAL", {"prefect": free})
    assert checks(home)["ports"].level == doctor.GOOD
    with socket.create_server(("127.0.0.1", free)):
        check = checks(home)["ports"]
    assert (check.level, f"{free} (prefect)" in check.finding) == (doctor.WARNING, True)
    assert "damp up" in check.remedy


@pytest.mark.parametrize(("ahead", "level"), [(0, doctor.GOOD), (3600, doctor.WARNING)])
def test_a_clock_that_differs_from_the_servers_is_a_warning(ahead: int, level: str) -> None:
    with server("", clock=time.time() + ahead) as url:
        (check,) = doctor._clock("prefect", url)
    assert check.level == level
    assert ("NTP" in check.remedy) is (ahead > 0)
