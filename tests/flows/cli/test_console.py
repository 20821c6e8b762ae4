"""What the commands share when they print: one result, as JSON or in lines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from flows.cli import console
from flows.cli.app import SECTIONS, app


def test_an_answer_is_json_or_lines_and_lines_are_not_computed_for_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def lines() -> Iterator[str]:
        yield "[1] of 2"
        raise AssertionError("computed")

    console.answer({"count": 1}, lines(), as_json=True)
    assert json.loads(capsys.readouterr().out) == {"count": 1}
    with pytest.raises(AssertionError, match="computed"):
        console.answer({"count": 1}, lines(), as_json=False)
    assert capsys.readouterr().out == "[1] of 2\n"  # brackets are text, not markup


def test_a_long_line_is_not_broken(capsys: pytest.CaptureFixture[str]) -> None:
    command = console.next_step("damp run --event " + "x" * 200)
    console.say(command)
    assert capsys.readouterr().out == f"{command}\n"


@pytest.mark.parametrize(("good", "line"), [(True, "✔ holds: 2 of 2"), (False, "✘ holds: 2 of 2")])
def test_a_sign_says_without_colour_whether_something_holds(good: bool, line: str) -> None:
    assert console.mark(good=good, words="holds", rest=": 2 of 2").plain == line


def test_every_command_stands_in_one_section() -> None:
    listed = [command.name for commands in SECTIONS.values() for command in commands]
    assert sorted(map(str, listed)) == sorted(app.commands)


def test_every_command_that_answers_takes_json() -> None:
    plain = {"request", "serve", "worker", "export", "completion", "prove"}  # print text or stay
    without = {
        command.name
        for command in commands(app)
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == plain


def commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from commands(command)
        else:
            yield command


def test_help_loads_neither_rich_nor_a_room_but_the_state() -> None:
    code = (
        "import sys; from flows.cli import app\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('flows.')}\n"
        "print('rich' in sys.modules, sorted(rooms))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False ['cli', 'state']\n"
