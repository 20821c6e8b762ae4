"""Killed, interrupted or out of disk anywhere, an event goes on where it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import psutil
import pytest

from flows.servers import auth, private_prefect
from flows.state.paths import Attempt
from flows.steps.table import STEPS
from tests.flows.running import (
    FULL_AT,
    KILLED_AT,
    Office,
    decided_once,
    ended,
    eventually,
    interrupt,
    opened,
    submitted,
    whole,
)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return opened(tmp_path_factory.mktemp("office"))


@pytest.fixture(scope="module")
def served(office: Office) -> Iterator[Office]:
    """The same office beside a Prefect server that is up."""
    with private_prefect.prefect_server(office.home.root / "beside") as server:
        server.wait()
        password = auth.auth_string(server.home)
        given = {"DAMP_PREFECT_API_URL": server.api_url, "DAMP_PREFECT_AUTH": password}
        yield Office(office.home, given)


@pytest.mark.timeout(1500)
def test_killed_at_every_step_an_event_goes_on_and_repeats_nothing(
    office: Office, served: Office
) -> None:
    event = submitted(office, 3)
    alone = ("accept", "train_references", "register")
    for step in STEPS:
        if step in alone:  # with a private server, which must not outlive its owner
            result = office.damp(step, "began", "run", code=KILLED_AT)
            assert result.returncode == -9, result.stderr
            assert office.nothing_runs(), "a server outlived the run that was killed"
            whole(office, event)
        result = served.damp(step, "done", "run", code=KILLED_AT)
        assert result.returncode == -9, result.stderr
        whole(office, event)

    result = office.damp("run")
    assert result.returncode in (0, 2), result.stderr
    begun = Counter(step for step, what in office.notes(event) if what == "began")
    # once when killed before Prefect knew, once for good; those killed at their begin once more;
    # what the ledger holds is not begun again: the signed statement, the closed event
    twice = dict.fromkeys(STEPS, 2) | {"conclude": 1, "close": 1}
    assert begun == Counter(twice) + Counter(alone)
    decided_once(office, event)
    assert office.nothing_runs()
    assert private_prefect.reap(office.home.root) == []  # the next start's: only the notes are left
    assert list((office.home.root / "prefect").glob("server-*.json")) == []


@pytest.mark.timeout(1200)
def test_a_disk_that_is_full_at_any_step_is_told_and_the_event_goes_on(
    office: Office, served: Office
) -> None:
    event = submitted(office, 8)
    writing = ["version_data", "train_references", "edit", "conclude", "register"]
    for step in writing:
        result = served.damp(step, "run", code=FULL_AT)
        assert result.returncode == 1, (step, result.stdout + result.stderr)
        assert result.stderr.count("error: ") == 1, (step, result.stderr)
        assert "Traceback" not in result.stderr
        whole(office, event)
    assert served.damp("run").returncode in (0, 2)
    decided_once(office, event)


@pytest.mark.parametrize("together", [False, True], ids=["one process", "a pool of processes"])
def test_ctrl_c_ends_everything_and_nothing_is_lost(office: Office, together: bool) -> None:
    event = submitted(office, 5 if together else 7)
    pool = (
        "from flows import __main__; from flows.steps import references\n"
        "references.WORTH_A_PROCESS = 0\n__main__.main()"
    )
    with ended(office.start("run", "--event", event, code=pool if together else None)) as run:
        assert eventually(lambda: ("train_references", "began") in office.notes(event))
        if together:
            assert eventually(
                lambda: any("spawn_main" in " ".join(_line(p)) for p in office.processes())
            )
        code, _, err = interrupt(run)
    assert code == 130, err
    assert "interrupted. Nothing is lost" in err
    assert "Traceback" not in err
    assert office.nothing_runs()
    whole(office, event)
    assert office.damp("run", "--event", event).returncode in (0, 2)
    decided_once(office, event)


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def test_the_schedule_fires_and_decides_a_pending_request(office: Office) -> None:
    event = submitted(office, 1)
    with ended(office.start("serve", "--every", "3s")) as serve:
        assert eventually(lambda: not office.is_pending(event))
        later = submitted(office, 2)
        assert eventually(lambda: not office.is_pending(later))
        code, out, err = interrupt(serve)
    assert code == 130, err
    assert "Pending requests are carried out every 3s" in out
    assert "Traceback" not in err
    assert office.nothing_runs()
    decided_once(office, event)
    decided_once(office, later)


def test_a_statement_that_was_changed_is_never_written_again(office: Office) -> None:
    event = submitted(office, 9)
    result = office.damp("conclude", "done", "run", "--event", event, code=KILLED_AT)
    assert result.returncode == -9, result.stderr
    statement = Attempt(office.home, event, 1).statement
    kept = statement.read_bytes()
    statement.write_bytes(kept.replace(b"payload", b"Payload", 1))
    result = office.damp("run", "--event", event)
    assert result.returncode == 1
    assert "is gone or changed" in result.stderr
    assert "never written again" in result.stderr
    statement.write_bytes(kept)
    assert office.damp("run", "--event", event).returncode in (0, 2)
    decided_once(office, event)
