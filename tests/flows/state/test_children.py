"""What processes are started with: a safe path, no secrets, and code of users kept apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from flows.state import children, import_path, secrets, users_code
from flows.state.errors import ModelError, SettingsError
from flows.state.settings import never_by_proxy, settings

SECRET = "correct-horse-battery"  # noqa: S105 - of no key
ADDRESS = f"postgresql://damp:{SECRET}@127.0.0.1:1/locks"
HAS_MEMORY_FILES = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="NOT TESTED: no files in memory on this system"
)


@pytest.fixture
def secretive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets of every kind, in this process's environment."""
    monkeypatch.setenv("DAMP_KEY_PASSPHRASE", SECRET)
    monkeypatch.setenv("DAMP_LOCKS_URL", ADDRESS)
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", ADDRESS)
    monkeypatch.setenv("PREFECT_API_KEY", SECRET)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("LD_PRELOAD", "")


@pytest.mark.usefixtures("secretive")
def test_a_childs_environment_has_what_it_needs_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_HOME", "/somewhere")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "relative", ".", str(tmp_path)]))
    given = children.environment("PREFECT_", "MLFLOW_", EXTRA="1")
    assert SECRET not in json.dumps(given)
    assert (given["PREFECT_HOME"], given["EXTRA"]) == ("/somewhere", "1")
    assert given["PATH"] == os.environ["PATH"]
    assert given["PYTHONSAFEPATH"] == "1"
    assert set(given["PYTHONPATH"].split(os.pathsep)) <= {str(children.OUR_ROOMS), str(tmp_path)}
    assert "LD_PRELOAD" not in given


def test_a_child_runs_nothing_of_the_folder_and_imports_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("print('theirs')")
    monkeypatch.chdir(tmp_path)
    said = subprocess.run(
        [*children.python("json.tool"), "--help"],
        env=children.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "theirs" not in said.stdout
    code = "import flows, sys; print(flows.__file__, '' in sys.path)"
    command = [sys.executable, "-P", "-c", code]
    ours = subprocess.check_output(command, env=children.environment(), text=True)
    assert ours.split() == [str(children.OUR_ROOMS / "flows" / "__init__.py"), "False"]


def test_git_runs_nothing_that_a_folder_names(tmp_path: Path) -> None:
    run = ["git", "-C", str(tmp_path)]
    if subprocess.run([*run, "init", "-q"], check=False).returncode:
        pytest.skip("NOT TESTED: there is no git")
    marker = tmp_path / "executed"
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {marker}\n")
    monitor.chmod(0o755)
    subprocess.run([*run, "config", "core.fsmonitor", str(monitor)], check=True)
    children.git(tmp_path, "status", "--porcelain")
    assert not marker.exists()
    subprocess.run([*run, "status", "--porcelain"], check=True, capture_output=True)
    assert marker.exists()  # without our options it is run


# Secrets


@HAS_MEMORY_FILES
@pytest.mark.usefixtures("secretive")
def test_secrets_leave_the_environment_and_are_read_by_damp_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ) | {"DAMP_HOME": str(tmp_path)})
    monkeypatch.setattr(os, "getenv", os.environ.get)
    secrets.withdraw(os.environ)
    assert not {"DAMP_KEY_PASSPHRASE", "DAMP_LOCKS_URL"} & os.environ.keys()
    assert secrets.value("DAMP_KEY_PASSPHRASE") == SECRET
    code = (
        "from flows.state import secrets; from flows.state.settings import settings\n"
        "print(secrets.value('DAMP_KEY_PASSPHRASE'), settings().locks_url)\n"
        "print(open('/proc/self/environ').read().count('KEY_PASSPHRASE'))"
    )
    scheduled = subprocess.check_output(
        [sys.executable, "-c", code], env=dict(os.environ), text=True
    )  # a run of the schedule: damp itself, started by Prefect
    assert scheduled.split() == [SECRET, ADDRESS, "0"]
    assert secrets.POINTER not in children.environment("PREFECT_", "MLFLOW_", "DVC_")


PARENT = """
import os, sys, time
from pathlib import Path
from flows.state import secrets
from flows.state.settings import prepare_environment, settings
from flows.servers import private_prefect
secrets.withdraw(os.environ)
prepare_environment(settings().home)
server = private_prefect.launch(settings().home)
server.wait()
print(server.process.pid, flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.mark.slow
@pytest.mark.usefixtures("secretive")
def test_no_secret_is_to_be_read_in_proc_of_a_real_child(tmp_path: Path) -> None:
    """The private server has its password and its database's, and shows neither."""
    mine = os.environ | {"DAMP_HOME": str(tmp_path / "state")}
    mine["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = (
        f"sqlite+aiosqlite:///{tmp_path}/prefect.db?timeout=60&password={SECRET}"
    )
    mine.pop("DAMP_LOCKS_URL")
    command = [sys.executable, "-c", PARENT]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=mine, stdin=pipe, stdout=pipe, text=True) as owner:
        assert owner.stdout is not None
        server = psutil.Process(int(owner.stdout.readline()))
        password = (tmp_path / "state" / "servers.auth").read_text().strip()
        for process in (server, *server.children(recursive=True)):
            shown = Path(f"/proc/{process.pid}/environ").read_text() + " ".join(process.cmdline())
            assert SECRET not in shown
            assert password.partition(":")[2] not in shown
            assert process.cwd() == str(tmp_path / "state")
        owner.communicate("")


@pytest.mark.parametrize(
    ("text", "mode", "word"),
    [
        ('{"DAMP_KEY_PASSPHRASE": "x"}', 0o644, "open to others"),
        ("not json " + SECRET, 0o600, "no JSON"),
        ('{"OTHER": "' + SECRET + '"}', 0o600, "other things"),
        ('{"DAMP_KEY_PASSPHRASE": 3}', 0o600, "other things"),
        (f'{{"DAMP_LOCKS_URL": "a", "DAMP_LOCKS_URL": "{SECRET}"}}', 0o600, "no JSON"),
        (None, 0o600, "cannot be read"),
    ],
)
def test_a_file_of_secrets_that_cannot_be_used_is_refused_without_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, mode: int, word: str
) -> None:
    file = tmp_path / "secrets.json"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    monkeypatch.setenv("DAMP_SECRETS", str(file))
    monkeypatch.delenv("DAMP_KEY_PASSPHRASE", raising=False)
    with pytest.raises(SettingsError, match=word) as refusal:
        secrets.value("DAMP_KEY_PASSPHRASE")
    assert SECRET not in str(refusal.value)


def test_a_file_of_secrets_serves_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps({"DAMP_LOCKS_URL": ADDRESS}))
    file.chmod(0o600)
    monkeypatch.setenv("DAMP_SECRETS", str(file))
    monkeypatch.delenv("DAMP_LOCKS_URL", raising=False)
    monkeypatch.setenv("DAMP_HOME", str(tmp_path / "state"))
    settings.cache_clear()
    assert settings().locks_url == ADDRESS
    settings.cache_clear()


def test_no_password_of_an_address_is_shown() -> None:
    for text in (ADDRESS, f"host=x password={SECRET} dbname=y", f"password = '{SECRET}'"):
        assert SECRET not in secrets.hidden(f"cannot connect: {text}: refused")
    assert secrets.hidden("http://127.0.0.1:4200/api") == "http://127.0.0.1:4200/api"


@pytest.mark.parametrize("given", ["", "example.org", "127.0.0.1", "a, b"])
def test_this_machine_is_never_reached_through_a_proxy(given: str) -> None:
    assert {"127.0.0.1", "localhost", "::1"} <= set(never_by_proxy(given).split(","))
    assert never_by_proxy("*") == "*"


# Code of the user's own


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Writes a project; its modules are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    users_code.finder_of.cache_clear()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    folder = tmp_path / "project"

    def write(**files: str) -> Path:
        for name, text in files.items():
            path = folder / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.write_text(text)
        monkeypatch.setenv("DAMP_CODE", str(folder))
        return folder

    yield write
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) is None or str(folder) in str(
            getattr(sys.modules[name], "__file__", "")
        ):
            del sys.modules[name]
    users_code.finder_of.cache_clear()


@pytest.mark.parametrize(
    "taken", ["flows", "data", "audits", "tests", "damp", "compliance", "json", "torch"]
)
def test_a_project_may_have_a_package_of_any_name(project: Callable[..., Path], taken: str) -> None:
    import audits
    import flows

    project(
        **{
            "build": (
                f"from {taken}.nets import NAME\nimport {taken}.nets as again\n"
                f"from {taken} import nets\n"
                f"def call():\n    import {taken}.nets\n    from {taken}.late import LATE\n"
                f"    return NAME, again.NAME, nets.NAME, {taken}.nets.NAME, LATE\n"
            ),
            f"{taken}__nets": "from . import other\nNAME = other.NAME\n",
            f"{taken}__other": "NAME = 'theirs'\n",
            f"{taken}__late": f"from {taken}.other import NAME as LATE\n",
        }
    )
    call = import_path.load("build:call", ModelError)
    assert call() == ("theirs",) * 5
    assert Path(str(flows.__file__)).parent == children.OUR_ROOMS / "flows"
    assert Path(str(audits.__file__)).parent == children.OUR_ROOMS / "audits"
    assert Path(json.__file__).parent.name == "json"


def test_a_taken_name_can_be_named_itself(project: Callable[..., Path]) -> None:
    project(flows__nets="def build():\n    return 'theirs'\n")
    assert import_path.load("flows.nets:build", ModelError)() == "theirs"


def test_their_modules_still_import_ours_and_what_is_installed(
    project: Callable[..., Path],
) -> None:
    project(
        mine="import torch\nfrom flows.data.dataset import Dataset\ndef get(): return Dataset\n"
    )
    from flows.data.dataset import Dataset

    assert import_path.load("mine:get", ModelError)() is Dataset


def test_the_working_folder_is_not_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "executed"
    (tmp_path / "strangers.py").write_text(f"open({str(marker)!r}, 'w')\ndef build(): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAMP_CODE", raising=False)
    with pytest.raises(ModelError, match="--code"):
        import_path.load("strangers:build", ModelError)
    assert not marker.exists()


def test_a_folder_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAMP_CODE", "/no/such/folder")
    with pytest.raises(SettingsError, match="is no folder"):
        import_path.load("mine:build", ModelError)
