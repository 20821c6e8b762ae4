"""A team: Prefect and MLflow on PostgreSQL, artifacts through the server, locks across machines.

Two state folders stand for two machines: nothing is shared between them but the servers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.servers import auth
from flows.state.paths import Attempt, Home
from tests.flows import postgres
from tests.flows.running import (
    Office,
    decided_once,
    ended,
    eventually,
    state_of,
    submitted,
    whole,
    with_policy,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Team:
    """The machine of the servers, and two that work."""

    servers: Office
    first: Office
    second: Office
    address: str


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    with postgres.cluster() as server:
        prefect, mlflow, locks = (
            postgres.database(server.address, name) for name in ("prefect", "mlflow", "locks")
        )
        servers = Office(Home(folder / "servers" / "state"))
        servers.home.root.mkdir(parents=True)
        (servers.home.root / "settings.toml").write_text(
            f'prefect_database_url = "postgresql+asyncpg://{prefect}"\n'
            f'mlflow_database_url = "postgresql+psycopg2://{mlflow}"\n'
        )
        result = servers.damp("up", "--json")
        assert result.returncode == 0, result.stderr
        urls = {each["name"]: each["url"] for each in servers.json("up")}
        password = auth.auth_string(servers.home.root)
        given = {"DAMP_PREFECT_AUTH": password, "DAMP_MLFLOW_AUTH": password}
        machines = []
        for name in ("first", "second"):
            machine = Office(Home(folder / name / "state"), given)
            machine.home.root.mkdir(parents=True)
            (machine.home.root / "settings.toml").write_text(
                f'prefect_api_url = "{urls["prefect"]}/api"\n'
                f'mlflow_uri = "{urls["mlflow"]}"\n'
                f'locks_url = "postgresql://{locks}"\n'
            )
            with_policy(folder / name)
            assert machine.damp("keys", "new").returncode == 0
            machines.append(machine)
        result = machines[0].damp("train", "--data", "digits", "--name", "digits")
        assert result.returncode == 0, result.stderr
        yield Team(servers, machines[0], machines[1], server.address)
        assert servers.damp("down").returncode == 0
        assert servers.nothing_runs()


def test_an_event_of_a_team_is_the_same_flow(team: Team) -> None:
    event = submitted(team.first, 3)
    result = team.first.damp("run", "--event", event)
    assert result.returncode in (0, 2), result.stderr
    decided_once(team.first, event)
    assert not team.first.home.mlflow_db.exists()
    assert not (team.first.home.root / "mlartifacts").exists()
    assert team.first.damp("audit-registry").returncode == 0
    assert team.first.damp("doctor").returncode == 0
    versions = team.second.json("lineage", "digits")
    assert [(v["version"], v["parent"]) for v in versions] == [(1, None), (2, 1)]
    assert team.servers.json("lineage", "digits") == versions  # beside the servers, without a URL
    assert not team.servers.home.mlflow_db.exists()


def test_the_other_machine_takes_the_model_from_the_server(team: Team) -> None:
    """Its ledger is its own: the registry's second version was promoted by the first machine's."""
    event = submitted(team.second, 5)
    assert state_of(team.second, event)["state"] == "received"
    fetched = list(team.second.home.fetched.rglob("weights.safetensors"))
    assert len(fetched) == 1


HOLD = """
import os, sys, time
from pathlib import Path
from flows.state import locks
from flows.servers import auth
from flows.state.paths import Attempt, Home
with locks.lineage(Home(Path(os.environ["DAMP_HOME"])), "digits"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_two_machines_never_work_on_one_model_and_a_dead_one_frees_it(team: Team) -> None:
    event = submitted(team.second, 6)
    with ended(team.first.start(code=HOLD)) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        result = team.second.damp("run", "--event", event)
        assert result.returncode == 4, result.stderr
        assert "Another event is running on model 'digits'" in result.stderr
        holder.kill()
        holder.wait()
    assert eventually(lambda: team.second.damp("run", "--event", event).returncode in (0, 2))
    decided_once(team.second, event)


def elsewhere(machine: Office, **settings: str) -> Office:
    """The machine with some of its settings changed; its passwords stay."""
    return Office(machine.home, machine.extra | settings)


def test_what_does_not_answer_is_named_and_the_event_goes_on(team: Team) -> None:
    event = submitted(team.first, 7)
    wrong = elsewhere(team.first, DAMP_LOCKS_URL="postgresql://127.0.0.1:1/locks")
    result = wrong.damp("run", "--event", event)
    assert result.returncode == 1
    assert "nothing keeps two machines apart" in result.stderr
    gone = elsewhere(team.first, DAMP_MLFLOW_URI="http://127.0.0.1:1")
    result = gone.damp("run", "--event", event)
    assert result.returncode == 1
    assert "No MLflow server answers" in result.stderr
    stranger = elsewhere(team.first, DAMP_PREFECT_AUTH="damp:another")
    result = stranger.damp("run", "--event", event)
    assert result.returncode == 1
    assert "The Prefect server" in result.stderr
    assert "wants another password" in result.stderr
    whole(team.first, event)
    assert team.first.damp("run", "--event", event).returncode in (0, 2)
    decided_once(team.first, event)


FANNED = """
import json, os, signal, sys, time
from pathlib import Path
from flows.servers import auth
from flows.state.paths import Attempt, Home
from flows.state.settings import prepare_environment, settings
home = Home(settings().home)
prepare_environment(home.root)
from flows.servers import cluster; from flows.orchestration import engine
from tests.flows.orchestration.test_team import part
with engine.connected(home) as server:
    server.wait()
    jobs = [{"folder": sys.argv[1], "number": n, "die": sys.argv[2] == "die"} for n in range(4)]
    print(json.dumps(cluster.map(part, jobs, "parts")))
"""


def part(job: dict[str, object]) -> dict[str, object]:
    """Work on a cluster; the second part kills its worker the first time."""
    done = Path(str(job["folder"])) / str(job["number"])
    began = done.with_suffix(".began")
    with began.open("a") as note:
        note.write("x")
    if job["die"] and job["number"] == 1 and began.stat().st_size == 1:
        os.kill(os.getpid(), 9)
    time.sleep(2)  # long enough that one worker does not do it all while the other starts
    done.write_text("done")
    return {"number": job["number"], "pid": os.getpid()}


@pytest.mark.parametrize("runner", ["dask", "ray"])
@pytest.mark.parametrize("die", [False, True], ids=["all live", "a worker dies"])
def test_work_is_spread_over_processes_and_a_dead_worker_is_replaced(
    runner: str, die: bool, tmp_path: Path
) -> None:
    office = Office(
        Home(tmp_path / "state"),
        {
            "DAMP_RUNNER": runner,
            "DAMP_WORKERS": "2",
            "PYTHONPATH": f"{Path(__file__).parents[3]}:{os.environ.get('PYTHONPATH', '')}",
        },
    )
    office.home.root.mkdir()
    result = office.damp(str(tmp_path), "die" if die else "live", code=FANNED)
    assert result.returncode == 0, result.stderr[-3000:]
    content = json.loads(result.stdout.splitlines()[-1])
    assert [each["number"] for each in content] == [0, 1, 2, 3]
    assert len({each["pid"] for each in content}) > 1
    assert all((tmp_path / str(n)).read_text() == "done" for n in range(4))
    assert len((tmp_path / "1.began").read_text()) == (2 if die else 1)
    assert office.nothing_runs()


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_references_and_edit_of_a_cluster_are_the_same_bytes(
    runner: str, tmp_path_factory: pytest.TempPathFactory, team: Team
) -> None:
    """The event's references and its edited model, against those of one process."""
    one = tmp_path_factory.mktemp(f"{runner}-one")
    many = tmp_path_factory.mktemp(f"{runner}-many")
    spread = {"DAMP_RUNNER": runner, "DAMP_WORKERS": "2"}
    weights = next(team.first.home.models.glob("*.safetensors"))
    rows = []
    for folder, extra in ((one, {}), (many, spread)):
        office = Office(Home(folder / "state"), extra)
        office.home.root.mkdir()
        with_policy(folder)
        assert office.damp("keys", "new").returncode == 0
        shutil.copy(weights, folder / "own.safetensors")
        own = {"file": "own.safetensors", "architecture": "damp:cnn"}
        event = submitted(office, 3, own)
        result = office.damp("run", "--event", event)
        assert result.returncode in (0, 2), result.stderr[-3000:]
        assert office.nothing_runs()
        by_name = {f.name: f.read_bytes() for f in office.home.references.iterdir()}
        rows.append(by_name | {"after": Attempt(office.home, event, 1).after.read_bytes()})
        (statistics,) = office.home.statistics.iterdir()  # of the parts, nothing stays
        assert "part" not in statistics.name
    assert rows[0] == rows[1]


def test_a_runner_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['prefect_dask'] = None\n"
        "from flows.servers import cluster\n"
        "try:\n    cluster.runner(2)\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"DAMP_HOME": str(tmp_path), "DAMP_RUNNER": "dask"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "SettingsError" in result.stdout
    assert "damp-unlearning[dask]" in result.stdout
