"""What a person sees: progress while it works, one panel at the end, errors in three lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from flows.state import progress

out = Console()
err = Console(stderr=True)

LOOKS = {"PASSED": ("✔", "green"), "FAILED": ("✘", "red"), "INCONCLUSIVE": ("?", "yellow")}


class Bars:
    """The ten steps as one bar, the parts of the running step as another."""

    def __init__(self, bars: Progress, steps: int) -> None:
        self.bars = bars
        self.all = bars.add_task("starting", total=steps)
        self.part = bars.add_task("", total=None, visible=False)

    def step(self, number: int, title: str) -> None:
        """Show that step `number` runs."""
        self.bars.update(self.all, completed=number - 1, description=f"[bold]{title}[/bold]")
        self.bars.update(self.part, visible=False)
        if not self.bars.console.is_terminal:
            self.bars.console.print(f"  {number:>2}  {title}")

    def advance(self, text: str, done: int, total: int) -> None:
        """Show how far the running step is."""
        self.bars.update(
            self.part, visible=True, description=f"  {text}", completed=done, total=total
        )


@contextmanager
def bars(steps: int = 10) -> Iterator[Bars]:
    """Progress on standard error, so that standard output stays clean for `--json`."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as shown:
        reporter = Bars(shown, steps)
        with progress.reporting_to(reporter):
            yield reporter


def emit(data: Any) -> None:
    """Write `data` as JSON to standard output."""
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def verdict_panel(
    result: str,
    reasons: list[str],
    facts: dict[str, str],
    commands: dict[str, str],
    *,
    title: str,
) -> None:
    """The verdict, why, and where the report is; below, unboxed to be copied, what to type next."""
    sign, colour = LOOKS[result]
    text = Text(f"{sign} {result}\n", style=f"bold {colour}", overflow="fold")
    for reason in reasons:
        text.append(f"• {reason}\n", style="default not bold")
    for name, value in facts.items():
        text.append(f"\n{name}\n", style="dim not bold")
        text.append(f"{value}", style="default not bold")
    out.print(Panel(text, title=title, border_style=colour))
    for name, command in commands.items():
        out.print(f"{name}\n  {command}", markup=False, highlight=False, soft_wrap=True)


def error(message: str) -> None:
    """An error for a person: thing, reason, remedy; no traceback."""
    err.print(Text("error: ", style="bold red") + Text(message, style="default"), soft_wrap=True)


def short(path: Path | str) -> str:
    """A path as one would type it: relative where it lies under the working directory."""
    given = Path(path)
    try:
        return str(given.relative_to(Path.cwd()))
    except ValueError:  # it lies elsewhere
        return str(given)


def table(rows: list[dict[str, Any]]) -> Table:
    """Rows with the same keys as a table; yes and no for truth values."""
    shown = Table(*rows[0])
    for row in rows:
        told = ({True: "yes", False: "no", None: "-"}.get(v, str(v)) for v in row.values())
        shown.add_row(*told)
    return shown
