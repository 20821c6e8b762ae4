"""The pages keep their word: links lead somewhere, commands and options exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from flows.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"```(?:sh|text|console|bash)\n(.*?)```", flags=re.DOTALL)
INLINE = re.compile(r"`(damp [^`]+)`")
PLACE = re.compile(r"`((?:damp|audits|compliance|flows|tests|benchmarks|docs|deploy)/[\w./-]*)`")


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    links = [link.partition("#")[0] for link in LINK.findall(page.read_text())]
    local = [link for link in links if link and not re.match(r"[a-z]+:", link)]
    missing = [link for link in local if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_heading_that_is_linked_to_exists(page: Path) -> None:
    missing = []
    for link in LINK.findall(page.read_text()):
        path, _, heading = link.partition("#")
        if heading and not re.match(r"[a-z]+:", link):
            target = page.parent / path if path else page
            if heading not in headings(target):
                missing.append(link)
    assert not missing


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=named)
def test_every_place_in_the_tree_that_is_named_exists(page: Path) -> None:
    missing = [place for place in PLACE.findall(page.read_text()) if not (ROOT / place).exists()]
    assert not missing


def headings(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    matches = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in matches}


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each `damp ...` that a page tells its reader to type."""
    text = page.read_text()
    lines = [line for block in FENCE.findall(text) for line in joined(block)]
    for line in [*lines, *INLINE.findall(text)]:
        for part in re.split(r"[;|&>#]|\$\(", line.removeprefix("$ ")):
            if re.match(r"\s*damp [a-z-]", part):
                yield shlex.split(part.split(")")[0])[1:]


def joined(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_and_option_of_a_page_exists(page: Path) -> None:
    wrong = [words for words in commands(page) if not accepts(app, words)]
    assert not wrong


def accepts(command: click.Command, words: list[str]) -> bool:
    """Whether the words start with a command of damp, and name only options that it has."""
    options = {name for given in command.params for name in (*given.opts, *given.secondary_opts)}
    options |= {"-h", "--help"}
    rest = list(words)
    while rest and rest[0].startswith("-"):
        name = rest.pop(0).partition("=")[0]
        if name not in options:
            return False
        if isinstance(command, click.Group) and rest and takes_value(command, name):
            rest.pop(0)
    if isinstance(command, click.Group):
        if not rest:
            return True
        inner = command.commands.get(rest[0])
        return inner is not None and accepts(inner, rest[1:])
    named_options = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    return set(named_options) <= options


def takes_value(command: click.Command, name: str) -> bool:
    return any(name in p.opts and not getattr(p, "is_flag", False) for p in command.params)


def test_the_check_itself_sees_what_is_wrong() -> None:
    assert accepts(app, ["run", "--event", "x"])
    assert accepts(app, ["--home", "here", "status", "--json"])
    assert not accepts(app, ["forget-everything"])
    assert not accepts(app, ["run", "--evnt", "x"])
