"""The command line: light to start, clear in its refusals, stable in its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ["demo", "train", "request", "submit", "run", "status", "verify", "serve", "keys"]
HEAVY = {"torch", "mlflow", "prefect", "dvc", "sklearn", "matplotlib"}


def damp(*arguments: str, home: Path, **options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows", "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=home.parent,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str, tmp_path: Path) -> None:
    result = damp(command, "--help", home=tmp_path / "state")
    assert result.returncode == 0
    assert "Usage: damp" in result.stdout
    if command != "keys":
        assert f"damp {command}" in result.stdout.split("Examples:")[1]


LIGHT = ["--help", "verify missing.json", "status", "inbox", "stats", "keys list"]


@pytest.mark.parametrize("arguments", [words.split() for words in LIGHT], ids=LIGHT)
def test_light_commands_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from flows.cli import app as cli\n"
        f"sys.argv = ['damp', '--home', {str(tmp_path)!r}, *{arguments!r}]\n"
        "try:\n    cli.main()\n"
        "except SystemExit:\n    pass\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr.splitlines()[-1] == "[]"


def test_the_version_is_printed(tmp_path: Path) -> None:
    from damp.version import __version__

    assert damp("--version", home=tmp_path).stdout.strip() == f"damp {__version__}"


def test_a_mistyped_option_is_refused_in_one_line_with_exit_code_1(tmp_path: Path) -> None:
    result = damp("run", "--evnt", "x", home=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: No such option '--evnt'")
    assert "Traceback" not in result.stderr


def test_an_error_is_json_too_where_json_was_asked_for(tmp_path: Path) -> None:
    result = damp("submit", "no-such-request.yaml", "--json", home=tmp_path)
    answer = json.loads(result.stdout)
    assert result.returncode == answer["exit_code"] == 1
    assert "no-such-request.yaml" in answer["error"]


def test_an_empty_home_has_no_events(tmp_path: Path) -> None:
    result = damp("status", "--json", home=tmp_path / "state")
    assert result.returncode == 0
    assert json.loads(result.stdout) == []
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(shell: str, tmp_path: Path) -> None:
    assert "_DAMP_COMPLETE" in damp("completion", shell, home=tmp_path).stdout


FIRST = """
import sys
from contextlib import contextmanager
from types import SimpleNamespace
from flows.cli import app as cli
from flows.orchestration import engine
@contextmanager
def connected(home, **_):
    print("prefect" in sys.modules)
    raise SystemExit(7)
    yield
engine.connected = connected
engine.status.one_event = lambda home, event: SimpleNamespace(pending=True, state="received")
engine.keyring.signing_key = lambda home, role: None
engine._refuse_if_busy = lambda home, events: None
from flows.state import event_ids as eventids; from flows.intake import requests as intake
intake.pending = lambda home: ["x"]
eventids.whole = lambda home, event: event
intake.unpark = lambda home, event: None
cli.main()
"""


@pytest.mark.parametrize("arguments", [["run"], ["run", "--event", "x"], ["serve"], ["demo"]])
def test_prefect_is_imported_only_once_its_address_is_known(
    arguments: list[str], tmp_path: Path
) -> None:
    """It reads the address when it is imported; without one it starts a server of its own."""
    result = subprocess.run(
        [sys.executable, "-c", FIRST, "--home", str(tmp_path / "state"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (7, "False\n"), result.stderr
