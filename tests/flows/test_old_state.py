"""A state folder that was written before the rooms were built goes on: nothing in it is lost.

The fixture holds two events of the digits: forgetting 3 was decided and promoted, forgetting 8 was
killed when its seventh step began. `@STATE@` stands where MLflow wrote the folder's absolute path.
"""

from __future__ import annotations

import sqlite3
import tarfile
from pathlib import Path

import pytest

from compliance.ledger import Ledger
from flows.state.paths import Attempt, Home
from tests.flows.running import Office, decided_once, state_of

ARCHIVE = Path(__file__).parent / "fixtures" / "state-before-rooms.tar.xz"
DECIDED = "e03c9c31-fe8f-42ba-9366-6772cc4bc279"
INTERRUPTED = "7b0de1f2-5c7e-4f0c-9d59-5f3f6e2a9c01"
PLACES = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}
"""Table -> column in which MLflow keeps absolute paths."""


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """The old state folder, unpacked, and the commands of today on it."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    state = tmp_path / "old"
    with sqlite3.connect(state / "mlflow.db") as database:
        for table, column in PLACES.items():
            database.execute(
                f"UPDATE {table} SET {column} = replace({column}, '@STATE@', ?)",  # noqa: S608 - names of ours
                (str(state),),
            )
    database.close()
    for origin in state.glob("events/*/origin.json"):
        origin.write_text(origin.read_text().replace("@STATE@", str(state)))
    return Office(Home(state), {"DAMP_KEYS": str(state / "keys")})


def test_a_statement_of_before_verifies(office: Office) -> None:
    attempt = Attempt(office.home, DECIDED, 1)
    check = office.damp(
        "verify", attempt.statement, "--model", attempt.after, "--ledger", office.home.ledger
    )
    assert check.returncode == 0, check.stderr
    assert Ledger(office.home.ledger).verify().problem == ""


def test_a_registry_of_before_passes_the_gate(office: Office) -> None:
    scan = office.damp("audit-registry", "--json")
    assert scan.returncode == 0, scan.stdout + scan.stderr


def test_the_status_shows_where_an_event_of_before_stopped(office: Office) -> None:
    assert state_of(office, DECIDED)["verdict"] == "PASSED"
    interrupted = state_of(office, INTERRUPTED)
    assert (interrupted["state"], interrupted["pending"]) == ("executing", True)
    assert interrupted["doing"].startswith("7/10 Audit candidate and controls (interrupted")


def test_a_report_of_before_is_rendered_again(office: Office, tmp_path: Path) -> None:
    page = tmp_path / "report.md"
    done = office.damp("report", "--event", DECIDED, "--format", "markdown", "--output", str(page))
    assert done.returncode == 0, done.stderr
    assert "PASSED" in page.read_text()


@pytest.mark.slow
def test_an_event_of_before_resumes_and_closes(office: Office) -> None:
    run = office.damp("run", "--event", INTERRUPTED)
    assert run.returncode in (0, 2), run.stderr
    assert state_of(office, INTERRUPTED)["verdict"] in ("PASSED", "FAILED", "INCONCLUSIVE")
    decided_once(office, INTERRUPTED)
