"""The state folder's files are an interface: docs/operations.md lists each that `paths` names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flows.state.paths import Attempt, Home

HOME = Home(Path("/state"))
PAGE = Path(__file__).parents[3] / "docs" / "operations.md"


def named_by(place: Home | Attempt, folder: Path) -> list[str]:
    """The files and folders right under `folder` that properties of `place` name."""
    properties = [name for name, value in vars(type(place)).items() if isinstance(value, property)]
    paths = [getattr(place, name) for name in properties]
    return sorted({p.name for p in paths if isinstance(p, Path) and p.parent == folder})


def listed() -> set[str]:
    """What the table of the page's section on state has in backticks."""
    section = PAGE.read_text().split("\n## State\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return {
        part for row in rows for name in re.findall(r"`([^`]+)`", row) for part in name.split("/")
    }


@pytest.mark.parametrize("name", named_by(HOME, HOME.root))
def test_the_page_lists_everything_under_the_state_folder(name: str) -> None:
    assert name in listed()


ATTEMPT = Attempt(HOME, "5f0c7c2e", 1)


@pytest.mark.parametrize("name", named_by(ATTEMPT, ATTEMPT.folder))
def test_the_page_lists_every_file_of_an_attempt(name: str) -> None:
    assert name in listed()


def test_the_page_lists_what_an_event_was_submitted_as() -> None:
    assert {HOME.request("e").name, HOME.claim("e").name} <= listed()
