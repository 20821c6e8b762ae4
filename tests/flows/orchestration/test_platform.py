"""Servers with pages, schedules, workers and alerts: what a platform team leaves alone at night."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import psutil
import pytest

from compliance.ledger import Ledger
from flows.servers import auth, local_services, processes
from flows.state.paths import Attempt
from tests.flows.running import (
    KILLED_AT,
    Office,
    decided_once,
    ended,
    eventually,
    interrupt,
    opened,
    state_of,
    submitted,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An office with `damp up` running."""
    office = opened(tmp_path_factory.mktemp("platform"))
    result = office.damp("up", "--json")
    assert result.returncode == 0, result.stderr
    yield office
    assert office.damp("down").returncode == 0
    assert office.nothing_runs(), [p.cmdline() for p in office.processes()]


def up(platform: Office) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in platform.json("up")}


def asked(platform: Office, url: str, content: Any = None) -> Any:
    """What a server's API answers to somebody who knows its password."""
    sent = auth.header(auth.auth_string(platform.home.root))
    with httpx.Client(headers=sent, timeout=30) as client:
        answer = client.get(url) if content is None else client.post(url, json=content)
    return answer.raise_for_status().json()


def test_up_again_finds_what_runs_and_starts_what_died(platform: Office) -> None:
    before = up(platform)
    assert up(platform) == before
    assert all(each["healthy"] for each in before.values())
    assert all(Path(each["log"]).is_file() for each in before.values())
    os.kill(before["prefect"]["pid"], signal.SIGKILL)
    after = up(platform)
    assert after["mlflow"]["pid"] == before["mlflow"]["pid"]
    assert after["prefect"]["pid"] != before["prefect"]["pid"]
    assert after["prefect"]["healthy"]


def test_a_port_that_is_taken_is_refused_and_nothing_is_left_running(
    platform: Office, tmp_path: Path
) -> None:
    taken = str(local_services.USUAL["mlflow"])
    port = up(platform)["mlflow"]["url"].rpartition(":")[2]
    other = replace(platform, home=type(platform.home)(tmp_path / "state"))
    result = other.damp("up", "--mlflow-port", port)
    assert result.returncode == 1
    assert f"Port {port} is taken" in result.stderr, taken
    assert other.nothing_runs()
    result = platform.damp("up", "--mlflow-port", "1")
    assert "already runs on port" in result.stderr


def test_down_without_servers_is_fine(platform: Office, tmp_path: Path) -> None:
    other = replace(platform, home=type(platform.home)(tmp_path / "state"))
    result = other.damp("down")
    assert (result.returncode, "nothing was done" in result.stdout) == (0, True)
    assert not other.home.root.exists()


def test_an_event_on_the_servers_leaves_pages_that_read_well(platform: Office) -> None:
    event = submitted(platform, 3, policy="demo-v1")  # what its five references let pass
    assert platform.damp("run", "--event", event).returncode in (0, 2)
    decided_once(platform, event)
    api = up(platform)["prefect"]["url"] + "/api"
    shown = {a["key"]: a for a in asked(platform, f"{api}/artifacts/filter", {})}
    assert shown[f"progress-{event}-1"]["data"] == 90.0
    assert state_of(platform, event)["verdict"] in shown[f"verdict-{event}-1"]["data"]
    rows = json.loads(shown[f"audits-{event}-1"]["data"])
    assert {"name", "outcome"} <= rows[0].keys()
    assert "/#/models/digits/versions/" in shown[f"report-{event}-1"]["data"]
    (run,) = [
        r
        for r in asked(platform, f"{api}/flow_runs/filter", {})
        if f"event {event[:8]}" in r["tags"]
    ]
    assert run["state_name"] == "Completed"
    assert run["name"] == f"digits@champion: forget class 3, attempt 1 ({event[:8]})"
    lines = [line["message"] for line in asked(platform, f"{api}/logs/filter", {})]
    assert any(line.startswith("3 of 10: ") for line in lines)
    plan = json.loads(Attempt(platform.home, event, 1).plan.read_text())
    assert plan["expectedPower"]["told"] in lines  # before the verdict, which comes steps later
    assert any(line.startswith(f"{state_of(platform, event)['verdict']}: ") for line in lines)
    written = (platform.home.root / "logs" / "damp.jsonl").read_text()
    log = [json.loads(line) for line in written.splitlines()]
    assert {"step", "attempt"} <= next(line for line in log if line["event"] == event).keys()


def test_a_run_that_was_killed_is_marked_and_goes_on(platform: Office) -> None:
    event = submitted(platform, 4)
    result = platform.damp("edit", "began", "run", "--event", event, code=KILLED_AT)
    assert result.returncode == -9
    assert "interrupted" in state_of(platform, event)["doing"]
    api = up(platform)["prefect"]["url"] + "/api"
    assert [r["state_name"] for r in runs(platform, api, event)] == ["Running"]
    assert platform.damp("run", "--event", event).returncode in (0, 2)
    assert sorted(r["state_name"] for r in runs(platform, api, event)) == ["Completed", "Crashed"]
    decided_once(platform, event)


def test_a_server_that_dies_under_a_run_is_told_and_the_event_goes_on(platform: Office) -> None:
    event = submitted(platform, 2)
    with ended(platform.start("run", "--event", event)) as run:
        assert eventually(lambda: ("version_data", "began") in platform.notes(event))
        os.kill(up(platform)["prefect"]["pid"], signal.SIGKILL)
        _, err = run.communicate()
    assert run.returncode == 1, err
    assert "The Prefect server at" in err
    assert "Traceback" not in err
    up(platform)
    assert platform.damp("run", "--event", event).returncode in (0, 2)
    decided_once(platform, event)


def runs(platform: Office, api: str, event: str) -> list[dict[str, Any]]:
    return [
        r
        for r in asked(platform, f"{api}/flow_runs/filter", {})
        if f"event {event[:8]}" in r["tags"]
    ]


@contextmanager
def listening() -> Iterator[tuple[str, list[bytes]]]:
    """A server on this machine that keeps what is posted to it."""
    heard: list[bytes] = []

    class Keeping(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Keeping) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/damp", heard
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def worker(platform: Office) -> Iterator[subprocess.Popen[str]]:
    with ended(platform.start("worker", "--pool", "night")) as process:
        yield process
        if process.poll() is None:
            interrupt(process)


def started(platform: Office, deployment: str) -> None:
    """Ask for a run of a deployment, as its schedule does."""
    api = up(platform)["prefect"]["url"] + "/api"
    answer = asked(platform, f"{api}/deployments/name/{deployment}")
    asked(platform, f"{api}/deployments/{answer['id']}/create_flow_run", {})


def test_a_work_pool_decides_requests_and_a_failing_scan_calls_for_help(platform: Office) -> None:
    assert platform.damp("deploy", "--pool", "night", "--every", "1h").returncode == 0
    assert platform.damp("deploy", "--pool", "night", "--every", "1h").returncode == 0  # again
    event = submitted(platform, 5)
    with listening() as (url, heard), worker(platform):
        assert platform.damp("alert", url).returncode == 0
        started(platform, "compliance-run/pending-requests")
        assert eventually(lambda: not platform.is_pending(event))
        assert heard == []
        named = re.compile(r"compliance-run, \d{4}-\d\d-\d\d \d\d:\d\d")
        api = up(platform)["prefect"]["url"] + "/api"
        every = asked(platform, f"{api}/flow_runs/filter", {})
        assert any(named.fullmatch(run["name"]) for run in every)
        moved_by_hand(platform, 1)
        started(platform, "registry-scan/registry-scan")
        assert eventually(lambda: heard != []), "nobody was told"
    content = json.loads(heard[0])
    assert "registry-scan" in content["text"]
    last = platform.json("lineage", "digits")
    best = max(n["version"] for n in last if n["verdict"] == "PASSED")
    assert platform.damp("promote", f"digits/{best}").returncode == 0


def moved_by_hand(platform: Office, version: int) -> None:
    code = (
        "import sys; from mlflow import MlflowClient\n"
        "client = MlflowClient(sys.argv[1], sys.argv[1])\n"
        "client.set_registered_model_alias('digits', 'champion', sys.argv[2])\n"
    )
    where = f"sqlite:///{platform.home.mlflow_db}"
    subprocess.run([sys.executable, "-c", code, where, str(version)], check=True)


def test_a_worker_that_is_killed_leaves_an_event_that_the_next_one_finishes(
    platform: Office,
) -> None:
    assert platform.damp("deploy", "--pool", "night", "--every", "1h").returncode == 0
    event = submitted(platform, 6)
    with ended(platform.start("worker", "--pool", "night")) as first:
        started(platform, "compliance-run/pending-requests")
        assert eventually(lambda: ("version_data", "began") in platform.notes(event))
        family = [psutil.Process(first.pid), *psutil.Process(first.pid).children(recursive=True)]
        for process in family:
            process.kill()
    with worker(platform):
        started(platform, "compliance-run/pending-requests")
        assert eventually(lambda: not platform.is_pending(event))
    decided_once(platform, event)


def test_what_was_missed_is_made_up_at_the_next_start(platform: Office) -> None:
    event = submitted(platform, 7)
    with ended(platform.start("serve", "--every", "1d")) as serve:
        assert eventually(lambda: not platform.is_pending(event))
        code, _, err = interrupt(serve)
    assert code == 130, err
    decided_once(platform, event)


SCHEDULED = """
import json, os
from pathlib import Path
from flows.orchestration import engine
from flows.state.settings import prepared
home = prepared()
with engine.connected(home):
    from flows.orchestration.schedule import compliance_run
    print(json.dumps(compliance_run(str(home.root))))
"""


def test_runs_that_overlap_wait_for_each_other(platform: Office) -> None:
    event = submitted(platform, 9)
    with ended(platform.start(code=SCHEDULED)) as first:
        assert eventually(lambda: ("accept", "began") in platform.notes(event))
        second = platform.damp(code=SCHEDULED)
        rows = [first.communicate()[0], second.stdout]
    decided = [[row["event"] for row in json.loads(out.splitlines()[-1])] for out in rows]
    assert decided == [[event], []], second.stderr  # without waiting it would be told: busy
    decided_once(platform, event)


def test_a_poisoned_request_is_parked_and_the_others_go_on(platform: Office) -> None:
    weights = platform.home.root.parent / "own.safetensors"
    (base,) = platform.home.models.glob("*.safetensors")
    shutil.copy(base, weights)
    own = {"file": "own.safetensors", "architecture": "damp:cnn"}
    poisoned = submitted(platform, 8, own)
    weights.write_bytes(weights.read_bytes()[:-64])
    good = submitted(platform, 8)
    with ended(platform.start("serve", "--every", "1d")) as serve:
        assert eventually(lambda: not platform.is_pending(good))
        interrupt(serve)
    row = state_of(platform, poisoned)
    assert (row["state"], "damaged" in row["problem"]) == ("error", True)
    shutil.copy(base, weights)
    assert platform.damp("run", "--event", poisoned).returncode in (0, 2)
    assert state_of(platform, poisoned)["state"] != "error"
    assert Ledger(platform.home.ledger).verify().problem == ""


def test_a_model_that_was_audited_again_says_so_and_a_due_one_is_found(platform: Office) -> None:
    code = (
        "import sys; from pathlib import Path; from datetime import datetime, timedelta, UTC\n"
        "from flows.state.paths import Home; from flows.state.settings import prepare_environment\n"
        "home = Home(Path(sys.argv[1])); prepare_environment(home.root)\n"
        "from flows.operations import reaudit\n"
        "late = datetime.now(UTC) + timedelta(days=91)\n"
        "assert reaudit.due(home) == []\n"
        "due = reaudit.due(home, now=late)\n"
        "done = reaudit.reaudit(home, due[0])\n"
        "assert due[0] not in reaudit.due(home)\n"
        "import json; print(json.dumps([due, done.to_json()]))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(platform.home.root)],
        env=platform.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    due, done = json.loads(result.stdout.splitlines()[-1])
    closed = [e["id"] for e in platform.json("status") if e["state"] == "closed"]
    assert set(due) == set(closed)
    before = json.loads(Attempt(platform.home, due[0], 1).findings.read_text())
    again = json.loads((platform.home.root / done["findings"]).read_text())
    assert done["verdict"] == "PASSED"
    assert [f["audit"] for f in again["candidate"]] == [f["audit"] for f in before["candidate"]]


def test_the_evaluator_judges_a_registered_model_for_any_pipeline(platform: Office) -> None:
    passed = [e for e in platform.json("status") if e["state"] == "closed"]
    event = passed[0]["id"]
    nodes = {n["event"]: n["version"] for n in platform.json("lineage", "digits")}
    code = (
        "import sys, json, pandas as pd, mlflow\n"
        "uri, home, event, version = sys.argv[1:]\n"
        "mlflow.set_tracking_uri(uri)\n"
        "def judged(v):\n"
        "    with mlflow.start_run():\n"
        "        return mlflow.models.evaluate(\n"
        "            f'models:/digits/{v}', pd.DataFrame({'row': range(10)}), targets='row',\n"
        "            model_type='classifier', evaluators=['damp'],\n"
        "            evaluator_config={'damp': {'event': event, 'home': home}}).metrics\n"
        "print(json.dumps([judged(version), judged('1')]))\n"
    )
    where = f"sqlite:///{platform.home.mlflow_db}"
    result = subprocess.run(
        [sys.executable, "-c", code, where, str(platform.home.root), event, str(nodes[event])],
        env=platform.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    good, bad = json.loads(result.stdout.splitlines()[-1])
    assert good["damp_passed"] == 1.0
    assert bad["damp_passed"] == 0.0  # the model before
    assert bad["damp_accuracy.forget_before_retiring"] > 0.9


def test_nothing_is_left_when_both_servers_are_killed(platform: Office) -> None:
    for each in up(platform).values():
        os.kill(each["pid"], signal.SIGKILL)
    assert eventually(lambda: all(processes.find(each) is None for each in _records(platform)))
    assert platform.damp("down").returncode == 0
    assert platform.nothing_runs()
    assert up(platform)["mlflow"]["healthy"]


def _records(platform: Office) -> list[local_services.Service]:
    files = (platform.home.root / "services").glob("*.json")
    return [r for f in files if (r := processes.read_record(f, local_services.Service))]
