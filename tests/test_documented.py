"""Every command, option and key is documented: the pages are held against the code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from pydantic import BaseModel

from compliance.documents.claim import Claim
from compliance.documents.policy import Policy
from compliance.documents.request import Request
from compliance.documents.study import Study
from flows.cli import reference
from flows.cli.app import app
from flows.models.recipes import RecipeFile
from flows.state.settings import Settings

DOCS = Path(__file__).parents[1] / "docs"
KINDS: dict[str, type[BaseModel]] = {
    "Request": Request,
    "Claim": Claim,
    "Policy": Policy,
    "Study": Study,
    "Recipe": RecipeFile,
    "Settings": Settings,
}
FIRST = re.compile(r"^\| `([^`]+)` \|", flags=re.MULTILINE)


def test_the_page_of_commands_is_made_of_the_commands() -> None:
    assert (DOCS / "commands.md").read_text() == reference.as_markdown()


def test_the_page_of_commands_names_each_option_once_where_it_belongs() -> None:
    page = reference.as_markdown()
    (purge,) = re.findall(r"### damp purge\n(.*?)\n###", page, flags=re.DOTALL)
    assert "`--dry-run`" in purge
    assert "### damp keys new" in page  # commands below a command too


def commands(group: click.Group) -> Iterator[click.Command]:
    """Every command that does something, those below others too."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from commands(command)
        else:
            yield command


@pytest.mark.parametrize("command", list(commands(app)), ids=lambda each: each.name)
def test_every_option_is_taken_by_the_function_of_its_command(command: click.Command) -> None:
    assert command.callback is not None
    names = [param.name for param in command.params if param.expose_value]
    inspect.signature(command.callback).bind(**dict.fromkeys(map(str, names)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_explained_and_no_other(kind: str) -> None:
    documented = FIRST.findall(part((DOCS / "keys.md").read_text(), kind))
    assert sorted(documented) == sorted(keys(KINDS[kind]))


def test_the_comparison_sees_a_key_that_is_missing() -> None:
    page = (DOCS / "keys.md").read_text().replace("| `unseen.name` |", "| `unseeen.name` |", 1)
    assert sorted(FIRST.findall(part(page, "Request"))) != sorted(keys(Request))


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - {"home"}))
def test_the_page_for_operators_has_each_setting_and_its_variable(name: str) -> None:
    page = (DOCS / "operations.md").read_text()
    assert f"`{name}`" in page
    assert f"DAMP_{name.upper()}" in page


def part(page: str, heading: str) -> str:
    """The text below a heading, to the next one."""
    return page.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def keys(kind: type[BaseModel], before: str = "") -> Iterator[str]:
    """The dotted names of all keys that a file of this kind may hold."""
    for name, field in kind.model_fields.items():
        inner = [each for each in flat(field.annotation) if is_model(each)]
        if inner:
            yield from keys(inner[0], f"{before}{name}.")
        else:
            yield f"{before}{name}"


def flat(annotation: Any) -> Iterator[Any]:
    """A type and all that it is made of."""
    yield annotation
    for each in get_args(annotation):
        yield from flat(each)


def is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
