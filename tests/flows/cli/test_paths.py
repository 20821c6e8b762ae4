"""A state folder, keys and files whose names hold spaces, newlines, quotes and markup."""

from __future__ import annotations

import os
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.state.paths import Home
from flows.state.settings import settings

RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))
NAMES = ("with space", "new\nline", "<img src=x onerror=alert(1)>", "quo'te\"s & $HOME `id`", "-rf")
REFUSED = {"\n", "'"}
"""No state folder may hold these (tests/flows/state/test_settings.py); keys and files may."""
Damp = Callable[..., Any]


@pytest.fixture(params=NAMES, ids=["space", "newline", "markup", "quotes", "dash"])
def strange(home: Home, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A state folder, where such a name is allowed for one, and a folder for keys and files."""
    folder = home.root.parent / request.param
    state = home.root if set(request.param) & REFUSED else folder / "state"
    monkeypatch.setenv("DAMP_HOME", str(state))
    monkeypatch.setenv("DAMP_KEYS", str(folder / "keys"))
    settings.cache_clear()
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    return Home(state)


def test_everything_at_the_desk_works_in_a_folder_of_any_name(damp: Damp, strange: Home) -> None:
    event = RECORDS.put(strange)
    RECORDS.decide(strange, event, verdict="FAILED", with_report=True)
    attempt = RECORDS.decide(strange, event, number=2, with_report=True)
    held = Path.cwd() / "held.txt"
    for words in (
        ("status",),
        ("inbox",),
        ("declare", event, "--artefact", "tape", "--location", "vault", "--status", "UNKNOWN"),
        ("ledger", "checkpoint", "-o", held),
        ("ledger", "verify", "--checkpoint", held),
        (
            "verify",
            attempt.statement,
            "--model",
            attempt.after,
            "--checkpoint",
            held,
            "--ledger",
            strange.ledger,
        ),
        ("report", "--event", event),
        ("report", "--compare", event),
        ("report", "--index"),
        ("export", "--format", "csv", "-o", Path.cwd() / "ledger.csv"),
    ):
        result = damp(*words)
        assert result.code == 0, (words, result.err)
        assert "Traceback" not in result.err
    for page in (attempt.folder / "report-now.html", strange.root / "index.html"):
        assert "<img" not in page.read_text()


def test_a_file_that_is_not_there_is_named_whatever_its_name(damp: Damp, strange: Home) -> None:
    result = damp("verify", "--trust", strange.trust, "--", strange.root / "gone.json")
    assert result.code == 5  # cannot judge: nothing was said against it
    assert "cannot be read" in result.out + result.err
    assert "Traceback" not in result.out + result.err


def test_commands_that_a_report_tells_can_be_typed(strange: Home) -> None:
    """They are relative to the state folder, whose own name never stands in them."""
    from flows.records import reports

    event = RECORDS.put(strange)
    attempt = RECORDS.decide(strange, event)
    for command in reports.commands(strange, attempt).values():
        words = shlex.split(command)
        assert words[0] == "damp"
        assert not any(os.path.isabs(word) for word in words)
        named = [word for word in words if word.startswith("events/")]
        assert named
        assert all((strange.root / word).is_file() for word in named)
