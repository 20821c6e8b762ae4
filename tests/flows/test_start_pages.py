"""The officer's and the auditor's start page: their commands are typed as they stand there.

The other roles' commands are typed by the tests of the tutorials and of the operations page; what
takes a model of one's own (`damp replay`, `damp audit`) by those too.
"""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.records import checkpoints
from flows.state import keyring
from flows.state.paths import Home
from tests.flows.conftest import Damp

START = Path(__file__).parents[2] / "docs" / "start"
RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("decided.py"))))
NAMED = "5f0c7c2e"
"""The event that the pages name."""
ELSEWHERE = re.compile(r"\b(replay|audit claim\.yaml)\b")


def commands(page: str) -> list[str]:
    """The lines that a page has people type."""
    blocks = re.findall(r"```console\n(.*?)```", (START / page).read_text(), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line.removeprefix("$ ") for line in lines]


@pytest.fixture
def executor(home: Home) -> None:
    keyring.new(home, role="executor", days=30)


def typed(damp: Damp, line: str, event: str) -> None:
    result = damp(*shlex.split(line.replace(NAMED, event))[1:])
    assert result.code == 0, (line, result.out, result.err)


def test_what_the_officer_is_told_to_type_works(
    executor: None, home: Home, damp: Damp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    decided = RECORDS.put(home)
    RECORDS.decide(home, decided)
    lines = commands("officer.md")
    assert len(lines) == 6
    for line in lines:
        if "--format pdf" in line and shutil.which("chromium") is None:
            line = line.replace("--format pdf", "--format html")
        # what is reported on is decided; what is verified, extended or denied is not yet
        event = decided if "report" in line else RECORDS.put(home)
        typed(damp, line, event)
    assert (tmp_path / "report.pdf").stat().st_size > 1000


def test_what_the_auditor_is_told_to_type_works(
    executor: None, home: Home, damp: Damp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = RECORDS.decide(home, RECORDS.put(home))
    checkpoints.at_close(home)
    folder = tmp_path / "handed-over"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for file in (attempt.statement, attempt.after, home.trust):
        shutil.copy(file, folder)
    typed(damp, "damp ledger prove --statement statement.dsse.json -o statement.tlog-proof", "")
    lines = [line for line in commands("auditor.md") if not ELSEWHERE.search(line)]
    assert len(lines) == 4
    for line in lines:
        typed(damp, line, attempt.event)


def test_every_role_has_a_page_with_commands() -> None:
    pages = sorted(page.name for page in START.glob("*.md"))
    assert pages == ["auditor.md", "engineer.md", "officer.md", "platform.md", "researcher.md"]
    for name in pages:
        assert commands(name), name
