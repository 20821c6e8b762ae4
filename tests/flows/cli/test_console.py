"""What the commands share when they print: one result, as JSON or in lines."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from compliance.formats.plain_text import clean
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


def test_what_is_piped_is_not_wrapped_at_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    words = " ".join(["measurement"] * 40)
    console.say(console.table([{"reason": words, "event": "x" * 90}]))
    assert f"{words} " in capsys.readouterr().out
    console.verdict_panel("INCONCLUSIVE", [words], {"event": "e"}, {}, title="t")
    assert f"• {words}\n" in capsys.readouterr().out


def test_a_terminal_is_wrapped_at_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert console._console(stderr=False).width == 60


def test_only_a_passed_version_has_a_tick() -> None:
    from flows.cli import registry
    from flows.registry import VersionCheck

    def version(verdict: str, *problems: str) -> VersionCheck:
        kind = "successor" if verdict else "base"
        return VersionCheck(name="m", version=1, kind=kind, verdict=verdict, problems=problems)

    checks = [version("PASSED"), version("INCONCLUSIVE"), version("FAILED"), version("")]
    signs = [str(line)[0] for line in registry._checked([*checks, version("PASSED", "changed")])]
    assert signs[:5] == ["✔", "?", "✘", "●", "✘"]


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


HOSTILE = "\x1b[2J\x1b]8;;http://example.org\x07\u202eevil\x9b\ud800[link=http://example.org]x"


def test_nothing_from_elsewhere_reaches_the_terminal_raw(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.table import Table
    from rich.text import Text

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(console, "out", console.out.__wrapped__)
    monkeypatch.setattr(console, "err", console.err.__wrapped__)
    drawn = Table(HOSTILE, title=HOSTILE)
    drawn.add_row(HOSTILE)
    console.say(HOSTILE)
    console.say(Text(HOSTILE, style="bold"))
    console.say(drawn)
    console.say(console.table([{HOSTILE: HOSTILE, "good": True}]))
    console.note(HOSTILE)
    console.verdict_panel(
        "FAILED", [HOSTILE], {HOSTILE: HOSTILE}, {HOSTILE: HOSTILE}, title=HOSTILE
    )
    with console.bars() as bars:
        bars.step(1, HOSTILE)
        bars.advance(HOSTILE, 1, 2)
    printed = capsys.readouterr()
    # rich's own colours and movements
    shown = re.sub(r"\x1b\[\??[0-9;]*[A-Zhlm]|\r", "", printed.out + printed.err)
    assert clean(shown) == shown
    assert "\\u202e" in shown
    assert "\x1b]8" not in printed.out + printed.err


def test_a_document_is_exact_in_a_pipe_and_clean_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console.raw("\x1b[2J\n")
    assert capsys.readouterr().out == "\x1b[2J\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    console.raw("\x1b[2J\n")
    assert capsys.readouterr().out == "\\u001b[2J\n"


def test_a_refusal_and_a_defect_show_no_escapes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.cli import app as command_line

    for arguments in (["submit", "no-\x1b[2Jsuch-\u202efile"], ["--\x1b[2J"]):
        monkeypatch.setattr(sys, "argv", ["damp", *arguments])
        with pytest.raises(SystemExit):
            command_line.main()
    command_line._show_defect(ValueError, ValueError("\x1b[2J"), None)
    printed = capsys.readouterr().err
    assert clean(printed) == printed
    assert printed.count("\\u001b[2J") >= 2
