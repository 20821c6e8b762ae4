"""Settings come from the environment, then from settings.toml; what is misspelt is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread

import pytest

from flows.servers import endpoints
from flows.state import locks
from flows.state.errors import ServerError, SettingsError
from flows.state.paths import Home
from flows.state.settings import engine_variables, settings
from tests.flows.conftest import Damp


def write_settings(home: Home, text: str) -> None:
    home.root.mkdir(parents=True, exist_ok=True)
    (home.root / "settings.toml").write_text(text)
    settings.cache_clear()


def test_without_a_file_everything_is_embedded(home: Home) -> None:
    loaded = settings()
    assert loaded.home == home.root
    assert (loaded.prefect_api_url, loaded.mlflow_uri, loaded.locks_url) == (None, None, None)
    assert loaded.runner == "local"


def test_one_file_switches_to_the_team_and_the_environment_wins(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(home, 'mlflow_uri = "http://mlflow:5000"\nrunner = "dask"\nworkers = 4\n')
    assert (settings().mlflow_uri, settings().runner, settings().workers) == (
        "http://mlflow:5000",
        "dask",
        4,
    )
    monkeypatch.setenv("DAMP_WORKERS", "2")
    settings.cache_clear()
    assert (settings().runner, settings().workers) == ("dask", 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('mlflow_url = "http://mlflow:5000"', ["unknown keys: mlflow_url", "mlflow_uri"]),
        ("runner = 'slurm'", ["runner", "'local', 'dask' or 'ray'"]),
        ("workers = -1", ["workers"]),
        ("threads = ", ["cannot be read"]),
    ],
)
def test_a_file_that_says_nothing_sensible_is_refused(
    home: Home, damp: Damp, text: str, words: list[str]
) -> None:
    write_settings(home, text)
    damp("status").refused("settings.toml", *words)


def test_a_file_that_is_named_must_be_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAMP_SETTINGS", str(home.root / "nowhere.toml"))
    settings.cache_clear()
    with pytest.raises(SettingsError, match="which is no file"):
        settings()


def test_no_engine_sends_telemetry(home: Home) -> None:
    variables = engine_variables(home.root)
    assert variables["DO_NOT_TRACK"] == "true"
    assert variables["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert variables["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert variables["DVC_NO_ANALYTICS"] == "1"
    assert variables["RAY_USAGE_STATS_ENABLED"] == "0"


@contextmanager
def server(answer: str, clock: float | None = None) -> Iterator[str]:
    """A server on this machine that gives one answer to everything, by a clock of its own."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer.encode())

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(timestamp or clock)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as listening:
        thread = Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("setting", "package", "asked"),
    [
        ("prefect_api_url", "prefect", endpoints.prefect_api),
        ("mlflow_uri", "mlflow", endpoints.mlflow_server),
    ],
)
def test_a_server_is_used_only_when_it_answers_with_our_version(
    home: Home, setting: str, package: str, asked: object
) -> None:
    assert callable(asked)
    with server(json.dumps(version(package)) if package == "prefect" else version(package)) as url:
        write_settings(home, f'{setting} = "{url}"')
        assert asked() == url
    with pytest.raises(ServerError, match=r"No .* server answers at"):
        asked()
    with server("0.1.0") as url:
        write_settings(home, f'{setting} = "{url}"')
        with pytest.raises(ServerError, match=r"is version 0\.1\.0, damp works with"):
            asked()


@pytest.mark.parametrize(
    "line",
    [
        'prefect_api_url = "https://api.prefect.cloud/api/accounts/x"',
        'mlflow_uri = "databricks"',
        'mlflow_uri = "https://adb-1.azuredatabricks.net"',
    ],
)
def test_a_cloud_is_refused_unless_it_was_asked_for(home: Home, line: str) -> None:
    write_settings(home, line)
    asked = endpoints.prefect_api if line.startswith("prefect") else endpoints.mlflow_server
    with pytest.raises(ServerError, match="would leave your network"):
        asked()


def test_a_prefect_profile_of_the_users_is_not_read(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Somebody who works with Prefect's cloud every day, with a profile that says so."""
    profiles = tmp_path / ".prefect" / "profiles.toml"
    profiles.parent.mkdir()
    cloud = "https://api.prefect.cloud/api/accounts/x"
    profiles.write_text(f'active = "cloud"\n[profiles.cloud]\nPREFECT_API_URL = "{cloud}"\n')
    code = (
        "from pathlib import Path\n"
        "from flows.state.settings import prepare_environment\n"
        f"prepare_environment(Path({str(home.root)!r}))\n"
        "from prefect.settings import PREFECT_API_URL\n"
        "print(PREFECT_API_URL.value())\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cloud" not in done.stdout


def test_locks_without_their_database_are_refused(home: Home) -> None:
    write_settings(home, 'locks_url = "postgresql://127.0.0.1:1/none"')
    with (
        pytest.raises(ServerError, match="nothing keeps two machines apart"),
        locks.lineage(home, "digits"),
    ):
        pytest.fail("an event without its lock")


@pytest.mark.parametrize("sign", ["?", "#", "%", "{", "}", "\\", "'", '"', "\n", "\x1b", "\u202e"])
def test_a_state_folder_whose_path_means_something_else_as_an_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    monkeypatch.setenv("DAMP_HOME", str(tmp_path / f"a{sign}b"))
    settings.cache_clear()
    with pytest.raises(SettingsError, match="Name another one with --home"):
        settings()
    settings.cache_clear()
    assert not list(tmp_path.iterdir())


USABLE = " &;$=+:,@[]*~ä"
"""Characters that a state folder's path may hold, odd as they are."""


@pytest.mark.parametrize("sign", USABLE)
def test_a_registry_and_a_data_version_lie_in_a_folder_of_an_odd_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    from flows.data import dvc_workspace
    from flows.registry import open_registry

    place = tmp_path / f"a{sign}b"
    monkeypatch.setenv("DAMP_HOME", str(place))
    settings.cache_clear()
    with open_registry(Home(settings().home)) as registry:
        assert registry.models() == []
    assert (place / "mlflow.db").is_file()
    folder = dvc_workspace.workspace(Home(place)) / "digits-1"
    folder.mkdir(parents=True)
    (folder / "rows").write_text("1")
    dvc_workspace.add(Home(place), [folder])
    assert dvc_workspace.recorded(folder) is not None
    assert [path.name for path in tmp_path.iterdir()] == [place.name]
    settings.cache_clear()


@pytest.mark.parametrize("what", ["a link that leads nowhere", "a pipe", "a folder"])
def test_settings_that_are_no_file_are_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A team's settings on a file system that is not mounted: its own engines would be used."""
    home = tmp_path / "state"
    home.mkdir()
    monkeypatch.setenv("DAMP_HOME", str(home))
    monkeypatch.delenv("DAMP_SETTINGS", raising=False)
    place = home / "settings.toml"
    if what == "a pipe":
        os.mkfifo(place)
    elif what == "a folder":
        place.mkdir()
    else:
        place.symlink_to(tmp_path / "not-mounted" / "settings.toml")
    settings.cache_clear()
    with pytest.raises(SettingsError, match=r"settings\.toml is a folder, a pipe, or a link"):
        settings()
    settings.cache_clear()
