"""How far the work is: one reporter for the process, silent unless a command sets one."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from compliance.formats.plain_text import clean

ANNOUNCES = "DAMP_ANNOUNCE"
"""Set where somebody watches; scheduled runs are processes of their own, which inherit it."""


class Reporter(Protocol):
    """Something that shows a person how far the work is."""

    def step(self, number: int, title: str) -> None:
        """A step of the event begins."""

    def advance(self, text: str, done: int, total: int) -> None:
        """A part of the running step is done."""

    def note(self, text: str) -> None:
        """What a person should read before the next step begins; it stays to be read."""


class Page(Protocol):
    """A page that shows which step runs, and keeps what was noted."""

    def step(self, number: int, title: str) -> None:
        """A step of the event begins."""

    def note(self, text: str) -> None:
        """A line to keep."""


class Silent:
    """Shows nothing."""

    def step(self, number: int, title: str) -> None:
        """Show nothing."""

    def advance(self, text: str, done: int, total: int) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""


_current: Reporter = Silent()


def current() -> Reporter:
    """The reporter of this process."""
    return _current


@contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """Send progress to `reporter` for the length of a `with` block."""
    global _current
    before, _current = _current, reporter
    try:
        yield
    finally:
        _current = before


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """How far the running step of process `pid` is."""

    text: str
    done: int
    total: int
    pid: int


def read(path: Path) -> Part | None:
    """The part that a `Recorder` has written last; None where there is none, or half of one."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Part).validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


class Recorder:
    """Passes everything on, and writes the running part into a file that `damp status` reads.

    Args:
        others: The reporter that all is passed on to.
        file: The file.
        page: Takes each step and note as well.
    """

    def __init__(self, others: Reporter, file: Path, page: Page) -> None:
        self.others, self.file, self.page, self.last = others, file, page, 0.0

    def step(self, number: int, title: str) -> None:
        """A step of the event begins; its first part is written at once."""
        self.others.step(number, title)
        self.page.step(number, title)
        self.last = 0.0

    def note(self, text: str) -> None:
        """Pass a note on."""
        self.others.note(text)
        self.page.note(text)

    def advance(self, text: str, done: int, total: int) -> None:
        """Write the part, at most twice a second."""
        self.others.advance(text, done, total)
        if time.monotonic() - self.last > 0.5:
            self.last = time.monotonic()
            part = Part(text=text, done=done, total=total, pid=os.getpid())
            with suppress(OSError):  # for people only: the step that needs a full disk reports it
                self.file.write_text(json.dumps(asdict(part)))


def announce_here() -> None:
    """From now on `announce` writes: in this process and in those that it starts."""
    os.environ[ANNOUNCES] = "1"


def announce(line: str) -> None:
    """One line to standard output at once, for whoever watches `damp serve`; else nothing."""
    if os.environ.get(ANNOUNCES) == "1":
        sys.stdout.write(f"{clean(' '.join(line.split()))}\n")
        sys.stdout.flush()
