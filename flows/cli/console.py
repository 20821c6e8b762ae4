"""What a person sees: a result in words or as JSON, progress, the verdict at the end.

rich is imported by the first function that draws: `damp --help` needs nothing of it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.formats.plain_text import clean

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress
    from rich.table import Table
    from rich.text import Text

    from compliance.presentation.next_steps import NextStep

VERDICTS: Mapping[str, tuple[str, str]] = {
    "PASSED": ("✔", "green"),
    "FAILED": ("✘", "red"),
    "INCONCLUSIVE": ("?", "yellow"),
}
"""Sign and colour of each verdict."""
UNWRAPPED = 10_000
"""Columns of what is no terminal: a line for grep or a log is never broken at the 80th."""


@cache
def out() -> Console:
    """Standard output."""
    return _console(stderr=False)


@cache
def err() -> Console:
    """Standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    """A console that shows nothing which a terminal obeys but rich's own colours and movements."""
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

    class Clean(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(clean(segment.text), segment.style)

    stream = sys.stderr if stderr else sys.stdout
    piped = not stream.isatty() and "COLUMNS" not in os.environ
    return Clean(stderr=stderr, markup=False, emoji=False, width=UNWRAPPED if piped else None)


def raw(text: str) -> None:
    """Write a document to standard output: byte by byte into a file or pipe, cleaned for eyes."""
    sys.stdout.write(clean(text) if sys.stdout.isatty() else text)


def answer(result: Any, lines: Iterable[RenderableType], *, as_json: bool) -> None:
    """Print what came of a command: `result` as JSON for machines, or its lines for people.

    `lines` may be a generator: it does not run where JSON was asked for.
    """
    if as_json:
        emit(result)
    else:
        for line in lines:
            say(line)


def emit(result: Any) -> None:
    """Write `result` as JSON to standard output."""
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def say(line: RenderableType) -> None:
    """Print one line as it is, however long: what is copied from it must not be broken."""
    from rich.table import Table

    shown = clean(line) if isinstance(line, str) else line
    out().print(shown, markup=False, soft_wrap=not isinstance(line, Table))


def note(text: str) -> None:
    """Print what does not change the result, on standard error."""
    err().print(f"note: {clean(text)}", markup=False, soft_wrap=True)


def next_step(command: str) -> str:
    """The line that says what to type next."""
    return f"Next: {command}"


def mark(*, good: bool, words: str, rest: str = "") -> Text:
    """A line whose first words say whether something holds; the sign says it without colour."""
    from rich.text import Text

    head = (f"✔ {words}", "bold") if good else (f"✘ {words}", "bold red")
    return Text.assemble(head, rest)


def short(path: Path | str) -> str:
    """A path as one would type it: relative where it lies under the working directory."""
    whole = Path(path)
    try:
        return str(whole.relative_to(Path.cwd()))
    except ValueError:  # it lies elsewhere
        return str(whole)


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows with the same keys as a table; yes and no for truth values."""
    from rich.table import Table

    drawn = Table(*rows[0])
    words = {True: "yes", False: "no", None: "-"}
    for row in rows:
        shown = [words[v] if v is None or isinstance(v, bool) else str(v) for v in row.values()]
        drawn.add_row(*map(clean, shown))
    return drawn


def verdict_panel(
    result: str,
    reasons: Sequence[str],
    facts: Mapping[str, str],
    commands: Mapping[str, str],
    steps: Sequence[NextStep] = (),
    *,
    title: str,
) -> None:
    """The verdict, why, what to do next and where the report is; below, unboxed, what to type."""
    from rich.panel import Panel
    from rich.text import Text

    sign, colour = VERDICTS[result]
    text = Text(f"{sign} {result}\n", style=f"bold {colour}", overflow="fold")
    for reason in reasons:
        text.append(f"• {reason}\n", style="default not bold")
    if steps:
        text.append("\nwhat to do next\n", style="dim not bold")
    for step in steps:
        text.append(f"• {step.text}\n", style="default not bold")
    for name, value in facts.items():
        text.append(f"\n{name}\n", style="dim not bold")
        text.append(f"{value}", style="default not bold")
    if out().width == UNWRAPPED:
        out().print(text, soft_wrap=True)
    else:
        out().print(Panel(text, title=title, border_style=colour))
    for name, command in commands.items():
        out().print(f"{name}\n  {command}", markup=False, highlight=False, soft_wrap=True)


class Bars:
    """The ten steps as one bar, the parts of the running step as another."""

    def __init__(self, bars: Progress, steps: int) -> None:
        self.bars, self.steps, self.last = bars, steps, -1
        self.all = bars.add_task("starting", total=steps, visible=steps > 0)
        self.part = bars.add_task("", total=None, visible=False)

    def step(self, number: int, title: str) -> None:
        """Show that step `number` runs."""
        words = f"[bold]{_escaped(title)}[/bold]"
        self.bars.update(self.all, completed=number - 1, description=words)
        self.bars.update(self.part, visible=False)
        if not self.bars.console.is_terminal:
            self.bars.console.print(f"  {number:>2}  {clean(title)}", markup=False)

    def advance(self, text: str, done: int, total: int) -> None:
        """Show how far the running step is; without steps and a terminal, a line for each part."""
        if not self.steps and not self.bars.console.is_terminal and done != self.last:
            self.bars.console.print(f"  {done} of {total}  {clean(text)}", markup=False)
        self.last = done
        self.bars.update(
            self.part, visible=True, description=f"  {_escaped(text)}", completed=done, total=total
        )

    def note(self, text: str) -> None:
        """Print a line above the bars, where it stays."""
        self.bars.console.print(f"      {clean(text)}", markup=False, soft_wrap=True)


def _escaped(text: str) -> str:
    """Text for a description, which rich would read as markup."""
    from rich.markup import escape

    return escape(clean(text))


@contextmanager
def bars(steps: int = 10) -> Iterator[Bars]:
    """Progress on standard error, so that standard output stays clean for `--json`.

    Args:
        steps: Of an event; 0 for work that has parts only, which have a total of their own.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from flows.state import progress

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        console=err(),
        transient=True,
        disable=not err().is_terminal,
    ) as drawn:
        reporter = Bars(drawn, steps)
        with progress.reporting_to(reporter):
            yield reporter
