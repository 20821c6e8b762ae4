"""The private Prefect server answers, ends with its owner, and is reaped where it could not."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest

from flows.data import dvc_workspace
from flows.servers import local_services, private_prefect, processes
from flows.state.errors import DataVersionError, ServerError
from flows.state.paths import Home
from flows.state.settings import prepare_environment

OWNER = """
import sys, time
from pathlib import Path
from flows.servers import private_prefect as servers
from flows.state.settings import prepare_environment
home = Path(sys.argv[1])
prepare_environment(home)
server = servers.launch(home)
print(server.process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_a_server_dies_with_an_owner_that_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        child = psutil.Process(int(owner.stdout.readline()))
        assert child.is_running()
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
        child.wait(10)


def test_a_server_whose_owner_is_gone_is_reaped(tmp_path: Path) -> None:
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    record = private_prefect.record_path(tmp_path, 2**22 - 7)
    record.parent.mkdir(parents=True)
    started = psutil.Process(orphan.pid).create_time()
    record.write_text(json.dumps({"pid": orphan.pid, "started": started, "owner": 2**22 - 7}))

    assert private_prefect.reap(tmp_path) == [orphan.pid]
    assert orphan.wait(10) is not None
    assert not psutil.pid_exists(orphan.pid)
    assert not record.exists()


def test_a_process_that_took_over_an_old_number_is_left_alone(tmp_path: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    record = private_prefect.record_path(tmp_path, 2**22 - 7)
    record.parent.mkdir(parents=True)
    record.write_text(
        json.dumps({"pid": bystander.pid, "started": time.time() - 9999, "owner": 2**22 - 7})
    )
    try:
        assert private_prefect.reap(tmp_path) == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("text", [None, "", '{"pid": 1, "sta', '{"pid": 1}', "[]", '{"pid": "x"}'])
def test_a_record_that_is_missing_or_cut_short_ends_nothing(
    tmp_path: Path, text: str | None
) -> None:
    home = Home(tmp_path)
    record = tmp_path / "services" / "mlflow.json"
    record.parent.mkdir()
    if text is not None:
        record.write_text(text)
    assert processes.read_record(record, processes.Identity) is None
    assert local_services.running(home, "mlflow") is None
    home.locks.mkdir()
    assert local_services.down(home) == []


def test_a_record_keeps_the_keys_that_it_had(tmp_path: Path) -> None:
    """Servers that an earlier damp has started are found and ended by this one."""
    record = tmp_path / "services" / "mlflow.json"
    record.parent.mkdir()
    facts = {"name": "mlflow", "url": "http://127.0.0.1:5001", "health": "h", "log": "l"}
    facts |= {"pid": os.getpid(), "started": psutil.Process().create_time()}
    record.write_text(json.dumps(facts))
    service = local_services.running(Home(tmp_path), "mlflow")
    assert service is not None
    assert (service.pid, service.port) == (os.getpid(), 5001)
    assert dataclasses.asdict(service) == facts


def test_the_environment_keeps_what_the_user_has_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    prepare_environment(tmp_path)
    assert os.environ["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert os.environ["DO_NOT_TRACK"] == "true"


CLIENT = """
import os, sys, time
from pathlib import Path
from flows.state.settings import prepared
home = prepared()
from flows.orchestration import engine
began = time.monotonic()
with engine.connected(home) as server:
    server.wait()
    from prefect.client.orchestration import get_client
    with get_client(sync_client=True) as client:
        client.raise_for_api_version_mismatch()
    import asyncio
    from prefect.events.clients import PrefectEventsClient
    async def events():
        async with PrefectEventsClient() as events:
            return events
    asyncio.run(events())
print(time.monotonic() - began)
"""
DEAD = "http://192.0.2.1:9"
"""Nobody answers there: an address for documentation."""


def test_this_machine_is_fetched_from_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"here")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            assert processes.fetch(f"http://127.0.0.1:{server.server_port}/") == "here"
            assert processes.fetch("http://192.0.2.1/") is None  # through the proxy, that is dead
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_proxy_of_the_users_is_not_asked_for_what_runs_on_this_machine(tmp_path: Path) -> None:
    seconds = []
    for proxies in ({}, dict.fromkeys(("http_proxy", "https_proxy", "ALL_PROXY"), DEAD)):
        plain = {n: v for n, v in os.environ.items() if not n.lower().endswith("_proxy")}
        done = subprocess.run(
            [sys.executable, "-c", CLIENT],
            env=plain | proxies | {"DAMP_HOME": str(tmp_path / f"state-{len(proxies)}")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        seconds.append(float(done.stdout))
    assert seconds[1] < seconds[0] + 20


def test_a_folder_of_prefects_that_cannot_be_written_is_named(
    tmp_path: Path, below_a_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(below_a_file))
    with pytest.raises(ServerError, match=r"PREFECT_HOME is .*unset PREFECT_HOME"):
        private_prefect.launch(tmp_path / "state")
    with pytest.raises(ServerError, match=r"PREFECT_HOME is .*unset PREFECT_HOME"):
        local_services.up(Home(tmp_path / "state"), {})


@pytest.mark.parametrize("name", private_prefect.CERTIFICATES)
def test_certificates_that_are_not_there_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(tmp_path / "gone.pem"))
    with pytest.raises(ServerError, match=rf"{name} is .*gone\.pem.*unset it"):
        private_prefect.launch(tmp_path / "state")
    with pytest.raises(ServerError, match=rf"{name} is .*gone\.pem.*unset it"):
        local_services.up(Home(tmp_path / "state"), {})


def test_a_cache_of_dvc_that_cannot_be_used_is_named(
    tmp_path: Path, below_a_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = dvc_workspace.workspace(Home(tmp_path / "state")) / "digits-1"
    folder.mkdir(parents=True)
    (folder / "rows").write_text("1")
    dvc_workspace.add(Home(tmp_path / "state"), [folder])
    config = folder.parent / ".dvc" / "config"
    config.write_text(re.sub(r"dir = .*", f"dir = {below_a_file}", config.read_text()))
    assert str(below_a_file) in config.read_text()
    (folder / "rows").write_text("2")
    with pytest.raises(DataVersionError, match="such as its cache"):
        dvc_workspace.add(Home(tmp_path / "state"), [folder])
