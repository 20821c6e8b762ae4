"""docs/threats.md: every threat has its three parts, every test exists, every break was noticed."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

from benchmarks.robustness import breaking
from benchmarks.robustness.defences import DEFENCES, Defence

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "threats.md").read_text()
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE)))
SECTIONS = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
THREATS = [(title, text) for title, text in SECTIONS if "broken once" not in title]


@cache
def functions(file: str) -> set[str]:
    path = ROOT / file
    names = re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), flags=re.MULTILINE)
    return set(names) if path.is_file() else set()


def exists(test: str) -> bool:
    file, _, name = test.partition("::")
    return (ROOT / file).is_file() and (not name or name in functions(file))


def test_every_test_of_the_page_exists() -> None:
    assert len(TESTS) > 80
    assert [test for test in TESTS if not exists(test)] == []
    assert not exists("tests/test_threats.py::test_nobody_wrote_this")  # the check can fail


@pytest.mark.parametrize(("title", "text"), THREATS, ids=[title for title, _ in THREATS])
def test_every_threat_names_defence_tests_and_what_is_not_defended(title: str, text: str) -> None:
    for part in ("**Defence.**", "**Shown by**", "**Not defended.**"):
        assert text.count(part) == 1, f"{title}: {part}"
    shown = text.partition("**Shown by**")[2].partition("**Not defended.**")[0]
    assert re.search(r"`tests/[\w/]+\.py::\w+`", shown), title


def test_every_threat_of_the_record_is_here() -> None:
    assert len(THREATS) == 21


@pytest.mark.parametrize("defence", DEFENCES, ids=lambda defence: defence.name)
def test_what_is_broken_stands_in_the_code_once_and_its_test_exists(defence: Defence) -> None:
    assert (ROOT / defence.file).read_text().count(defence.whole) == 1
    assert exists(defence.test)


def test_the_table_of_the_page_is_that_of_the_breaks() -> None:
    assert PAGE.endswith(breaking.table(DEFENCES))


def test_every_break_was_noticed() -> None:
    """By the last runs of `python -m benchmarks.robustness.breaking`, for these very lines."""
    outcomes = {one["defence"]: one for one in json.loads(breaking.RESULT.read_text())["each"]}
    assert list(outcomes) == [defence.name for defence in DEFENCES]
    for defence in DEFENCES:
        one = outcomes[defence.name]
        assert breaking.caught(one), defence.name
        assert (one["file"], one["test"]) == (defence.file, defence.test)
