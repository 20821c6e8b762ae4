"""docs/commands.md: every command with its arguments and options, made of the commands themselves.

`python -m flows.cli.reference > docs/commands.md` writes it; a test holds the page against it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

HEAD = """\
# Commands

For whoever types damp's commands: each one with its arguments and options, as `damp COMMAND --help`
says them. `python -m flows.cli.reference > docs/commands.md` makes this page of the commands.

Exit codes of all commands: 0 done and PASSED (or nothing wrong), 1 refused or failed, 2 done but
not PASSED, 3 unsupported schema, 4 busy, 5 cannot judge (`damp verify`), 130 interrupted.
"""


def as_markdown() -> str:
    """The page."""
    from flows.cli.app import SECTIONS, app

    lines = [HEAD, "## Before the command", "", *_options(app)]
    for title, commands in SECTIONS.items():
        lines += ["", f"## {title}"]
        for command in commands:
            lines += _described(command, f"damp {command.name}")
    return "\n".join(lines) + "\n"


def _described(command: click.Command, name: str) -> Iterator[str]:
    usage = " ".join(
        (param.metavar or param.human_readable_name.upper()) + ("..." if param.nargs == -1 else "")
        for param in command.params
        if isinstance(param, click.Argument)
    ).replace("......", "...")
    yield from ("", f"### {name}", "", *([f"`{name} {usage}`", ""] if usage else []))
    yield _first_sentences(command.help or "")
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _described(inner, f"{name} {inner.name}")
        return
    if any(isinstance(param, click.Option) for param in command.params):
        yield from ("", *_options(command))


def _first_sentences(text: str) -> str:
    """The help without its examples, on one line for each paragraph."""
    paragraphs = text.split("\b")[0].strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _options(command: click.Command) -> Iterator[str]:
    yield from ("| option | meaning |", "|---|---|")
    context = click.Context(command)
    for param in command.params:
        record = param.get_help_record(context) if isinstance(param, click.Option) else None
        if record is not None:
            name, meaning = record
            yield f"| `{name.replace('|', ' or ')}` | {meaning.replace('|', ' or ')} |"


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
