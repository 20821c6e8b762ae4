"""docs/operations.md keeps its word: its commands are typed, in order, as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.intake import requests
from flows.state.paths import Home
from tests.flows.running import Office, ended, eventually, interrupt

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
FIRST = "Embedded"
STAY = {"damp serve": "Ctrl-C ends this", "damp worker": "started!"}
"""Commands that go on until they are interrupted, and what they say once they work."""


def sections() -> dict[str, list[str]]:
    """Heading to the commands below it, in the order of the page."""
    by_name: dict[str, list[str]] = {}
    for part in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"```console\n(.*?)```", part, flags=re.DOTALL)
        # a command may go on in the line below
        whole = [block.replace("\\\n", "") for block in blocks]
        lines = [line.removeprefix("$ ") for block in whole for line in block.splitlines()]
        by_name[part.splitlines()[0]] = lines
    return by_name


@dataclass(frozen=True)
class Desk:
    """A terminal in an empty folder, with `damp` on its PATH."""

    office: Office
    folder: Path

    def types(self, line: str) -> None:
        """A line of the page, as a shell runs it; what stays is left to itself and interrupted."""
        works = STAY.get(" ".join(line.split()[:2]))
        if works is not None:
            with ended(self.office.start(*shlex.split(line)[1:])) as process:
                assert process.stdout is not None
                said = ""
                while works not in said and process.poll() is None:
                    said += process.stdout.readline()
                assert eventually(lambda: self.settled() or process.poll() is not None)
                code, out, err = interrupt(process)
            assert code == 130, (line, said + out, err)
            assert "Traceback" not in err, (line, err)
            return
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.office.environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)

    def settled(self) -> bool:
        return not requests.pending(self.office.home)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "bin").mkdir()
    script = folder / "bin" / "damp"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m flows "$@"\n')
    script.chmod(0o755)
    office = Office(Home(folder / ".damp"), {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"})
    desk = Desk(office, folder)
    # every later section goes on from what the first one leaves, whichever of them is tried
    for line in sections()[FIRST]:
        desk.types(line)
    yield desk
    office.damp("down")
    assert office.nothing_runs()


@pytest.mark.parametrize("section", [FIRST, "One server", "Team", "Backup and restore"])
def test_the_commands_of_a_section_do_what_the_page_says(section: str, desk: Desk) -> None:
    lines = sections()[section]
    assert lines
    if section == FIRST:
        lines = []  # the desk has typed them
    if section == "Team":
        desk.types("damp up")
    for line in lines:
        desk.types(line)
    (event,) = desk.office.json("status")
    assert (event["state"], event["verdict"]) == ("closed", "PASSED")


def test_every_command_block_of_the_page_is_typed_here() -> None:
    typed = {FIRST, "One server", "Team", "Backup and restore"}
    assert {name for name, lines in sections().items() if lines} == typed
